import DyadFormats
import DyadGraph
import DyadTestSupport
import Foundation
import SwiftProtobuf
import Testing

@testable import DyadExport

/// What is written, and that `check` finds what was changed behind our back, by name.
@Suite struct ONNXExporterTests {
    private static func export(_ program: IntegerProgram, to folder: String) throws -> ExportReport {
        try ONNXExporter(ExportPlan(target: .sm8650, context: 16, chunk: 4)).export(
            program, from: tinySource, to: folder)
    }

    @Test func bothGraphsShareTheirWeightsAndNothingLacksAnEncoding() throws {
        let folder = freshFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let program = tinyProgram()
        let report = try Self.export(program, to: folder)
        #expect(report.graphs.map(\.file) == ["prefill.onnx", "decode.onnx"])
        #expect(report.graphs.map(\.shape.tokens) == [4, 1])
        #expect(try ExportManifest.check(folder, against: program) == report.graphs.map(\.encodings).reduce(0, +))

        let models = try report.graphs.map {
            try ONNXModel(serializedBytes: Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0.file)")))
        }
        #expect(models.allSatisfy { $0.opsetImport.first?.version == 23 })
        #expect(models.allSatisfy { $0.metadataProps.contains { $0.key == "dyad.source" && $0.value == "tiny.dyad" } })
        // Equal weights stand at equal places.
        let places = models.map { model in
            Dictionary(
                model.graph.initializer.filter { $0.dataLocation == .external }.map { ($0.name, $0.externalData) },
                uniquingKeysWith: { $1 })
        }
        #expect(!places[0].isEmpty && places[0] == places[1])
        // Every floating-point tensor that is computed goes into a QuantizeLinear, or comes from a DequantizeLinear.
        for model in models {
            let quantized = Set(model.graph.node.filter { $0.opType == "QuantizeLinear" }.compactMap(\.input.first))
            let others = ["QuantizeLinear", "DequantizeLinear", "Greater"]  // of which the last gives a condition
            for node in model.graph.node where !others.contains(node.opType) {
                #expect(quantized.contains(node.output[0]), "\(node.name)")
            }
        }
    }

    @Test func equalProgramsGiveEqualBytes() throws {
        let folders = [freshFolder(), freshFolder()]
        defer { folders.forEach { try? FileManager.default.removeItem(atPath: $0) } }
        for folder in folders { _ = try Self.export(tinyProgram(), to: folder) }
        for file in ["prefill.onnx", "decode.onnx", "weights.bin", "manifest.json"] {
            let bytes = try folders.map { try Data(contentsOf: URL(fileURLWithPath: "\($0)/\(file)")) }
            #expect(bytes[0] == bytes[1])
        }
    }

    /// What can go wrong with an encoding in a file, and the tensor that `check` must name.
    enum Fault: CaseIterable { case scale, rowScale, axis, zeroPoint, lostQuantize, lostZeroPoint, weight }

    @Test(arguments: Fault.allCases)
    func aSeededFaultIsFoundByName(_ fault: Fault) throws {
        let folder = freshFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let program = tinyProgram()
        _ = try Self.export(program, to: folder)
        let path = URL(fileURLWithPath: "\(folder)/prefill.onnx")
        var model = try ONNXModel(serializedBytes: Data(contentsOf: path))
        let activation = "layers.1.mlp.down_proj.output", weight = "layers.1.mlp.down_proj.weight"
        func index(_ name: String) throws -> Int {
            try #require(model.graph.initializer.firstIndex { $0.name == name })
        }
        var subject = activation
        switch fault {
        case .scale:
            let place = try index("\(activation).scale")
            model.graph.initializer[place].rawData[2] ^= 1
        case .rowScale:
            subject = weight
            let place = try index("\(weight).scale")
            model.graph.initializer[place].rawData[4] ^= 1
        case .axis:
            subject = weight
            let place = try #require(model.graph.node.firstIndex { $0.output == ["\(weight).real"] })
            let attribute = try #require(model.graph.node[place].attribute.firstIndex { $0.name == "axis" })
            model.graph.node[place].attribute[attribute].i = 1
        case .zeroPoint:
            let place = try index("\(activation).zero_point")
            model.graph.initializer[place].rawData[0] ^= 1
        case .lostQuantize:
            model.graph.node.removeAll { $0.output == [activation] }
        case .lostZeroPoint:
            model.graph.initializer.remove(at: try index("\(activation).zero_point"))
        case .weight:
            subject = weight
            let tensor = model.graph.initializer[try index(weight)]
            let offset = try #require(tensor.externalData.first { $0.key == "offset" }.flatMap { Int($0.value) })
            let weights = URL(fileURLWithPath: "\(folder)/weights.bin")
            var bytes = try Data(contentsOf: weights)
            bytes[offset + 7] ^= 0x10
            try bytes.write(to: weights)
        }
        try model.serializedData().write(to: path)
        let error = #expect(throws: DyadError.self) { _ = try ExportManifest.check(folder, against: program) }
        #expect(error?.reason == .mismatch)
        #expect(error?.subject == subject)
    }

    @Test(arguments: ["manifest.json", "prefill.onnx", "weights.bin"])
    func aDamagedFolderIsRefused(file: String) throws {
        try expectDamageIsRefused(to: file) { _ = try Self.export($0, to: $1) }
    }

    @Test func aFolderThatCannotBeMadeIsAnError() throws {
        let error = #expect(throws: DyadError.self) { _ = try Self.export(tinyProgram(), to: "/dev/null/x") }
        #expect(error?.reason == .cannotWrite)
    }
}
