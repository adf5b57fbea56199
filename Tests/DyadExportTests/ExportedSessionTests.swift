import DyadFormats
import DyadGraph
import DyadTestSupport
import Foundation
import Testing

@testable import DyadExport

/// The host's side of an exported folder: chunks, a chunk that is not full, single steps and parts give the logits of one whole window.
@Suite struct ExportedSessionTests {
    private let program = tinyProgram()
    private let tokens: [Int32] = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9]

    /// The logits of every token, all in one step from an empty cache.
    private func whole(_ target: ExportTarget) throws -> [[Float]] {
        let shape = StaticShape(tokens: tokens.count, context: tokens.count)
        let graph = try StaticGraph.lowered(program, part: .whole(of: program.graph), shape: shape, for: target)
        let step = StepInputs(program, shape: shape, tokens: tokens, start: 0)
        var inputs: [String: [UInt8]] = [:]
        for id in graph.inputs {
            inputs[graph.values[id].name] = try step.bytes(
                of: graph.values[id], tensor: { _ in nil }, rows: { _ in [] })
        }
        var interpreter = StaticInterpreter(graph)
        let value = try #require(graph.outputs.map { graph.values[$0] }.last)
        let encoding = try #require(value.type.encoding)
        let logits = (interpreter.run(inputs)[value.name] ?? []).map { Float($0 - encoding.zeroPoint) * encoding.scale }
        let width = program.graph.vocabularySize
        return (0..<tokens.count).map { Array(logits[($0 * width)..<(($0 + 1) * width)]) }
    }

    /// Executes the graphs of a plan as their files would be.
    private func executor(_ plan: ExportPlan) throws -> ExportedSession.Execute {
        var graphs: [String: StaticGraph] = [:]
        for piece in plan.pieces(of: program, ending: "onnx") {
            graphs[piece.file] = try piece.lowered(program, for: plan.target).graph
        }
        return { file, inputs, outputs in
            let graph = try #require(graphs[file])
            var interpreter = StaticInterpreter(graph)
            let results = interpreter.run(Dictionary(uniqueKeysWithValues: inputs.map { ($0.name, $0.bytes) }))
            var bytes: [String: [UInt8]] = [:]
            for name in outputs {
                let type = try #require(graph.values.first { $0.name == name }?.type.integerType)
                bytes[name] = (results[name] ?? []).flatMap { value in
                    (0..<type.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Int32($0 * 8)) }
                }
            }
            return bytes
        }
    }

    @Test(arguments: [ExportTarget.onnxruntime, .sm8650], [nil, 1])
    func aChainOfStepsIsOneWindow(target: ExportTarget, layers: Int?) throws {
        let expected = try whole(target)
        for chunk in [4, nil] {
            let folder = freshFolder()
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let plan = ExportPlan(target: target, context: 16, chunk: chunk, layers: layers)
            _ = try ONNXExporter(plan).export(program, from: tinySource, to: folder)
            let session = try ExportedSession(folder)
            let execute = try executor(plan)
            var made = try session.advance(Array(tokens[..<7]), execute: execute)
            for token in tokens[7...] { made += try session.advance([token], execute: execute) }
            #expect(made.map(\.count) == (chunk == nil ? Array(1...11) : [4, 7, 8, 9, 10, 11]))
            for (count, logits) in made {
                #expect(logits == expected[count - 1], "token \(count), chunk \(chunk ?? 1)")
            }
        }
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let folder = freshFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let plan = ExportPlan(target: .onnxruntime, context: 8, chunk: 4)
        _ = try ONNXExporter(plan).export(program, from: tinySource, to: folder)
        let session = try ExportedSession(folder)
        let execute = try executor(plan)
        #expect(throws: DyadError.self) { _ = try session.advance(Array(tokens[..<9]), execute: execute) }
        #expect(session.count == 0)
        let error = #expect(throws: DyadError.self) { _ = try session.advance([1]) { _, _, _ in [:] } }
        #expect(error?.reason == .mismatch && session.count == 0)

        let manifest = "\(folder)/manifest.json"
        let text = try String(contentsOfFile: manifest, encoding: .utf8)
        try text.replacing("\"shape\"", with: "\"form\"").write(toFile: manifest, atomically: true, encoding: .utf8)
        let damaged = try ExportedSession(folder)
        defer {
            // Lengths that do not go together.
            for (old, new) in [
                ("\"tokens\":4", "\"tokens\":9"), ("\"tokens\":1,", "\"tokens\":3,"),
                ("\"context\":8", "\"context\":-8"),
            ] {
                try? text.replacing(old, with: new).write(toFile: manifest, atomically: true, encoding: .utf8)
                #expect(throws: DyadError.self) { _ = try ExportedSession(folder) }
            }
        }
        let other = #expect(throws: DyadError.self) { _ = try damaged.advance([1], execute: execute) }
        #expect(other?.reason == .malformed)
    }

    @Test func aManifestThatClaimsMuchIsRefusedWithTheNumber() throws {
        let folder = freshFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        _ = try ONNXExporter(ExportPlan(target: .onnxruntime, context: 8, chunk: 4)).export(
            program, from: tinySource, to: folder)
        let manifest = "\(folder)/manifest.json"
        let text = try String(contentsOfFile: manifest, encoding: .utf8)
        let most = 1_048_575
        // A mask of 2^40 bytes: the port says little, the lengths much. And caches of half a gigabyte each.
        let chunk = text.replacing("\"tokens\":4", with: "\"tokens\":\(most)")
            .replacing("\"context\":8", with: "\"context\":\(most)")
        let cache = text.replacing(/\.past","shape":\[[0-9,]+\]/, with: ".past\",\"shape\":[1,8192,1024,64]")
        for (damaged, tokens, number) in [(chunk, most, most * most), (cache, 1, 1 << 29)] {
            try damaged.write(toFile: manifest, atomically: true, encoding: .utf8)
            let session = try ExportedSession(folder)
            let error = #expect(throws: DyadError.self) {
                _ = try session.advance([Int32](repeating: 1, count: tokens)) { _, _, _ in [:] }
            }
            #expect(error?.reason == .malformed && error?.file == manifest)
            let said = error?.found.split(separator: " ").compactMap { Int($0) }.first ?? 0
            #expect(said >= number, "\(error?.found ?? "")")
        }
    }
}
