import DyadCheckpoint
import DyadEvaluation
import DyadFormats
import DyadGraph
import DyadQuantization
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
    /// The float model, which answers many conversations at a time.
    private let float: (decoder: Decoder, context: Int)?

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
            let decoder = try Decoder(checkpoint: checkpoint)
            let context = min(checkpoint.configuration.maximumPositions, Self.floatContext)
            let session = try FloatSession(decoder, capacity: context)
            generator = Generator(session: session, tokenizer: tokenizer)
            float = (decoder, context)
            return
        }
        float = nil
        let program = try IntegerProgram.load(path)
        tokenizer = try Tokenizer(document: program.tokenizer, file: path)
        var options = Runtime.Options()
        if let threads { options.threads = threads }
        generator = Generator(
            session: try Runtime(program: program, options: options).makeSession(), tokenizer: tokenizer)
    }

    /// The tokens of a conversation, up to where the assistant answers.
    public func prompt(_ messages: [ChatMessage]) throws -> [Int32] {
        let rendered = try tokenizer.renderChat(messages)
        return try known(tokenizer.encode(rendered), of: rendered.text, from: "the chat template wrote")
    }

    /// The tokens of a text to continue.
    public func prompt(_ text: String) throws -> [Int32] {
        try known(tokenizer.encodePrompt(text), of: text, from: "the prompt has")
    }

    /// Answers every conversation of a file in which the assistant does not speak last, and hands over each as a line of JSON: all that
    /// its own line says, with the answer behind the messages. The seed grows by one a line.
    ///
    /// A float model writes all of them before the first is handed over, 32 at a time: its matrices are read once for all.
    public func answer(
        _ file: String, options: Generator.Options, progress: ProgressReporter? = nil,
        receive: (String) throws(DyadError) -> Void
    ) throws {
        let rows = try JSONLines.read(try FileBytes(file), file: file) { row throws(DyadError) in
            (object: try row.object(), conversation: try Conversation(row))
        }.filter { !$0.conversation.isAnswered }
        let prompts = try rows.map { try prompt($0.conversation.messages) }
        let texts = try float.map { try answers(of: $0.decoder, context: $0.context, to: prompts, options, progress) }
        var options = options
        for (index, row) in rows.enumerated() {
            let text = try texts?[index] ?? generator.generate(prompts[index], options: options).text
            let messages = row.conversation.messages + [ChatMessage(role: "assistant", content: text)]
            var answered = row.object
            answered["messages"] = .array(messages.map { .object($0.fields) })
            try receive(JSONValue.object(answered).text())
            options.sampling.seed &+= 1
        }
    }

    /// What ``generator`` would write behind each prompt, but for what a batch rounds differently.
    private func answers(
        of decoder: Decoder, context: Int, to prompts: [[Int32]], _ options: Generator.Options,
        _ progress: ProgressReporter?
    ) throws -> [String] {
        try options.check()
        guard prompts.allSatisfy({ !$0.isEmpty }) else { throw DyadError.emptyPrompt() }
        let longest = prompts.map(\.count).max() ?? 0
        guard options.maximumTokens <= context - longest else {
            throw DyadError(
                .mismatch, file: path, subject: "context",
                found: "a conversation of \(longest) tokens and an answer of \(options.maximumTokens)",
                expected: "at most \(context) together", remedy: "Choose a smaller --max-tokens.")
        }
        var samplers = try prompts.indices.map { index in
            var sampling = options.sampling
            sampling.seed &+= UInt64(index)
            return try Sampler(sampling)
        }
        var histories = prompts
        let ends = Set(tokenizer.eosIDs)
        let written = try FloatGenerator(decoder).answers(
            to: prompts, maximumTokens: max(options.maximumTokens, 1), ends: ends,
            choose: { prompt, logits in
                let token = samplers[prompt].next(FloatSession.rounded(logits), history: histories[prompt])
                histories[prompt].append(token)
                return token
            },
            progress: { done in progress?.update(phase: "answer", completed: done, total: prompts.count) })
        return written.map { answer in
            var tokens = answer.prefix(options.maximumTokens).map { $0.token }
            if let last = tokens.last, ends.contains(last) { tokens.removeLast() }
            return tokenizer.decode(tokens, skipSpecial: true)
        }
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
