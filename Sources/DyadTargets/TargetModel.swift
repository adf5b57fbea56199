import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph
import Foundation

/// An exported program in a vendor's library: whole windows in one step, from an empty cache.
final class TargetModel: LanguageModel {
    let name: String
    let vocabularySize: Int
    private let program: IntegerProgram
    private let worker: TargetWorker
    private let graph: StaticGraph
    private let shape: StaticShape
    private let logits: StaticGraph.Value

    /// Exports and loads the whole program for windows of `length` tokens.
    init(
        _ program: IntegerProgram, library: TargetLibrary, length: Int, folder: String
    ) throws(DyadError) {
        self.program = program
        name = library.rawValue
        vocabularySize = program.graph.vocabularySize
        shape = StaticShape(tokens: length, context: length)
        worker = try TargetWorker(library.worker)
        let (file, graph) = try library.write(
            .whole(of: program.graph), of: program, shape: shape, observing: false, to: folder)
        guard let last = graph.outputs.last(where: { graph.values[$0].shape.last == program.graph.vocabularySize })
        else {
            throw DyadError(
                .mismatch, subject: "logits", found: "no output of \(vocabularySize) columns", expected: "the logits",
                remedy: "Report this as a defect of Dyad.")
        }
        logits = graph.values[last]
        self.graph = graph
        try worker.load(file)
    }

    func evaluate(window: [Int32], _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void) throws {
        guard window.count == shape.tokens, let encoding = logits.type.encoding else {
            throw DyadError(
                .mismatch, subject: "window", found: "\(window.count) tokens", expected: "\(shape.tokens)",
                remedy: "Give a text of at least one window.")
        }
        let step = StepInputs(program, shape: shape, tokens: window, start: 0)
        var inputs: [(name: String, bytes: [UInt8])] = []
        for id in graph.inputs {
            let value = graph.values[id]
            inputs.append((value.name, try step.bytes(of: value, tensor: { _ in nil }, rows: { _ in [] })))
        }
        let (outputs, _) = try worker.run(inputs, outputs: [logits.name])
        let values = logits.integers(outputs[logits.name] ?? []).map {
            Float($0 - encoding.zeroPoint) * encoding.scale
        }
        try values.withUnsafeBufferPointer { try body(0..<window.count, $0) }
    }
}
