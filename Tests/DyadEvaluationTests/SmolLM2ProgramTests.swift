import DyadCheckpoint
import DyadEvaluation
import DyadJobs
import DyadTargets
import DyadGraph
import DyadQuantization
import DyadRuntime
import DyadTransformer
import Testing

/// The integer program of the real model: what the runtime computes is what the reference defines, bit for bit.
@Suite("SmolLM2 as an integer program", .needsTorch, .needsSmolLM2, .serialized)
struct SmolLM2ProgramTests {
    /// Ids that cover the vocabulary; what they say does not matter for equality.
    private static let tokens = (0..<520).map { Int32(($0 * 7919 + 13) % 49152) }

    /// Calibrated on next to nothing: the scales are poor, the program has every operation of the real one.
    private static let program = Result { try makeProgram() }

    private static func makeProgram() throws -> IntegerProgram {
        let checkpoint = try Checkpoint.open(smolLM2Path)
        let windows = [Array(tokens[0..<48]), Array(tokens[300..<348])]
        var recipe = try Recipe.named("static-w8a8")
        recipe.prefix = .tokens([1])
        recipe.weights.clip = .none
        return try Quantizer(recipe: recipe, seed: 1, context: 640).quantize(
            Decoder(checkpoint: checkpoint), tokenizer: checkpoint.tokenizer(),
            text: CalibrationText(calibration: windows, heldOut: windows)
        ).program
    }

    @Test("runtime and reference agree on all logits of 520 tokens: kernels, threads, prefill chunks")
    func runtimeEqualsReference() throws {
        let program = try Self.program.get()
        let expected = try ReferenceInterpreter(program).run(tokens: Self.tokens, logits: .all)
        for kernels in KernelSet.available {
            for threads in [1, 2] {
                for chunk in [1, 7, 64, 512] {
                    let options = Runtime.Options(threads: threads, kernels: kernels, prefillChunk: chunk)
                    let session = try Runtime(program: program, options: options).makeSession()
                    var (rows, equal) = (0, true)
                    try session.evaluate(Self.tokens, droppingPrefix: false) { first, logits in
                        rows += logits.count / program.graph.vocabularySize
                        let start = first * program.graph.vocabularySize
                        equal = equal && logits.elementsEqual(expected[start..<start + logits.count])
                    }
                    #expect(equal && rows == Self.tokens.count, "\(kernels.name), \(threads) threads, chunk \(chunk)")
                }
            }
        }
    }

    @Test("every operation is within a step of exact arithmetic on its own integers")
    func operationsAreNearExact() throws {
        let program = try Self.program.get()
        let result = try Verification.run(program, tokens: Array(Self.tokens.prefix(24)), against: .exact)
        #expect(result.rows.count > 400)
        for row in result.rows {
            #expect(row.maximumSteps <= Verification.exactBudget, "\(row.tensor): \(row.maximumSteps)")
        }
    }
}
