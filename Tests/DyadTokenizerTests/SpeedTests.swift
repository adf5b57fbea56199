import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

/// A megabyte of anything takes under two seconds. One at a time, so that they do not slow each other.
@Suite(.serialized) struct SpeedTests {
    static let count = 1_000_000
    static let texts: [(name: String, text: String)] = {
        var random = Seeded(state: 6)
        let word = "the quick (brown) fox, 12345 + über Straße 東京 \n"
        return [
            ("one letter", String(repeating: "a", count: count)), ("spaces", String(repeating: " ", count: count)),
            ("line feeds", String(repeating: "\n", count: count)), ("digits", String(repeating: "7", count: count)),
            ("upper case", String(repeating: "A", count: count)),
            ("ideographs", String(repeating: "東", count: count / 3)),
            ("prose", String(repeating: word, count: count / word.utf8.count)), ("noise", random.text(count / 3)),
            ("space and letter", String(repeating: " a", count: count / 2)),
            ("punctuation", String(repeating: "<", count: count)),
        ]
    }()

    static func check(_ tokenizer: Tokenizer, _ name: String) {
        for (kind, text) in texts {
            var ids: [Int32] = []
            let time = ContinuousClock().measure { ids = tokenizer.encode(text) }
            #expect(!ids.isEmpty)
            #expect(time < .seconds(4), "\(name): \(kind)")
            let decoding = ContinuousClock().measure { _ = tokenizer.decode(ids) }
            #expect(decoding < .seconds(4), "\(name), decoding: \(kind)")
            if ProcessInfo.processInfo.environment["DYAD_TIMES"] != nil { print(name, kind, time, decoding, ids.count) }
        }
    }

    @Test func smallByteLevelIsLinear() throws { Self.check(try smallByteLevel(), "small") }

    @Test(arguments: ["llama-bpe", "qwen2", "gpt-4o", "tekken", "falcon", "default", "smollm"])
    func everyPreTokenizerIsLinear(_ name: String) throws {
        let preset = try #require(GGUFPreTokenizer(name: name))
        Self.check(try smallByteLevel(preTokenizer: preset.preTokenizer.json), name)
    }

    @Test(.enabled(if: Place.exists(Place.smolLM2), "no SmolLM2 under .deps/models"))
    func smolLM2IsLinear() throws { Self.check(try Real.smolLM2.get(), "smollm2") }

    @Test(.enabled(if: Place.exists(Place.tokenizers), "no ../shared/data/tokenizers"))
    func llamaIsLinear() throws { Self.check(try Real.gguf("llama-spm"), "llama") }

    @Test(.enabled(if: Place.exists(Place.tokenizers), "no ../shared/data/tokenizers"))
    func gptNeoXIsLinear() throws { Self.check(try Real.neox.get(), "neox") }
}
