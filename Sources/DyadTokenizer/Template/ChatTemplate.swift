import DyadFormats
import Foundation

/// A message of a conversation: at least a role and, as a rule, a content.
public struct ChatMessage: Sendable, Equatable {
    /// What the template sees: `role`, `content`, and whatever else it knows (`tool_calls`, `name`).
    public var fields: JSONObject

    /// A message of text.
    public init(role: String, content: String) {
        fields = JSONObject([("role", .string(role)), ("content", .string(content))])
    }

    /// A message with any fields.
    public init(fields: JSONObject) { self.fields = fields }
}

/// A chat template as models ship them: Jinja, set up as Hugging Face's transformers does (`trim_blocks`,
/// `lstrip_blocks`, `break` and `continue`, `raise_exception`, `strftime_now`, `tojson` without escapes).
///
/// What it knows: the tags if, for (recursive, too), set, macro, call, filter, with, generation, raw, break and
/// continue; the filters and tests that its errors list; Python's methods of strings, lists and mappings;
/// `namespace`, `range`, `dict`, `cycler`, `joiner`, `loop`. What it does not know is refused by name, arguments
/// included. A template runs in bounded time and memory, whatever it says: docs/Dyad.docc/ThreatModel.md.
public struct ChatTemplate: Sendable {
    private let statements: [TemplateStatement]

    /// Compiles a template. Linear.
    /// - Throws: ``DyadError``: `malformed` or `unsupported`, naming the line.
    public init(source: String) throws(DyadError) {
        guard source.utf8.count <= 1 << 20 else {
            throw TemplateFailure.syntax(1, "\(source.utf8.count) bytes", "at most 1 MiB")
        }
        var parser = try TemplateParser(source)
        statements = try parser.template()
    }

    /// The prompt for a conversation.
    /// - Parameters:
    ///   - messages: the conversation so far. Its text is the prompt's ``RenderedPrompt/contentRanges``.
    ///   - addGenerationPrompt: whether the prompt ends with the beginning of an answer.
    ///   - tokens: special tokens by the names under which the template reads them (`bos_token`). Their text counts
    ///     as the template's own.
    ///   - variables: what else the template may read (`tools`, `documents`, `enable_thinking`); wins over the rest.
    ///     Their text counts as content.
    ///   - now: what `strftime_now` formats, in the local time zone.
    /// - Throws: ``DyadError``: `mismatch` for a conversation that the template refuses or cannot work with, `failed`
    ///   if it needs too much time or memory; both name the line.
    public func render(
        messages: [ChatMessage], addGenerationPrompt: Bool = true, tokens: JSONObject = JSONObject(),
        variables: JSONObject = JSONObject(), now: Date = Date()
    ) throws(DyadError) -> RenderedPrompt {
        try render(
            TemplateInterpreter(clock: TemplateClock(now: now)), messages: messages,
            addGenerationPrompt: addGenerationPrompt, tokens: tokens, variables: variables)
    }

    func render(
        _ interpreter: TemplateInterpreter, messages: [ChatMessage], addGenerationPrompt: Bool = true,
        tokens: JSONObject = JSONObject(), variables: JSONObject = JSONObject()
    ) throws(DyadError) -> RenderedPrompt {
        var interpreter = interpreter
        try interpreter.define("messages", .array(messages.map { .object($0.fields) }), isContent: true)
        try interpreter.define("add_generation_prompt", .bool(addGenerationPrompt), isContent: false)
        for name in ["tools", "documents"] { try interpreter.define(name, .null, isContent: false) }
        for (name, value) in tokens.members { try interpreter.define(name, value, isContent: false) }
        for (name, value) in variables.members { try interpreter.define(name, value, isContent: true) }
        try interpreter.run(statements)
        return RenderedPrompt(interpreter.output)
    }
}

/// The time that `strftime_now` formats.
struct TemplateClock {
    let now: Date

    /// C's `strftime`, of at most 1,024 bytes.
    func format(_ format: String, _ line: Int) throws(DyadError) -> String {
        var seconds = time_t(exactly: now.timeIntervalSince1970.rounded(.down)) ?? 0
        var parts = tm()
        guard !format.isEmpty, localtime_r(&seconds, &parts) != nil else { return "" }
        var buffer = [CChar](repeating: 0, count: 1024)
        let count = format.utf8.count < 1024 ? strftime(&buffer, buffer.count, format, &parts) : 0
        guard count > 0 else { throw TemplateFailure.value(line, "a time of no or too much text", "1 to 1023 bytes") }
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension Tokenizer {
    /// Renders a conversation with the model's own template, which also sees the named special tokens (`bos_token`).
    ///
    /// Encode the result with ``encode(_:)``: the template writes all special tokens, and what the
    /// messages say becomes none.
    /// - Throws: ``DyadError``: `missing` if the model has no template, and as ``ChatTemplate``.
    public func renderChat(
        _ messages: [ChatMessage], addGenerationPrompt: Bool = true, variables: JSONObject = JSONObject(),
        now: Date = Date()
    ) throws(DyadError) -> RenderedPrompt {
        guard let source = chatTemplateSource else {
            let others = parts.otherTemplates.joined(separator: ", ")
            guard others.isEmpty else {
                throw DyadError(
                    .missing, file: parts.file, subject: "chat template",
                    found: "only templates of other names (\(others))",
                    expected: "one named default", remedy: "Rename the one that is meant to default.")
            }
            throw DyadError(
                .missing, file: parts.file, subject: "chat template", found: "none",
                expected: "a model made for chat",
                remedy: "Use the model's instruct variant, or generate from a prompt.")
        }
        do {
            return try ChatTemplate(source: source).render(
                messages: messages, addGenerationPrompt: addGenerationPrompt, tokens: parts.namedTokens,
                variables: variables, now: now)
        } catch {
            var error = error
            error.file = parts.chatTemplateFile ?? parts.file
            throw error
        }
    }
}
