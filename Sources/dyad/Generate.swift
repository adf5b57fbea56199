import ArgumentParser
import DyadCheckpoint
import DyadEvaluation
import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTokenizer
import DyadTransformer

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

/// A program, or the float model of a checkpoint, with its tokenizer, ready to write.
struct LoadedProgram {
    let tokenizer: Tokenizer
    let generator: Generator
    private let path: String

    /// Tokens that a float model's cache has room for, where the model was made for more.
    private static let floatContext = 2048

    init(_ path: String, threads: Int?) throws {
        self.path = path
        guard path.hasSuffix(".dyad") else {
            let checkpoint = try Checkpoint.open(path)
            tokenizer = try checkpoint.tokenizer()
            let session = try FloatSession(
                try Decoder(checkpoint: checkpoint),
                capacity: min(checkpoint.configuration.maximumPositions, Self.floatContext))
            generator = Generator(session: session, tokenizer: tokenizer)
            return
        }
        let program = try IntegerProgram.load(path)
        tokenizer = try Tokenizer(document: program.tokenizer, file: path)
        var options = Runtime.Options()
        if let threads { options.threads = threads }
        generator = Generator(
            session: try Runtime(program: program, options: options).makeSession(), tokenizer: tokenizer)
    }

    func prompt(_ messages: [ChatMessage]) throws -> [Int32] {
        let rendered = try tokenizer.renderChat(messages, addGenerationPrompt: true)
        return try known(tokenizer.encode(rendered), of: rendered.text, from: "the chat template wrote")
    }

    func prompt(_ text: String) throws -> [Int32] {
        try known(tokenizer.encodePrompt(text), of: text, from: "the prompt has")
    }

    /// A vocabulary without byte tokens may know nothing of a text; that is not an empty text.
    private func known(_ ids: [Int32], of text: String, from source: String) throws -> [Int32] {
        guard ids.isEmpty, !text.isEmpty else { return ids }
        throw DyadError(
            .mismatch, file: path, subject: "tokenizer",
            found: "no token for the \(text.unicodeScalars.count) characters that \(source)",
            expected: "at least one",
            remedy: "Write with characters of the vocabulary, or use the model's own tokenizer.")
    }
}

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Continue a text, or answer a question, with a program or with the float model.")

    @Argument(help: "The .dyad file; or a checkpoint, for what the float model would write.") var program: String
    @Option(help: "The text to continue.") var prompt: String
    @Flag(help: "Treat the prompt as a user's message and answer it (chat template of the model).") var chat = false
    @OptionGroup var sampling: SamplingArguments
    @Flag(help: "Print one JSON document instead of the text as it is written.") var json = false

    func run() throws {
        let loaded = try LoadedProgram(program, threads: sampling.threads)
        let ids =
            chat
            ? try loaded.prompt([ChatMessage(role: "user", content: prompt)])
            : try loaded.prompt(prompt)
        let result = try loaded.generator.generate(ids, options: sampling.generation) { (piece) throws(DyadError) in
            if !json { try Terminal.print(piece, terminator: "") }
            return true
        }
        if json {
            try Terminal.print(
                JSONValue.object(
                    JSONObject([
                        ("text", .string(result.text)),
                        ("token_ids", .array(result.tokenIDs.map { .integer(Int($0)) })),
                        ("finish_reason", .string(result.finishReason.rawValue)),
                        ("is_context_full", .bool(result.isContextFull)),
                        ("prompt_tokens", .integer(result.promptTokens)),
                    ])
                ).text())
        } else {
            try Terminal.print("")
        }
        if result.isContextFull {
            Terminal.note("The context is full: quantise with a larger --context for longer texts.")
        }
    }
}
