import DyadFormats
import DyadGraph
import DyadTestSupport
import Foundation
import Testing

@testable import DyadExport

/// LiteRT files: what is written, and that `check` finds what was changed behind our back. That LiteRT reads them is `make test-npu-block`'s
/// to show.
@Suite struct LiteRTExporterTests {
    private static func export(_ program: IntegerProgram, to folder: String, layers: Int? = nil) throws -> ExportReport
    {
        try LiteRTExporter(ExportPlan(target: .litert, context: 16, chunk: 4, layers: layers)).export(
            program, from: tinySource, to: folder)
    }

    @Test func whatIsWrittenIsWhatTheProgramSays() throws {
        let folder = freshFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let program = tinyProgram()
        let report = try Self.export(program, to: folder)
        #expect(report.graphs.map(\.file) == ["prefill.tflite", "decode.tflite"])
        #expect(try ExportManifest.check(folder, against: program) == report.graphs.map(\.encodings).reduce(0, +))
    }

    @Test func everyValueIsSignedAnd16BitOnesHaveZeroPointZero() throws {
        let program = tinyProgram()
        let lowered = try StaticLowering.lower(
            program, part: .whole(of: program.graph), shape: StaticShape(tokens: 2, context: 8), for: .litert)
        let (graph, rewrites) = try lowered.legalized(for: .litert)
        #expect(rewrites.count { $0.contains("normalisations") || $0.contains("4-bit weights in 8 bits") } == 2)
        for value in graph.values {
            switch value.type {
            case .quantized(.i16, let encoding): #expect(encoding.zeroPoint == 0, "\(value.name)")
            case .quantized(let type, _): #expect(type == .i8, "\(value.name)")
            case .perRow(let type, _): #expect(type == .i8 || type == .i32, "\(value.name)")
            case .float, .index, .condition: break
            }
        }
        // What only moves numbers keeps their encoding, or vela refuses it.
        for node in graph.nodes {
            switch node.operation {
            case .reshape, .transpose, .slice, .gather:
                #expect(graph.values[node.output].type == graph.values[node.inputs[0]].type)
            case .concatenate:
                for input in node.inputs { #expect(graph.values[node.output].type == graph.values[input].type) }
            default: break
            }
        }
    }

    enum Fault: String, CaseIterable { case scale, rowScale, axis, zeroPoint, lostEncoding, weight }

    @Test(arguments: Fault.allCases)
    func aSeededFaultIsFoundByName(_ fault: Fault) throws {
        let folder = freshFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let program = tinyProgram()
        _ = try Self.export(program, to: folder)
        let shape = StaticShape(tokens: 4, context: 16, logits: .one)
        let graph = try StaticGraph.lowered(program, part: .whole(of: program.graph), shape: shape, for: .litert)
        let file = try LiteRTWriter.file(
            of: graph, named: "prefill.tflite", metadata: tinySource.metadata(.litert, shape))
        let activation = "layers.1.mlp.down_proj.output", weight = "layers.1.mlp.down_proj.weight"
        func range(_ subject: String, _ part: String) throws -> Range<Int> {
            try #require(file.regions.first { $0.name.subject == subject && $0.name.part == part }?.range)
        }
        let path = URL(fileURLWithPath: "\(folder)/prefill.tflite")
        var bytes = try [UInt8](Data(contentsOf: path))
        #expect(bytes == file.bytes)
        var subject = weight
        switch fault {
        case .scale:
            subject = activation
            bytes[try range(activation, "scale").upperBound - 1] ^= 1
        case .rowScale: bytes[try range(weight, "scale").upperBound - 2] ^= 1
        case .zeroPoint:
            subject = activation
            bytes[try range(activation, "zero point").upperBound - 8] ^= 1
        case .axis:
            // A vtable of 7 slots; the last is the axis.
            let table = try range(weight, "axis or encoding").lowerBound
            let start = table + (bytes[table] == 0 ? 2 : 0)
            #expect(bytes[start] == 4 + 2 * 7)
            bytes[start + Int(bytes[start]) + Int(bytes[start + 4 + 2 * 6])] = 1
        case .lostEncoding:
            subject = activation
            // A vtable of 9 slots; number 4 is the encoding.
            let table = try range(activation, "description").lowerBound
            let start = table + (bytes[table] == 0 ? 2 : 0)
            #expect(bytes[start] == 4 + 2 * 9)
            bytes[start + 4 + 2 * 4] = 0
        case .weight: bytes[try range(weight, "value").upperBound - 7] ^= 0x10
        }
        try Data(bytes).write(to: path)
        let error = #expect(throws: DyadError.self) { _ = try ExportManifest.check(folder, against: program) }
        #expect(error?.reason == .mismatch)
        #expect(error?.subject == subject)
    }

    @Test(arguments: ["manifest.json", "decode.tflite"])
    func aDamagedFolderIsRefused(file: String) throws {
        try expectDamageIsRefused(to: file) { _ = try Self.export($0, to: $1) }
    }

    /// A manifest that names no graph, or not all, or says something else of one, is no proof.
    @Test(arguments: ["none", "half", "scale"])
    func aManifestThatSaysLessOrElseIsRefused(_ change: String) throws {
        let folder = freshFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let program = tinyProgram()
        _ = try Self.export(program, to: folder, layers: 1)
        let path = "\(folder)/manifest.json"
        var manifest = try #require(try JSONValue.read(path).object)
        var graphs = try #require(manifest["graphs"]?.array)
        switch change {
        case "none": graphs = []
        case "half": graphs.removeLast()
        default:
            var graph = try #require(graphs[0].object)
            var inputs = try #require(graph["outputs"]?.array)
            var value = try #require(inputs.last?.object)
            value["scale"] = .measured(7)
            inputs[inputs.count - 1] = .object(value)
            graph["outputs"] = .array(inputs)
            graphs[0] = .object(graph)
        }
        manifest["graphs"] = .array(graphs)
        try JSONValue.object(manifest).text().write(toFile: path, atomically: true, encoding: .utf8)
        let error = #expect(throws: DyadError.self) { _ = try ExportManifest.check(folder, against: program) }
        #expect(error?.reason == .mismatch && error?.file == path)
    }

    /// Cut at layer boundaries, every tensor that crosses one is an output of a part and an input of the next.
    @Test(arguments: [ExportTarget.litert, .sm8650])
    func partsFitTogether(target: ExportTarget) throws {
        let folder = freshFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let program = tinyProgram()
        let exporter: any Exporter =
            target.descriptor.isSigned
            ? LiteRTExporter(ExportPlan(target: target, context: 16, chunk: nil, layers: 1))
            : ONNXExporter(ExportPlan(target: target, context: 16, chunk: nil, layers: 1))
        let report = try exporter.export(program, from: tinySource, to: folder)
        #expect(report.graphs.count == program.graph.layerCount)
        #expect(try ExportManifest.check(folder, against: program) == report.graphs.map(\.encodings).reduce(0, +))
        var made: Set<String> = []
        for graph in report.graphs {
            let lowered = try StaticLowering.lower(program, part: graph.part, shape: graph.shape, for: .litert)
            let given = Set(lowered.inputs.map { lowered.values[$0].name })
            let tensors = Set(program.graph.tensors.map(\.name))
            #expect(given.intersection(tensors).isSubset(of: made))
            made.formUnion(lowered.outputs.map { lowered.values[$0].name })
        }
        #expect(made.contains("logits"))
    }
}
