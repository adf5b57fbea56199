import ArgumentParser
import DyadFormats
import DyadJobs
import DyadRuntime
import DyadTokenizer

/// How the next token is chosen; shared by `generate` and `chat`.
struct SamplingArguments: ParsableArguments {
    @Option(help: "Most tokens to write.") var maxTokens = 256
    @Option(help: "0 takes the likeliest token.") var temperature = 0.0
    @Option(help: "Sample from the k likeliest tokens (0: all).") var topK = 0
    @Option(help: "Sample from the likeliest tokens that together have this probability.") var topP = 1.0
    @Option(help: "Drop tokens less likely than this share of the likeliest.") var minP = 0.0
    @Option(help: "Divide the odds of tokens already written (1: off).") var repetitionPenalty = 1.0
    @Option(help: "Seed of the sampling.") var seed: UInt64 = 0
    @Option(help: "Threads (default: one a core).") var threads: Int?

    var generation: Generator.Options {
        Generator.Options(
            maximumTokens: maxTokens,
            sampling: SamplingOptions(
                temperature: temperature, topK: topK, topP: topP, minP: minP, repetitionPenalty: repetitionPenalty,
                seed: seed))
    }
}

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Continue a text, or answer questions, with a program or with the float model.")

    @Argument(help: "The .dyad file; or a checkpoint, for what the float model would write.") var program: String
    @Option(help: "The text to continue.") var prompt: String?
    @Flag(help: "Treat the prompt as a user's message and answer it (chat template of the model).") var chat = false
    @Option(
        help: ArgumentHelp(
            """
            Instead of a prompt: answer every conversation of a .jsonl file, and print it with its answer, a line each; the seed grows \
            by one a line.
            """, valueName: "file"))
    var conversations: String?
    @OptionGroup var sampling: SamplingArguments
    @Flag(help: "Print one JSON document instead of the text as it is written.") var json = false

    func validate() throws {
        guard (prompt == nil) != (conversations == nil) else {
            throw ValidationError("Give either --prompt TEXT or --conversations FILE.")
        }
    }

    func run() throws {
        let loaded = try Writer(program, threads: sampling.threads)
        if let conversations {
            return try loaded.answer(conversations, options: sampling.generation, progress: ProgressLine()) {
                (line) throws(DyadError) in
                try Terminal.print(line)
            }
        }
        guard let prompt else { return }
        let ids =
            chat
            ? try loaded.prompt([ChatMessage(role: "user", content: prompt)])
            : try loaded.prompt(prompt)
        let result = try loaded.generator.generate(ids, options: sampling.generation) { (piece) throws(DyadError) in
            if !json { try Terminal.print(piece, terminator: "") }
            return true
        }
        try Terminal.print(json ? result.json().text() : "")
        if result.isContextFull {
            Terminal.note("The context is full: quantise with a larger --context for longer texts.")
        }
    }
}
