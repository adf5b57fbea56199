import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

/// Conversations rendered by Jinja itself; scripts/fixtures/chat_templates.py wrote them.
@Suite struct ChatTemplateTests {
    static func document() throws -> JSONField {
        let path = Place.fixtures + "chat.json"
        return JSONField(try JSONValue.read(path), file: path)
    }

    /// 26 July 2024, noon in Greenwich: the day is the same in nearly every time zone.
    static let now = Date(timeIntervalSince1970: 1_721_995_200)

    static func render(_ source: String, _ variables: JSONObject) throws -> String {
        var variables = variables
        let messages = variables["messages"]?.array ?? []
        variables["messages"] = nil
        return try ChatTemplate(source: source).render(
            messages: messages.compactMap { $0.object.map { ChatMessage(fields: $0) } }, addGenerationPrompt: true,
            variables: variables, now: now
        ).text
    }

    static func check(_ source: String, _ variables: JSONObject, _ expected: JSONField) throws {
        if let text = try expected.optional("text") {
            let rendered = try render(source, variables)
            #expect(bytes(rendered) == bytes(try text.string()), "\(rendered.debugDescription)")
        } else {
            #expect(throws: DyadError.self) { try render(source, variables) }
        }
    }

    @Test(arguments: ["smollm2", "phi3", "llama2", "llama3", "qwen3", "gemma", "zephyr"])
    func templatesOfModelsRenderAsJinjaDoes(_ name: String) throws {
        let document = try Self.document()
        let family = try document.member("families").member(name)
        let source = try family.member("source").string()
        let conversations = try document.member("conversations").elements()
        let rendered = try family.member("rendered").elements()
        #expect(conversations.count == rendered.count)
        for (conversation, expected) in zip(conversations, rendered) {
            var variables: JSONObject = JSONObject([("bos_token", "<s>"), ("eos_token", "</s>")])
            for (key, value) in try conversation.object().members { variables[key] = value }
            try Self.check(source, variables, expected)
        }
    }

    @Test func featuresRenderAsJinjaDoes() throws {
        let document = try Self.document()
        let scope = try document.member("scope").object()
        let features = try document.member("features").elements()
        #expect(features.count > 30)
        for feature in features { try Self.check(try feature.member("source").string(), scope, feature) }
    }

    @Test func whatJinjaRefusesThrowsAnErrorWithALine() throws {
        let document = try Self.document()
        let scope = try document.member("scope").object()
        for failure in try document.member("failures").elements() {
            let source = try failure.member("source").string()
            let error = #expect(throws: DyadError.self, "\(source)") { try Self.render("\n" + source, scope) }
            #expect(error?.subject == "chat template, line 2", "\(source): \(String(describing: error))")
        }
    }

    @Test func runawayTemplatesEndInBoundedTime() throws {
        let hostile = [
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "{% set ns = namespace(s='x') %}{% for a in range(1000) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
            "{{ 'x' * 10000000000 }}", "{{ 'x' * 9223372036854775807 }}", "{{ [1] * 9223372036854775807 }}",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            String(repeating: "(", count: 100_000), "{{ " + String(repeating: "(", count: 100_000),
            "{{ " + String(repeating: "[", count: 100_000), "{{ " + String(repeating: "not ", count: 100_000) + "1 }}",
            "{{ 1" + String(repeating: " + 1", count: 100_000) + " }}",
            "{{ x" + String(repeating: ".x", count: 100_000) + " }}",
            "{{ 1" + String(repeating: "|abs", count: 100_000) + " }}",
            "{{ " + String(repeating: "-", count: 100_000) + "1 }}",
            "{{ " + String(repeating: "1 if 1 else ", count: 50_000) + "1 }}",
            String(repeating: "{% if 1 %}", count: 50_000), "{{ 9223372036854775807 + 1 }}",
            "{{ (-9223372036854775807 - 1) // -1 }}", "{{ 99999999999999999999 }}",
        ]
        for source in hostile {
            let start = ThreadTime.now
            if source.first == "(" {
                #expect(try Self.render(source, JSONObject()) == source)
            } else {
                #expect(throws: DyadError.self, "\(source.prefix(60))") { try Self.render(source, JSONObject()) }
            }
            #expect(ThreadTime.now - start < 4, "\(source.prefix(60))")
        }
    }

    /// Threads other than the main one have 512 KiB of stack on Apple's systems.
    @Test func theDeepestTemplatesNeedLittleStack() {
        func repeated(_ part: String, _ count: Int) -> String { String(repeating: part, count: count) }
        let sources = [
            "{% macro m(x) %}{{ m([x]) }}{% endmacro %}{{ m(1) }}",
            "{% macro m(x) %}{% for a in [1] %}{% if 1 %}{{ (((m((((x)))))))|string }}{% endif %}{% endfor %}{% endmacro %}{{ m(1) }}",
            "{{ " + repeated("(", 25) + "1" + repeated(")", 25) + " }}",
            "{{ " + repeated("[", 25) + "1" + repeated("]", 25) + "|tojson }}",
            "{{ 1" + repeated(" + 1", 190) + " }}", repeated("{% if 1 %}", 60) + repeated("{% endif %}", 60),
        ]
        let results = LockedResults()
        let done = DispatchSemaphore(value: 0)
        let thread = Thread {
            for source in sources { results.add(Result { try Self.render(source, JSONObject()) }) }
            done.signal()
        }
        thread.stackSize = 512 << 10
        thread.start()
        done.wait()
        let texts = results.all.map { try? $0.get() }
        #expect(texts == [nil, nil, "1", repeated("[", 25) + "1" + repeated("]", 25), "191", ""])
    }

    @Test(.enabled(if: Place.exists(Place.smolLM2), "no SmolLM2 under .deps/models"))
    func smolLM2sOwnTemplateMakesTheKnownPrompt() throws {
        let tokenizer = try Real.smolLM2.get()
        let prompt = try tokenizer.renderChat([ChatMessage(role: "user", content: "Hi")])
        #expect(
            prompt.text == "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
                + "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
        let ids = tokenizer.encode(prompt)
        #expect(ids.first == 1 && ids.filter { $0 == 2 }.count == 2 && tokenizer.eosIDs == [2])
    }
}

/// Results handed from one thread to another.
private final class LockedResults: @unchecked Sendable {
    // Unchecked: the lock guards the only property.
    private let lock = NSLock()
    private var results: [Result<String, any Error>] = []

    var all: [Result<String, any Error>] { lock.withLock { results } }
    func add(_ result: Result<String, any Error>) { lock.withLock { results.append(result) } }
}
