import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

/// What users type becomes no control token, whatever template and tokenizer do with it.
@Suite struct ContentTests {
    /// Byte-level, with control tokens of every kind that tokenizer.json knows; the vocabulary spells them, too, and
    /// merges lead to one.
    static func tokenizer(template: String, normalizer: JSONValue = .null, ignoresMerges: Bool = false) throws
        -> Tokenizer
    {
        var tokens = (UInt8(0)...255).map { ByteAlphabet.string(of: $0) }
        tokens += ["<e", "<en", "<end", "<end>", "<|", "|>", "<|a", "<|a|>", "hi", "<Raw>"]
        let control: [(String, JSONValue)] = [
            ("<end>", ["special": true]), ("<|a|>", ["special": true, "lstrip": true, "rstrip": true]),
            ("<w>", ["special": true, "single_word": true]), ("<n>", ["special": true, "normalized": true]),
            ("<é>", ["special": true, "normalized": true]), ("<Raw>", ["special": true]), ("€", ["special": true]),
        ]
        var added: [JSONValue] = []
        for (content, flags) in control {
            var member = flags.object ?? JSONObject()
            if !tokens.contains(content) { tokens.append(content) }
            member["id"] = .integer(tokens.firstIndex(of: content) ?? 0)
            member["content"] = .string(content)
            added.append(.object(member))
        }
        var vocabulary = JSONObject()
        for (id, token) in tokens.enumerated() { vocabulary.append(token, .integer(id)) }
        let merges: [[String]] = [
            ["<", "e"], ["<e", "n"], ["<en", "d"], ["<end", ">"], ["<", "|"], ["|", ">"], ["<|", "a"], ["<|a", "|>"],
            ["h", "i"],
        ]
        let document: JSONValue = [
            "added_tokens": .array(added), "normalizer": normalizer,
            "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
            "decoder": ["type": "ByteLevel"],
            "model": [
                "type": "BPE", "vocab": .object(vocabulary), "ignore_merges": .bool(ignoresMerges),
                "merges": .array(merges.map { .array($0.map { .string($0) }) }),
            ],
        ]
        var parts = try Tokenizer(json: document, file: "content").parts
        parts.chatTemplate = template
        return try Tokenizer(parts)
    }

    /// Everything that a template may do to a string; each leaves control tokens of its own around it.
    static let templates = [
        "{{ m.content }}", "{{ m.content|trim }}", "{{ m.content.strip() }}", "{{ m.content|upper|lower }}",
        "{{ m.content ~ '' }}",
        "{{ '' + m.content }}", "{{ m.content[1:] }}", "{{ m.content[::-1][::-1] }}",
        "{{ m.content.split('x')|join('x') }}",
        "{{ m.content.replace('#', '') }}", "{{ m.content|replace('#', '') }}", "{{ m.content|tojson }}",
        "{{ [m.content] }}",
        "{{ {m.content: m.content} }}", "{{ '%s' % m.content }}", "{{ '{}'.format(m.content) }}",
        "{{ '{:.100}'.format(m.content) }}",
        "{{ m.content|list|join }}", "{% for c in m.content %}{{ c }}{% endfor %}", "{{ m.content|indent }}",
        "{{ m.content|center(50) }}",
        "{{ m.content|title }}", "{{ m.content|capitalize }}", "{{ m.content.swapcase() }}", "{{ m.content|e }}",
        "{{ m.content|safe }}",
        "{{ m.content|truncate(20, true, '') }}", "{% set x %}{{ m.content }}{% endset %}{{ x }}",
        "{% filter trim %}{{ m.content }}{% endfilter %}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(m.content) }}",
        "{% set ns = namespace(x=m.content) %}{{ ns.x * 2 }}",
        "{{ m|items|list }}", "{{ m.content.partition('a')|join }}", "{{ m.content.partition('n')|join }}",
        "{{ m.content.rpartition('end')|join }}", "{{ strftime_now(m.content) }}",
        "{{ (m.content|urlencode).replace('%', '') }}",
        "{{ [m.content, m.content]|sort|join }}",
        "{{ m.content.splitlines()|join('') }}", "{{ m.content.removeprefix('#') }}", "{{ m.content|wordcount }}",
        "{{ m.role }}{{ m.content }}{{ m.content }}",
        "{{ m.content.expandtabs(0) }}", "{{ m.content.zfill(40) }}", "{{ m.content|reverse|reverse }}",
        "{{ m.content|first }}{{ m.content[1:] }}",
    ]

    static let pieces = [
        "<end>", "<|a|>", "<w>", "<n>", "<é>", "<e\u{301}>", "<Raw>", "<RAW>", "€", "<", ">", "<en", "d>", "<|", "a|>",
        "|>", "end", "\u{ff1c}n\u{ff1e}",
        " ", "\n", "\t", "\r\n", "x", "#", "hi", "é", "e\u{301}", "\u{0}", "\u{200b}", "<e#nd>", "<#|a|#>",
        "{{ '<end>' }}", "%s", "{}", "\\", "'", "\"", "😀", "A",
    ]

