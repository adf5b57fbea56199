import DyadFormats
import DyadTokenizer
import DyadTransformer
import Foundation
import Testing

@testable import DyadQuantization

@Suite struct ConversationScriptTests {
    /// `tinyTokenizer()` with a template, and tokens that begin (`<u>`, `<a>`) and end (`<e>`) a turn.
    private func chatTokenizer(_ template: String?) throws -> Tokenizer {
        let special = ["<s>", "</s>", "<u>", "<a>", "<e>"]
        let tokens = special + ["Ġ", "Ċ"] + "abcdefghijklmnopqrstuvwxyz:0123456789".map(String.init)
        var vocabulary = JSONObject()
        for (id, token) in tokens.enumerated() { vocabulary.append(token, .integer(id)) }
        let added: [JSONValue] = special.enumerated().map { id, token in
            ["id": .integer(id), "content": .string(token), "special": true]
        }
        var configuration: JSONObject = JSONObject([("bos_token", "<s>"), ("eos_token", "</s>")])
        if let template { configuration["chat_template"] = .string(template) }
        return try Tokenizer(
            json: [
                "added_tokens": .array(added), "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false],
                "decoder": ["type": "ByteLevel"],
                "model": ["type": "BPE", "vocab": .object(vocabulary), "merges": .array([])],
            ], configuration: .object(configuration), file: "tiny")
    }

    private static let template = """
        {%- for m in messages -%}{{ '<u>' if m.role == 'user' else '<a>' }}{{ m.content }}<e>
        {% endfor %}{% if add_generation_prompt %}<a>{% endif %}
        """

    @Test func aTemplatesFixedPartsAreFound() throws {
        let script = try #require(ConversationScript(tokenizer: chatTokenizer(Self.template)))
        #expect(script.opening == [2])
        #expect(script.afterRequest == [4, 6, 3])
        #expect(script.afterAnswer == [4, 6, 2])
        #expect(script.ends == [1, 4])
    }

    @Test(arguments: [
        nil, "{{ messages[0].content }}", "{{ raise_exception('never') }}", "{{ 'x' }}", "{% for",
        "{% for m in messages | reverse %}<u>{{ m.content }}<e>{% endfor %}",
    ])
    func aTemplateThatWritesNoPlainConversationGivesNone(template: String?) throws {
        #expect(try ConversationScript(tokenizer: chatTokenizer(template)) == nil)
    }

    @Test func aTemplateThatWritesTheDateGivesTheSameScriptEveryDay() throws {
        let dated = "<u>{{ strftime_now('%Y') }}" + Self.template
        let script = try #require(ConversationScript(tokenizer: chatTokenizer(dated)))
        let year = try chatTokenizer(nil).encode("2026", parseSpecial: false)
        #expect(script.opening == [2] + year + [2])
    }

    private let script = ConversationScript(
        opening: [10, 11], afterRequest: [20, 21, 22], afterAnswer: [20, 31], ends: [20, 9])

    /// The whole sequence of a model that writes `sampled`, one token after the other.
    private func conversation(_ sampled: [Int32], length: Int) -> [Int32] {
        var (writer, rest, tokens) = (ConversationWriter(script), sampled[...], [Int32]())
        while tokens.count < length, let next = writer.next(after: tokens.last) ?? rest.popFirst() {
            tokens.append(next)
        }
        return tokens
    }

    @Test func turnsFollowOneAnother() {
        #expect(
            conversation([1, 2, 20, 3, 4, 5, 20, 6, 9, 7], length: 20) == [
                10, 11, 1, 2, 20, 21, 22, 3, 4, 5, 20, 31, 6, 9, 20, 21, 22, 7,
            ])
    }

    @Test func aTurnWithoutAnEndIsCut() {
        let request = [Int32](repeating: 1, count: ConversationWriter.longestRequest)
        let answer = [Int32](repeating: 2, count: ConversationWriter.longestAnswer)
        let tokens = conversation(request + answer + [3], length: 1000)
        #expect(tokens == [10, 11] + request + [20, 21, 22] + answer + [20, 31, 3])
    }

    @Test(.needsTorch) func everySecondSelfWrittenSequenceIsAConversation() throws {
        let text = try CalibrationText(
            writtenBy: tinyDecoder(), firstToken: 1, script: script, samples: 8, length: 40, seed: 3, progress: nil)
        for (number, window) in (text.calibration + text.heldOut).enumerated() {
            #expect(window.count == 40)
            // The first token of the template is left out: it is likely the prefix.
            if number % 2 == 0 { #expect(window[0] == 11) }
        }
        let conversations = text.calibration.indices.filter { $0 % 2 == 0 }
        #expect(conversations.contains { text.calibration[$0].firstRange(of: [20, 21, 22]) != nil })
    }

    @Test(.needsTorch) func thePrefixIsTheTemplatesFirstTokenUnlessThatCosts() throws {
        let decoder = try tinyDecoder()
        let windows = try tinyText(decoder, samples: 4).calibration
        func loss(_ id: Int32) throws -> Double {
            let probe = try decoder.copy()
            probe.prefix = try probe.computePrefix([id])
            return try PrefixSearch.meanLoss(probe, windows)
        }
        // Random weights: some tokens of the alphabet cost less than this, some more.
        func chosen(_ tokenizer: Tokenizer) throws -> Int32 {
            try PrefixSearch.bestToken(decoder, tokenizer: tokenizer, windows: windows, allowance: 0.15, progress: nil)
        }
        // Without a template the loss alone decides.
        let free = try chosen(chatTokenizer(nil))
        let least = try loss(free)
        var kept: [Bool] = []
        for letter in "abcdefghijklmnopqrstuvwxyz0123456789" {
            let tokenizer = try chatTokenizer("\(letter)" + Self.template)
            let id = try #require(tokenizer.id(ofToken: String(letter)))
            let found = try chosen(tokenizer)
            kept.append(found == id)
            #expect(found == (try loss(id) <= least + 0.15 ? id : free))
        }
        #expect(kept.contains(true) && kept.contains(false))
    }
}
