import DyadFormats
import DyadGraph
import DyadTestSupport
import Foundation
import SwiftProtobuf
import Testing

@testable import DyadExport

/// Core ML packages: what is written, and that `check` finds what was changed behind our back. That coremltools reads them is
/// `make test-npu-block`'s to show; nothing here executes them.
@Suite struct CoreMLExporterTests {
    private static func export(_ program: IntegerProgram, to folder: String) throws -> ExportReport {
        try CoreMLExporter(ExportPlan(target: .coreml, context: 16, chunk: 4)).export(
            program, from: tinySource, to: folder)
    }

    private static func model(_ folder: String) -> URL {
        URL(fileURLWithPath: "\(folder)/decode.mlpackage/Data/com.apple.CoreML/model.mlmodel")
    }

    @Test func whatIsReadWasMadeBeforeAndEvery8BitTensorIsRounded() throws {
        let folder = freshFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let program = tinyProgram()
        let report = try Self.export(program, to: folder)
        #expect(report.graphs.map(\.file) == ["prefill.mlpackage", "decode.mlpackage"])
        #expect(try ExportManifest.check(folder, against: program) == report.graphs.map(\.encodings).reduce(0, +))

        let model = try CoreMLModel(serializedBytes: Data(contentsOf: Self.model(folder)))
        #expect(model.specificationVersion == 9)
        #expect(model.description_p.state.count == program.graph.caches.count)
        #expect(model.description_p.input.map(\.name).contains("cache_position"))
        let function = try #require(model.mlProgram.functions["main"])
        let block = try #require(function.blockSpecializations["CoreML8"])
        var made = Set(function.inputs.map(\.name))
        for operation in block.operations {
            for argument in operation.inputs.values {
                for binding in argument.arguments where !binding.name.isEmpty {
                    #expect(made.contains(binding.name), "\(operation.type) reads \(binding.name)")
                }
            }
            for output in operation.outputs { #expect(made.insert(output.name).inserted, "\(output.name) twice") }
        }
        #expect(block.outputs == ["logits"] && made.contains("logits"))
        #expect(block.operations.count { $0.type == "write_state" } == program.graph.caches.count)
        // All 8-bit tensors of the integer graph but the keys' and values' rows before they are turned.
        let narrow = program.graph.tensors.count { $0.type == .u8 }
        #expect(block.operations.count { $0.type == "quantize" } >= narrow - 2 * program.graph.caches.count)
    }

    @Test func equalProgramsGiveEqualBytes() throws {
        let folders = [freshFolder(), freshFolder()]
        defer { folders.forEach { try? FileManager.default.removeItem(atPath: $0) } }
        for folder in folders { _ = try Self.export(tinyProgram(), to: folder) }
        let bytes = try folders.map { try Data(contentsOf: Self.model($0)) }
        #expect(bytes[0] == bytes[1])
    }

    enum Fault: CaseIterable {
        case scale, zeroPoint, storedScale, storedZeroPoint, lostQuantize, weight, rowScale, weightType
    }

    @Test(arguments: Fault.allCases)
    func aSeededFaultIsFoundByName(_ fault: Fault) throws {
        let folder = freshFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let program = tinyProgram()
        _ = try Self.export(program, to: folder)
        let url = Self.model(folder)
        var model = try CoreMLModel(serializedBytes: Data(contentsOf: url))
        var block = try #require(model.mlProgram.functions["main"]?.blockSpecializations["CoreML8"])
        let place = try #require(
            block.operations.firstIndex { $0.outputs.first?.name == "layers_1_mlp_gate_proj_output_stored" }
                ?? block.operations.firstIndex { $0.type == "quantize" })
        var subject = block.operations[place].outputs[0].name
        switch fault {
        case .scale, .zeroPoint:
            let key = fault == .scale ? "scale" : "zero_point"
            let other = try #require(
                block.operations.first { operation in
                    operation.type == "quantize"
                        && operation.inputs[key] != block.operations[place].inputs[key]
                }?.inputs[key])
            block.operations[place].inputs[key] = other
        case .storedScale, .storedZeroPoint:
            let key = fault == .storedScale ? "scale" : "zero_point"
            let name = try #require(block.operations[place].inputs[key]?.arguments.first?.name)
            // The constant may serve several tensors: the first is named.
            subject = try #require(
                block.operations.first { operation in
                    operation.inputs.values.contains { $0.arguments.contains { $0.name == name } }
                }?.outputs[0].name)
            let constant = try #require(block.operations.firstIndex { $0.outputs.first?.name == name })
            var value = try #require(block.operations[constant].attributes["val"])
            if value.immediateValue.tensor.bytes.values.isEmpty {
                value.immediateValue.tensor.ints.values[0] ^= 1
            } else {
                value.immediateValue.tensor.bytes.values[0] ^= 1
            }
            block.operations[constant].attributes["val"] = value
        case .lostQuantize: block.operations.remove(at: place)
        case .weight, .rowScale, .weightType:
            subject = "layers.1.mlp.down_proj.weight"
            let weights = url.deletingLastPathComponent().appendingPathComponent("weights/weight.bin")
            var bytes = try Data(contentsOf: weights)
            let operation = try #require(
                block.operations.first { $0.outputs.first?.name == "layers_1_mlp_down_proj_weight" })
            let offset = try #require(
                operation.inputs[fault == .rowScale ? "scale" : "data"]?.arguments.first?.value.blobFileValue.offset)
            // The seventh byte of the tensor, or its type in the 64 bytes before.
            bytes[Int(offset) + (fault == .weightType ? 4 : 64 + 7)] ^= 0x10
            try bytes.write(to: weights)
        }
        model.mlProgram.functions["main"]?.blockSpecializations["CoreML8"] = block
        try model.serializedData().write(to: url)
        let error = #expect(throws: DyadError.self) { _ = try ExportManifest.check(folder, against: program) }
        #expect(error?.reason == .mismatch)
        #expect(error?.subject == subject)
    }
    @Test(arguments: ["manifest.json", "decode.mlpackage/Data/com.apple.CoreML/weights/weight.bin"])
    func aDamagedFolderIsRefused(file: String) throws {
        try expectDamageIsRefused(to: file) { _ = try Self.export($0, to: $1) }
    }
}
