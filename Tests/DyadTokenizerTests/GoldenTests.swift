import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

/// Ids of Hugging Face's tokenizers; scripts/fixtures/tokenizer_golden.py wrote them.
@Suite struct GoldenTests {
    struct Case {
        var text: String
        var ids: [Int32]
        var plain: [Int32]
        var decoded: String
    }

    static func golden(_ name: String) throws -> JSONField {
        let path = Place.fixtures + "golden.json"
        return try JSONField(try JSONValue.read(path), file: path).member(name)
    }

    static func ids(_ field: JSONField) throws -> [Int32] { try field.elements().map { Int32(try $0.integer()) } }

    static func cases(_ name: String) throws -> [Case] {
        try golden(name).member("cases").elements().map { field in
            let ids = try ids(field.member("ids"))
            return Case(
                text: try field.member("text").string(), ids: ids,
                plain: try field.optional("plain").map { try Self.ids($0) } ?? ids,
                decoded: try field.member("decoded").string())
        }
    }

    func check(_ tokenizer: Tokenizer, _ name: String, decodes: Bool = true) throws {
        let cases = try Self.cases(name)
        #expect(cases.count > 20)
        for example in cases {
            #expect(tokenizer.encode(example.text) == example.ids, "\(name): \(example.text.debugDescription)")
            #expect(
                tokenizer.encode(example.text, parseSpecial: false) == example.plain,
                "\(name), special tokens as text: \(example.text.debugDescription)")
            let decoded = bytes(tokenizer.decode(example.ids))
            if decodes { #expect(decoded == bytes(example.decoded), "\(name): \(example.text.debugDescription)") }
        }
    }

    func checkWholeFile(_ tokenizer: Tokenizer, _ name: String) throws {
        let expected = try Self.golden(name).member("wiki.test.raw")
        let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: Place.wikiTest)), as: UTF8.self)
        let ids = tokenizer.encode(text)
        #expect(ids.count == (try expected.member("count").integer()))
        let digest = ids.map(\.littleEndian).withUnsafeBytes { SHA256.hexDigest(of: $0) }
        #expect(digest == (try expected.member("sha256").string()))
        #expect(bytes(tokenizer.decode(ids)) == bytes(text))
    }

    @Test(.enabled(if: Place.exists(Place.smolLM2), "no SmolLM2 under .deps/models"))
    func smolLM2AgreesOnTexts() throws { try check(Real.smolLM2.get(), "smollm2") }

    @Test(.enabled(if: Place.exists(Place.smolLM2, Place.wikiTest), "no SmolLM2 or no wiki.test.raw"))
    func smolLM2AgreesOnAllOfWikiText2() throws { try checkWholeFile(Real.smolLM2.get(), "smollm2") }

    @Test(.enabled(if: Place.exists(Place.tokenizers), "no ../shared/data/tokenizers"))
    func gptNeoXAgreesOnTexts() throws { try check(Real.neox.get(), "gpt_neox") }

    @Test(.enabled(if: Place.exists(Place.tokenizers, Place.wikiTest), "no ../shared/data"))
    func gptNeoXAgreesOnAllOfWikiText2() throws { try checkWholeFile(Real.neox.get(), "gpt_neox") }

    @Test(.enabled(if: Place.exists(Place.tokenizers), "no ../shared/data/tokenizers"))
    func llama2FromScoresAgreesWithMergesOnTexts() throws { try check(Real.gguf("llama-spm"), "llama2") }
}