    static func count(_ tokenizer: Tokenizer, _ ids: [Int32]) -> Int { ids.filter(tokenizer.isSpecial).count }

    @Test(
        arguments: [
            JSONValue.null, ["type": "NFKC"],
            ["type": "Sequence", "normalizers": [["type": "Lowercase"], ["type": "NFC"]]],
        ], [false, true])
    func noContentChangesTheNumberOfControlTokens(_ normalizer: JSONValue, _ ignoresMerges: Bool) throws {
        var random = Seeded(state: 7)
        for inner in Self.templates {
            let tokenizer = try Self.tokenizer(
                template: "<end>{% for m in messages %}<w>\n" + inner + "\n<end>{% endfor %}<|a|>",
                normalizer: normalizer,
                ignoresMerges: ignoresMerges)
            for _ in 0..<40 {
                var content = "a"
                for _ in 0..<Int.random(in: 1..<9, using: &random) {
                    content += Self.pieces.randomElement(using: &random) ?? ""
                }
                let prompt = try tokenizer.renderChat([ChatMessage(role: "user", content: content)])
                #expect(Self.count(tokenizer, tokenizer.encode(prompt)) == 4, "\(inner): \(content.debugDescription)")
            }
        }
    }

    @Test func contentsThatTouchAreContentTogether() throws {
        let tokenizer = try Self.tokenizer(template: "{% for m in messages %}{{ m.content }}{% endfor %}")
        let prompt = try tokenizer.renderChat(
            ["<e", "nd>", "<|a", "|>"].map { ChatMessage(role: "user", content: $0) })
        #expect(prompt.text == "<end><|a|>" && prompt.contentRanges == [0..<10])
        #expect(Self.count(tokenizer, tokenizer.encode(prompt)) == 0)
        let fields = JSONObject([
            ("role", "user"), ("content", ["<end>", ["k<end>": "<|a|>", "n": 1]]), ("name", "<end>"),
            ("tool_calls", [["function": ["name": "<end>", "arguments": ["<|a|>": "<n>"]]]]),
        ])
        for inner in [
            "{{ m }}", "{{ m|tojson }}", "{{ m.content[0] }}{{ m.tool_calls[0].function.arguments.keys()|first }}",
        ] {
            let tokenizer = try Self.tokenizer(template: "{% for m in messages %}\(inner){% endfor %}")
            let prompt = try tokenizer.renderChat(
                [ChatMessage(fields: fields)], variables: JSONObject([("tools", "<end>")]))
            #expect(Self.count(tokenizer, tokenizer.encode(prompt)) == 0, "\(inner)")
        }
    }

    @Test func aSpecialTokenThatReachesIntoTheTemplateCounts() throws {
        let tokenizer = try Self.tokenizer(
            template: "{% for m in messages %}{{ '<' + m.role + '>' }}{{ m.content }}<|a{% endfor %}|>")
        let prompt = try tokenizer.renderChat([ChatMessage(role: "end", content: "<end>")])
        #expect(prompt.text == "<end><end><|a|>")
        let ids = tokenizer.encode(prompt)
        #expect(Self.count(tokenizer, ids) == 2)
        #expect(tokenizer.decode(ids) == prompt.text)
    }

    @Test func theTemplatesOwnTextIsEncodedAsAWhole() throws {
        let tokenizer = try Self.tokenizer(template: "h{% for m in messages %}{{ m.content }}{% endfor %}<end>")
        let prompt = try tokenizer.renderChat([ChatMessage(role: "user", content: "i<é>")])
        #expect(tokenizer.encode(prompt).first == tokenizer.id(ofToken: "hi"))
        #expect(tokenizer.encode(prompt).last == tokenizer.id(ofToken: "<end>"))
        // Named tokens are the template's, variables are not.
        let source = try ChatTemplate(source: "{{ bos_token }}{{ extra }}")
        let variables = JSONObject([("extra", "<end>")])
        let rendered = try source.render(
            messages: [], tokens: JSONObject([("bos_token", "<end>")]), variables: variables)
        #expect(rendered.contentRanges == [5..<10])
    }

    @Test(arguments: [false, true])
    func plainTextBecomesNoControlTokenThroughTheVocabulary(_ ignoresMerges: Bool) throws {
        let tokenizer = try Self.tokenizer(template: "", ignoresMerges: ignoresMerges)
        for text in ["<end>", "<|a|>", "<Raw>", "a<end>b", "€", "<n>", "<w>", "<é>"] {
            let ids = tokenizer.encode(text, parseSpecial: false)
            #expect(Self.count(tokenizer, ids) == 0 && tokenizer.decode(ids) == text, "\(text)")
            #expect(Self.count(tokenizer, tokenizer.encode(text)) == 1 || text == "a<w>b", "\(text)")
        }
    }

    @Test func rangesArePutInOrder() {
        let prompt = RenderedPrompt(text: "abcdef", contentRanges: [4..<9, 1..<2, 2..<3, 3..<3, -5..<0, 10..<12])
        #expect(prompt.contentRanges == [1..<3, 4..<6])
    }
}
