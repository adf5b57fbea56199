import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

/// Every component of a tokenizer.json that Dyad knows, against Hugging Face's tokenizers;
/// scripts/fixtures/tokenizer_components.py wrote the fixture.
@Suite struct ComponentTests {
    @Test func componentsWorkAsInHuggingFaceTokenizers() throws {
        let path = Place.fixtures + "components.json"
        let entries = try JSONField(try JSONValue.read(path), file: path).elements()
        #expect(entries.count > 15)
        for entry in entries {
            let name = try entry.member("name").string()
            let tokenizer = try Tokenizer(json: entry.member("tokenizer").value, file: name)
            let copy = try Tokenizer(document: tokenizer.json(), file: name)
            for field in try entry.member("cases").elements() {
                let text = try field.member("text").string()
                let ids = try GoldenTests.ids(field.member("ids"))
                #expect(tokenizer.encode(text) == ids, "\(name): \(text.debugDescription)")
                #expect(copy.encode(text) == ids, "\(name), read back: \(text.debugDescription)")
                #expect(
                    tokenizer.encode(text, addSpecial: true) == (try GoldenTests.ids(field.member("special"))),
                    "\(name): \(text.debugDescription)")
                #expect(
                    bytes(tokenizer.decode(ids)) == bytes(try field.member("decoded").string()),
                    "\(name), decoding: \(text.debugDescription)")
                #expect(
                    bytes(tokenizer.decode(ids, skipSpecial: true)) == bytes(try field.member("skipped").string()),
                    "\(name), decoding: \(text.debugDescription)")
            }
        }
    }

    @Test func configurationNamesControlTokensAndTemplate() throws {
        let path = Place.fixtures + "hostile/good.json"
        let configuration: JSONValue = [
            "bos_token": ["content": "b"], "eos_token": "<end>", "add_bos_token": true,
            "chat_template": [
                ["name": "default", "template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"]
            ],
        ]
        let tokenizer = try Tokenizer(json: JSONValue.read(path), configuration: configuration, file: path)
        #expect(tokenizer.bosID == 1 && tokenizer.eosIDs == [4])
        // A named token is an added one, which no merge reaches; the flag does not count beside a tokenizer.json.
        #expect(tokenizer.encode("ab", addSpecial: true) == [0, 1])
        #expect(try tokenizer.renderChat([ChatMessage(role: "user", content: "x")]).text == "bx<end>")
        let more = try Tokenizer(json: JSONValue.read(path), configuration: ["eos_token": "<none>"], file: path)
        #expect(more.eosIDs == [5] && more.token(5) == "<none>")
    }
}
