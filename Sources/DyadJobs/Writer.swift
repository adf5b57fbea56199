import DyadCheckpoint
import DyadEvaluation
import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTokenizer
import DyadTransformer

/// A program, or the float model of a checkpoint, with its tokenizer, ready to write.
public struct Writer {
    /// The model's own.
    public let tokenizer: Tokenizer
    /// What writes, behind the tokens of ``prompt(_:)``.
    public let generator: Generator
    private let path: String

    /// Tokens that a float model's cache has room for, where the model was made for more.
    private static let floatContext = 2048

    /// Loads a `.dyad` file, or a checkpoint: the float model.
    ///
    /// - Parameter threads: of a program; nil takes one a core.
    public init(_ path: String, threads: Int?) throws {
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

    /// The tokens of a conversation, up to where the assistant answers.
    public func prompt(_ messages: [ChatMessage]) throws -> [Int32] {
        let rendered = try tokenizer.renderChat(messages, addGenerationPrompt: true)
        return try known(tokenizer.encode(rendered), of: rendered.text, from: "the chat template wrote")
    }

    /// The tokens of a text to continue.
    public func prompt(_ text: String) throws -> [Int32] {
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

extension Generator.Result {
    /// For `--json`.
    public func json() -> JSONValue {
        .object(
            JSONObject([
                ("text", .string(text)), ("token_ids", .array(tokenIDs.map { .integer(Int($0)) })),
                ("finish_reason", .string(finishReason.rawValue)), ("is_context_full", .bool(isContextFull)),
                ("prompt_tokens", .integer(promptTokens)),
            ]))
    }
}
