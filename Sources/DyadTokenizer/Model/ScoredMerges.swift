import DyadFormats

/// Turns SentencePiece's scores into merges of symbols.
///
/// SentencePiece joins two neighbours whenever the string they spell together is a token. What can be a neighbour is
/// a token or a single scalar, so that all pairs can be listed beforehand: every way to cut a token in two.
/// Scalars that occur in tokens without being tokens ("lone") get symbols of their own above all ids.
struct ScoredMerges {
    private let vocabulary: Vocabulary
    private let isText: [Bool]
    /// The symbol of each scalar.
    private(set) var symbols: [UInt32: Int32]
    private(set) var loneScalars: [UInt32] = []

    /// Texts of tokens by a polynomial hash, which gives the hash of any part in constant time.
    private var tokensByHash: [UInt64: [Int32]] = [:]
    private static let base: UInt64 = 0x9e37_79b9_7f4a_7c15

    init(_ vocabulary: Vocabulary, isText: [Bool], symbols: [UInt32: Int32]) {
        self.vocabulary = vocabulary
        self.isText = isText
        self.symbols = symbols.filter { isText[Int($0.value)] }
    }

    /// The table. Linear in the text of all tokens.
    mutating func table(
        _ scores: [Float], _ failure: (_ place: Int, _ found: String, _ expected: String) -> DyadError
    ) throws(DyadError) -> MergeTable {
        let ranks = try Self.ranks(scores, failure)
        var spelling: [[UInt32]] = []
        for (id, token) in vocabulary.tokens.enumerated() {
            guard isText[id], let token else {
                spelling.append([])
                continue
            }
            let scalars = token.unicodeScalars.map(\.value)
            spelling.append(scalars)
            for value in scalars where symbols[value] == nil {
                symbols[value] = Int32(truncatingIfNeeded: vocabulary.count + loneScalars.count)
                loneScalars.append(value)
            }
            if scalars.count > 1 { tokensByHash[Self.hash(scalars), default: []].append(Int32(truncatingIfNeeded: id)) }
        }
        var table = MergeTable()
        for (id, scalars) in spelling.enumerated() where scalars.count > 1 {
            guard vocabulary.id(of: vocabulary.tokens[id] ?? "") == Int32(truncatingIfNeeded: id) else { continue }
            var prefix: [UInt64] = [0]
            var power: [UInt64] = [1]
            for value in scalars {
                prefix.append((prefix.last ?? 0) &* Self.base &+ UInt64(value) &+ 1)
                power.append((power.last ?? 0) &* Self.base)
            }
            for cut in 1..<scalars.count {
                let rest = prefix[scalars.count] &- prefix[cut] &* power[scalars.count - cut]
                guard let left = symbol(scalars[..<cut], hash: prefix[cut], spelling),
                    let right = symbol(scalars[cut...], hash: rest, spelling)
                else { continue }
                table.insert(left, right, rank: ranks[id], id: Int32(truncatingIfNeeded: id))
            }
        }
        return table
    }

    private func symbol(_ scalars: ArraySlice<UInt32>, hash: UInt64, _ spelling: [[UInt32]]) -> Int32? {
        if scalars.count == 1, let only = scalars.first { return symbols[only] }
        return tokensByHash[hash]?.first { scalars.elementsEqual(spelling[Int($0)]) }
    }

    private static func hash(_ scalars: [UInt32]) -> UInt64 {
        scalars.reduce(0) { $0 &* base &+ UInt64($1) &+ 1 }
    }

    /// The rank of each score among all different ones, the highest score first.
    private static func ranks(
        _ scores: [Float], _ failure: (_ place: Int, _ found: String, _ expected: String) -> DyadError
    ) throws(DyadError) -> [Int32] {
        if let place = scores.firstIndex(where: { !$0.isFinite }) {
            throw failure(place, "\(scores[place])", "a finite score")
        }
        let order = scores.indices.sorted { scores[$0] > scores[$1] }
        var ranks = [Int32](repeating: 0, count: scores.count)
        var rank: Int32 = 0
        for (place, id) in order.enumerated() {
            if place > 0, scores[id] != scores[order[place - 1]] { rank += 1 }
            ranks[id] = rank
        }
        return ranks
    }
}
