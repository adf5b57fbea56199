import DyadFormats
import DyadGraph
import DyadTestSupport
import Foundation
import Testing

@testable import DyadExport

/// What stands beside the graphs of a folder: the encodings, and what a compiler made.
@Suite struct ExportFolderTests {
    private func withExport(_ exporter: any Exporter, _ body: (String, IntegerProgram) throws -> Void) throws {
        let folder = freshFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let program = tinyProgram()
        _ = try exporter.export(program, from: tinySource, to: folder)
        try body(folder, program)
    }

    private static let plans = [
        ExportPlan(target: .sm8650, context: 16, chunk: 4), .init(target: .litert, context: 16, chunk: nil),
    ]

    /// Every encoding is there under its tensor's name, and one that is changed or left out is found under it.
    @Test(arguments: plans) func encodingsAreWrittenAndChecked(plan: ExportPlan) throws {
        try withExport(plan.target == .litert ? LiteRTExporter(plan) : ONNXExporter(plan)) { folder, program in
            let path = "\(folder)/encodings.json"
            let written = try #require(try JSONValue.read(path).object)
            for piece in plan.pieces(of: program, ending: plan.target == .litert ? "tflite" : "onnx") {
                let graph = try piece.lowered(program, for: plan.target).graph
                let own = try #require(written["graphs"]?.object?[piece.file]?.object)
                for value in graph.values {
                    switch value.type {
                    case .quantized(_, let encoding):
                        #expect(own[value.name]?.object?["scale"]?.double.map { Float($0) } == encoding.scale)
                    case .perRow(_, let scales):
                        let found = written["weights"]?.object?[value.name]?.object?["scales"]?.array
                        #expect(found?.compactMap(\.double).map { Float($0) } == scales)
                    case .float, .index, .condition: break
                    }
                }
            }
            #expect(try ExportManifest.check(folder, against: program) > 0)
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let decode = try #require(written["graphs"]?.object?.values.last?.object)
            for name in [try #require(decode.keys.last), try #require(written["weights"]?.object?.keys.first)] {
                for broken in [
                    text.replacing("\"\(name)\":{", with: "\"\(name)\":{\"axis\":1,"),
                    text.replacing("\"\(name)\"", with: "\"x\""),
                ] {
                    try #require(broken != text)
                    try broken.write(toFile: path, atomically: true, encoding: .utf8)
                    let error = #expect(throws: DyadError.self) {
                        _ = try ExportManifest.check(folder, against: program)
                    }
                    #expect(error?.subject == name || error?.reason == .malformed)
                }
            }
        }
    }

    /// A compiled file that is no longer what was compiled is found.
    @Test func compiledFilesAreChecked() throws {
        try withExport(ONNXExporter(Self.plans[0])) { folder, program in
            let path = "\(folder)/decode.sm8650.onnx"
            try Data([1, 2, 3]).write(to: URL(fileURLWithPath: path))
            try CompiledFiles.write([("decode.sm8650.onnx", "soc_type=SM8650;arch=75")], in: folder)
            _ = try ExportManifest.check(folder, against: program)
            try Data([1, 2, 4]).write(to: URL(fileURLWithPath: path))
            let error = #expect(throws: DyadError.self) { _ = try ExportManifest.check(folder, against: program) }
            #expect(error?.reason == .mismatch && error?.file == path)
            try FileManager.default.removeItem(atPath: path)
            let other = #expect(throws: DyadError.self) { _ = try ExportManifest.check(folder, against: program) }
            #expect(other?.reason == .missing)
        }
    }

    /// Whole where it fits, else in the fewest equal parts that do, the embedding's table counted at 16 bit; a layer that does not fit is
    /// left to the writer, which says so.
    @Test func partsAreAsLargeAsAFileCanBe() {
        var shape = DecoderShape()
        (shape.layers, shape.vocabulary) = (4, 50)
        let graph = shape.program(seed: 1).graph
        let weights = graph.constants.filter { $0.name.hasPrefix("layers.0.") && $0.type == .i8 }
        let layer = weights.map { $0.shape.reduce(1, *) }.reduce(0, +)
        let table = shape.vocabulary * shape.hidden
        #expect(layer > 0)
        #expect(ProgramPart.layersThatFit(nil, of: graph) == 4)
        #expect(ProgramPart.layersThatFit(4 * layer + 3 * table, of: graph) == 4)
        #expect(ProgramPart.layersThatFit(4 * layer + 3 * table - 1, of: graph) == 3)
        #expect(ProgramPart.layersThatFit(2 * layer + 2 * table, of: graph) == 2)
        #expect(ProgramPart.layersThatFit(1, of: graph) == 1)
    }

    /// A list of compiled files that `dyad export` did not write is an error that names it, and reaches no file elsewhere.
    @Test(arguments: [
        "", "[", "{}", "[1]", "[{}]", #"[{"file":"decode.onnx"}]"#, #"[{"file":"../x","sha256":"00"}]"#,
        #"[{"file":1,"sha256":"00"}]"#,
    ])
    func aDamagedListOfCompiledFilesIsRefused(text: String) throws {
        try withExport(ONNXExporter(Self.plans[0])) { folder, program in
            let path = "\(folder)/compiled.json"
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            let error = #expect(throws: DyadError.self) { _ = try ExportManifest.check(folder, against: program) }
            #expect(error?.reason == .malformed && error?.file == path)
        }
    }
}
