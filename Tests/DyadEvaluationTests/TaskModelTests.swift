import DyadCheckpoint
import DyadEvaluation
import DyadJobs
import DyadTargets
import DyadFormats
import DyadGraph
import DyadQuantization
import DyadTransformer
import Foundation
import Testing

/// Tasks on real executions: sharing a context must not change what is computed.
@Suite("Tasks on models", .needsTorch, .serialized)
struct TaskModelTests {
    /// Computes every window whole, whatever the model could do.
    private struct Whole: LanguageModel {
        let model: any LanguageModel
        var name: String { model.name }
        var vocabularySize: Int { model.vocabularySize }

        func evaluate(window: [Int32], _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void) throws {
            try model.evaluate(window: window, body)
        }
    }

    private struct Place: Hashable {
        let window: Int
        let position: Int
    }

    private func logits(_ model: any LanguageModel, _ tails: [WindowTail]) throws -> [Place: [Float]] {
        let size = model.vocabularySize
        var rows: [Place: [Float]] = [:]
        try model.evaluate(tails: tails) { window, range, logits in
            #expect(logits.count == range.count * size)
            for (row, position) in range.enumerated() {
                let place = Place(window: window, position: position)
                #expect(rows[place] == nil)
                rows[place] = Array(logits[row * size..<(row + 1) * size])
            }
        }
        return rows
    }

    @Test("the ends of windows that begin alike are those of whole windows: integers bit for bit, float up to rounding")
    func sharing() throws {
        try withFolder { folder in
            let path = try makeTinyCheckpoint(in: folder)
            var job = QuantizationJob(
                model: path, output: folder.appending(path: "out.dyad").plainPath,
                recipe: try Recipe.named("static-w8a8"))
            (job.samples, job.sequenceLength, job.context, job.threads) = (8, 32, 64, 1)
            _ = try job.run()
            let program = try IntegerProgram.load(job.output)
            let decoder = try Decoder(checkpoint: try Checkpoint.open(path))
            let prefixed = try decoder.copy()
            prefixed.prefix = try decoder.computePrefix([3, 4])
            let models: [(any LanguageModel, tolerance: Float)] = [
                (try IntegerModel(program, name: "integer"), 0), (SimulatedModel(program, name: "simulated"), 0),
                (FloatModel(decoder, name: "float"), 1e-4), (FloatModel(prefixed, name: "prefixed"), 1e-4),
            ]
            let context: [Int32] = (0..<20).map { Int32($0 * 11 % 32) }
            func tail(_ kept: Int, _ more: [Int32], _ start: Int) -> WindowTail {
                WindowTail(tokens: context.prefix(kept) + more, start: start)
            }
            let cases = [
                [tail(20, [], 19)], [tail(20, [], 19), tail(20, [], 19)],  // continuations of one token
                [tail(20, [5, 6, 7], 19), tail(20, [5, 8], 19), tail(20, [9, 1, 2, 3, 4], 19)],
                [tail(8, [30, 4, 5, 6], 9), tail(8, [29, 28, 4, 5, 6], 10)],  // contexts that part early
                [tail(0, [1, 2, 3], 1), tail(20, [], 5)],  // nothing in common
                [tail(3, [], 0), tail(3, [7], 0)],
                (0..<26).map { tail(20, [Int32](repeating: $0, count: 40), 19) },  // more than run side by side
            ]
            for (model, tolerance) in models {
                for tails in cases {
                    let found = try logits(model, tails), expected = try logits(Whole(model: model), tails)
                    #expect(found.count == tails.reduce(0) { $0 + $1.tokens.count - $1.start })
                    #expect(found.keys == expected.keys)
                    let worst = expected.map { place, row in
                        zip(row, found[place] ?? []).map { abs($0 - $1) }.max() ?? .infinity
                    }.max()
                    #expect(try #require(worst) <= tolerance, "\(model.name)")
                }
            }
        }
    }

    @Test(
        "SmolLM2 in float answers arc_easy better than chance", .needsSmolLM2,
        .enabled(if: exists(sharedFolder + "/data/arc_easy"), "no arc_easy in the shared data"))
    func smolLM2() throws {
        let checkpoint = try Checkpoint.open(smolLM2Path)
        let model = FloatModel(try Decoder(checkpoint: checkpoint), name: "float")
        let task = try TaskDefinition.list("arc_easy")[0]
        let rows = try task.rows(in: sharedFolder + "/data", limit: 20)
        let scorer = TaskScorer(model, tokenizer: try checkpoint.tokenizer(), maximumTokens: 512)
        let result = try scorer.score(task, rows)
        #expect(result.count == 20 && result.accuracy >= 0.4)
    }
}
