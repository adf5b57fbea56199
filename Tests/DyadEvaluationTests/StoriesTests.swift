import DyadCheckpoint
import DyadEvaluation
import DyadGraph
import DyadQuantization
import DyadRuntime
import DyadTokenizer
import DyadTransformer
import Foundation
import Testing

/// A real, trained model, small enough for any machine: Karpathy's stories260K.
@Suite(.needsTorch, .needsStories, .serialized) struct StoriesTests {
    /// Converts, quantises on text that the model writes itself, and opens the result.
    private func quantized(
        _ recipe: String, _ body: (Decoder, IntegerProgram, QuantizationJob.Report) throws -> Void
    ) throws {
        try withFolder { folder in
            let model = folder.appending(path: "stories").plainPath
            try convertStories(to: model)
            let output = folder.appending(path: "stories.dyad").plainPath
            var job = QuantizationJob(model: model, output: output, recipe: try Recipe.named(recipe))
            (job.samples, job.sequenceLength, job.context, job.threads) = (16, 128, 256, 1)
            let report = try job.run()
            try body(Decoder(checkpoint: Checkpoint.open(model)), IntegerProgram.load(output), report)
        }
    }

    private func greedyTokens(_ program: IntegerProgram, prompt: [Int32], count: Int) throws -> [Int32] {
        let tokenizer = try Tokenizer(document: program.tokenizer, file: "stories.dyad")
        let session = try Runtime(program: program, options: .init(threads: 1)).makeSession()
        let options = Generator.Options(maximumTokens: count, stopIDs: [])
        return try Generator(session: session, tokenizer: tokenizer).generate(prompt, options: options).tokenIDs
    }

    /// From the beginning of a text alone: token 1, `<s>`. (A program whose constant prefix is that token starts with it
    /// anyway and needs a further one: the first that the float model writes, “Once”.)
    @Test(arguments: ["static-w8a8", "rtn-w8a8", "folded-w8a8"])
    func aStoryBeginsAsTheFloatModelTellsIt(recipe: String) throws {
        try quantized(recipe) { decoder, program, report in
            let float = try DyadEvaluationTests.greedyTokens(decoder, prompt: [1], count: 64)
            let prompt = program.graph.prefixTokens == [1] ? [1, float[0]] : [1]
            let given = prompt.count - 1
            let written = try greedyTokens(program, prompt: prompt, count: 64 - given)
            let agreeing = zip(written, float[given...]).prefix { $0 == $1 }.count + given
            print(
                "stories", recipe, "prefix", program.graph.prefixTokens, "agreeing", agreeing, "float",
                report.float.perplexity, "integer", report.integer.perplexity, "simulated", report.simulated.perplexity,
                "KL", report.integer.comparison?.meanKL ?? -1)
            #expect(agreeing >= 20)
            #expect(report.integer.perplexity < 1.05 * report.float.perplexity)
            #expect(abs(report.integer.perplexity / report.simulated.perplexity - 1) < 0.005)
        }
    }

    @Test func fourBitWeightsStillTellStories() throws {
        try quantized("static-w4a8") { _, _, report in
            print("stories w4", report.float.perplexity, report.integer.perplexity, report.simulated.perplexity)
            #expect(report.integer.perplexity < 1.5 * report.float.perplexity)
            #expect(abs(report.integer.perplexity / report.simulated.perplexity - 1) < 0.005)
        }
    }
}

private let models = sharedFolder + "/data/models/"

extension Trait where Self == ConditionTrait {
    fileprivate static var needsStories: Self {
        .enabled(
            if: FileManager.default.fileExists(atPath: models + "stories260K.bin"), "no stories260K.bin in ../shared")
    }
}

private func convertStories(to folder: String) throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [
        "python3", repositoryRoot.appending(path: "scripts/convert_llama2c.py").plainPath, models + "stories260K.bin",
        models + "tok512.bin", folder,
    ]
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
}
