import DyadFormats
import Foundation

@testable import DyadTokenizer

/// Builds tokenizers from tiktoken's files, which hold tokens in the order of their merges but not the merges.
enum Tiktoken {
    static func tokenizer(path: String, pre: String, count: Int) throws -> Tokenizer {
        let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
        var ranks: [[UInt8]: Int] = [:]
        var tokens: [[UInt8]] = []
        for line in text.split(separator: "\n").prefix(count) {
            guard let data = Data(base64Encoded: String(line.prefix { $0 != " " })) else { continue }
            ranks[Array(data)] = tokens.count
            tokens.append(Array(data))
        }
        func spelt(_ bytes: some Sequence<UInt8>) -> String { bytes.map { ByteAlphabet.string(of: $0) }.joined() }
        var merges: [(String, String)] = []
        for (rank, token) in tokens.enumerated() where token.count > 1 {
            // The two parts that are left of the token when only earlier merges are done.
            var parts = token.map { [$0] }
            while parts.count > 2 {
                let pairs = (0..<parts.count - 1).compactMap { place in
                    ranks[parts[place] + parts[place + 1]].map { (rank: $0, place: place) }
                }
                guard let best = pairs.filter({ $0.rank < rank }).min(by: { ($0.rank, $0.place) < ($1.rank, $1.place) })
                else { break }
                parts[best.place] += parts.remove(at: best.place + 1)
            }
            if parts.count == 2 { merges.append((spelt(parts[0]), spelt(parts[1]))) }
        }
        var vocabulary = Vocabulary()
        for token in tokens { vocabulary.append(spelt(token)) }
        guard let preset = GGUFPreTokenizer(name: pre) else {
            throw DyadError(.usage, found: pre, expected: "a known name", remedy: "")
        }
        return try Tokenizer(
            TokenizerParts(
                file: path, vocabulary: vocabulary, rule: .merges(merges), ruleField: "merges",
                prefersWholePieces: preset.prefersWholePieces, normalizer: preset.normalizer,
                preTokenizer: preset.preTokenizer, decoder: .byteLevel))
    }
}
