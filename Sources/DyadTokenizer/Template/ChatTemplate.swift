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
/// What it knows: the tags if, for, set, macro, with, generation, raw, break and continue; the filters and tests that
/// its errors list; Python's string methods; `namespace`, `range`, `dict`, `loop`. A template runs in bounded time
/// and memory, whatever it says.
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
    ///   - messages: the conversation so far.
    ///   - addGenerationPrompt: whether the prompt ends with the beginning of an answer.
    ///   - variables: what else the template may read (`bos_token`, `tools`, `enable_thinking`); wins over the rest.
    ///   - now: what `strftime_now` formats, in the local time zone.
    /// - Throws: ``DyadError``: `mismatch` for a conversation that the template refuses or cannot work with, `failed`
    ///   if it needs too much time or memory; both name the line.
    public func render(
        messages: [ChatMessage], addGenerationPrompt: Bool = true, variables: JSONObject = JSONObject(),
        now: Date = Date()
    ) throws(DyadError) -> String {
        var values: [String: TemplateValue] = [
            "messages": .list(messages.map { TemplateValue(.object($0.fields)) }),
            "add_generation_prompt": .bool(addGenerationPrompt), "tools": .none, "documents": .none,
        ]
        for (name, value) in variables.members { values[name] = TemplateValue(value) }
        var interpreter = TemplateInterpreter(variables: values, clock: TemplateClock(now: now))
        try interpreter.run(statements)
        return interpreter.output
    }
}

/// The time that `strftime_now` formats.
struct TemplateClock {
    let now: Date

    /// C's `strftime`, of at most 1,024 bytes.
    func format(_ format: String) -> String {
        var seconds = time_t(now.timeIntervalSince1970.rounded(.down))
        var parts = tm()
        guard localtime_r(&seconds, &parts) != nil else { return "" }
        var buffer = [CChar](repeating: 0, count: 1024)
        let count = strftime(&buffer, buffer.count, format, &parts)
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension Tokenizer {
    /// Renders a conversation with the model's own template, which also sees `bos_token` and `eos_token`.
    ///
    /// Encode the result with `parseSpecial: true` and `addSpecial: false`: the template writes all special tokens.
    /// - Throws: ``DyadError``: `missing` if the model has no template, and as ``ChatTemplate``.
    public func renderChat(
        _ messages: [ChatMessage], addGenerationPrompt: Bool = true, variables: JSONObject = JSONObject(),
        now: Date = Date()
    ) throws(DyadError) -> String {
        guard let source = chatTemplateSource else {
            throw DyadError(
                .missing, file: parts.file, subject: "chat template", found: "none",
                expected: "a model made for chat",
                remedy: "Use the model's instruct variant, or generate from a prompt.")
        }
        var all = JSONObject()
        all["bos_token"] = bosID.flatMap(token).map(JSONValue.string) ?? ""
        all["eos_token"] = eosIDs.first.flatMap(token).map(JSONValue.string) ?? ""
        for (name, value) in variables.members { all[name] = value }
        do {
            return try ChatTemplate(source: source).render(
                messages: messages, addGenerationPrompt: addGenerationPrompt, variables: all, now: now)
        } catch {
            var error = error
            error.file = parts.file
            throw error
        }
    }
}
