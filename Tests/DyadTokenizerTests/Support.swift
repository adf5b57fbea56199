import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

/// Where things are.
enum Place {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static let fixtures = root + "/Tests/DyadTokenizerTests/Fixtures/"
    static let shared = ProcessInfo.processInfo.environment["DYAD_SHARED"] ?? root + "/../shared"
    static let tokenizers = shared + "/data/tokenizers/"
    static let wikiTest = shared + "/data/wikitext2/wiki.test.raw"
    static let smolLM2 = root + "/.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"

    static func exists(_ paths: String...) -> Bool {
        paths.allSatisfy { FileManager.default.fileExists(atPath: $0) }
    }
}

/// Real tokenizers, each read once.
enum Real {
    static let smolLM2 = Result { try Tokenizer(gguf: GGUFFile(path: Place.smolLM2)) }
    static let neox = Result {
        let path = Place.tokenizers + "gpt_neox/tokenizer.json"
        return try Tokenizer(json: JSONValue.read(path), file: path)
    }
    static func gguf(_ name: String) throws -> Tokenizer {
        try Tokenizer(gguf: GGUFFile(path: Place.tokenizers + "gguf_vocab/ggml-vocab-\(name).gguf"))
    }
}

/// A byte-level tokenizer of the 256 bytes, two merges and one special token.
func smallByteLevel(
    merges: [(String, String)] = [("a", "a"), ("Ġ", "t")], preTokenizer: JSONValue? = nil
) throws -> Tokenizer {
    var tokens = (UInt8(0)...255).map { ByteAlphabet.string(of: $0) }
    tokens += merges.map { $0.0 + $0.1 }
    let end = tokens.count
    var vocabulary = JSONObject()
    for (id, token) in tokens.enumerated() { vocabulary.append(token, .integer(id)) }
    let document: JSONValue = [
        "added_tokens": [["id": .integer(end), "content": "<end>", "special": true]],
        "pre_tokenizer": preTokenizer ?? ["type": "ByteLevel", "add_prefix_space": false],
        "decoder": ["type": "ByteLevel"],
        "model": [
            "type": "BPE", "vocab": .object(vocabulary),
            "merges": .array(merges.map { [.string($0.0), .string($0.1)] }),
        ],
    ]
    return try Tokenizer(json: document, file: "small")
}

/// Deterministic numbers (SplitMix64).
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    mutating func text(_ count: Int) -> String {
        var scalars = String.UnicodeScalarView()
        for _ in 0..<count {
            let limit: UInt32 = [0x80, 0x100, 0x3000, 0x11_0000][Int.random(in: 0..<4, using: &self)]
            scalars.append(Unicode.Scalar(UInt32.random(in: 0..<limit, using: &self)) ?? "\u{d7ff}")
        }
        return String(scalars)
    }
}

/// Strings as bytes: `==` on `String` is canonical equivalence, which is too weak here.
func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
