import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

/// llama.cpp's own test vectors: texts and the ids of each model's tokenizer, special tokens neither parsed nor added.
@Suite(.enabled(if: Place.exists(Place.tokenizers), "no ../shared/data/tokenizers"))
struct LlamaCppVectorTests {
    static func vectors(_ name: String) throws -> [(text: String, ids: [Int32])] {
        let stem = Place.tokenizers + "llamacpp_vectors/\(name).gguf"
        let input = String(decoding: try Data(contentsOf: URL(fileURLWithPath: stem + ".inp")), as: UTF8.self)
        let output = String(decoding: try Data(contentsOf: URL(fileURLWithPath: stem + ".out")), as: UTF8.self)
        let texts = input.components(separatedBy: "\n__ggml_vocab_test__\n")
        let lines = output.split(separator: "\n", omittingEmptySubsequences: false)
        try #require(texts.count > 40 && lines.count >= texts.count)
        return zip(texts, lines).map { text, line in (text, line.split(separator: " ").compactMap { Int32($0) }) }
    }

    static func check(_ tokenizer: Tokenizer, _ name: String) throws {
        for (text, ids) in try vectors(name) {
            #expect(tokenizer.encode(text, parseSpecial: false) == ids, "\(name): \(text.debugDescription)")
        }
    }

    @Test(arguments: ["gpt-2", "llama-spm", "phi-3", "starcoder"])
    func idsAreThoseOfLlamaCpp(_ name: String) throws {
        guard Place.exists(Place.tokenizers + "gguf_vocab/ggml-vocab-\(name).gguf") else {
            print("skipped: no vocabulary of \(name) in ../shared/data/tokenizers/gguf_vocab")
            return
        }
        try Self.check(Real.gguf(name), name)
    }

    @Test func llama3FromTiktokenAgrees() throws {
        let path = Place.tokenizers + "llama3/meta-llama-3-8B.tiktoken"
        try Self.check(Tiktoken.tokenizer(path: path, pre: "llama-bpe", count: 128_000), "llama-bpe")
    }

    @Test func qwen2FromTiktokenAgrees() throws {
        let path = Place.tokenizers + "qwen/qwen.tiktoken"
        try Self.check(Tiktoken.tokenizer(path: path, pre: "qwen2", count: 151_643), "qwen2")
    }
}
