import DyadFormats

/// Byte-pair encoding of one piece of text: first a symbol for every byte or scalar, then merges.
struct BytePairModel: Sendable {
    /// How merges are given.
    enum Rule: Sendable {
        /// A list, best first (Hugging Face, GPT-2).
        case merges([(String, String)])
        /// A score for every token; any pair that spells a token may be joined, the best score first
        /// (SentencePiece). `isText` tells the tokens that text can be joined to.
        case scores([Float], isText: [Bool])
    }

    /// What is not in the vocabulary.
    struct Fallback: Sendable {
        /// Tokens `<0x00>` … `<0xFF>`, if scalars outside the vocabulary are spelt by them.
        var bytes: [Int32]?
        /// The token for all else.
        var unknown: Int32?
        /// Whether a run of unknown scalars becomes one token.
        var fusesUnknown = false
    }

    private let isByteLevel: Bool
    private let fallback: Fallback
    /// Whether a piece that is a token is left whole, whatever the merges.
    private let prefersWholePieces: Bool
    /// Tokens that no text becomes, though the vocabulary spells them.
    private let control: Set<Int32>
    private let byteSymbols: [Int32]
    private let scalarSymbols: [UInt32: Int32]
    private let merges: MergeTable
    /// Symbols from here on are scalars that only occur inside tokens; ``loneScalars`` holds them.
    private let firstLone: Int32
    private let loneScalars: [UInt32]

    /// Pieces longer than this are cut: positions must fit 32 bits.
    private static let longestPiece = 1 << 28

    init(
        _ vocabulary: Vocabulary, rule: Rule, isByteLevel: Bool, fallback: Fallback, prefersWholePieces: Bool,
        control: Set<Int32>,
        failure: (_ place: Int, _ found: String, _ expected: String) -> DyadError
    ) throws(DyadError) {
        self.isByteLevel = isByteLevel
        self.fallback = fallback
        self.prefersWholePieces = prefersWholePieces
        self.control = control
        firstLone = Int32(truncatingIfNeeded: vocabulary.count)
        byteSymbols =
            isByteLevel
            ? (UInt8(0)...255).map { byte in
                let id = vocabulary.id(of: ByteAlphabet.string(of: byte)) ?? -1
                return control.contains(id) ? fallback.unknown ?? -1 : id
            } : []
        var symbols: [UInt32: Int32] = [:]
        if !isByteLevel {
            for (id, token) in vocabulary.tokens.enumerated() {
                guard let scalars = token?.unicodeScalars, let first = scalars.first,
                    scalars.index(after: scalars.startIndex) == scalars.endIndex, symbols[first.value] == nil
                else { continue }
                if control.contains(Int32(truncatingIfNeeded: id)) { continue }
                symbols[first.value] = Int32(truncatingIfNeeded: id)
            }
        }
        switch rule {
        case .merges(let pairs):
            merges = try MergeTable(pairs, vocabulary, without: control, failure)
            loneScalars = []
        case .scores(let scores, let isText):
            let isPlain = isText.enumerated().map { $1 && !control.contains(Int32(truncatingIfNeeded: $0)) }
            var builder = ScoredMerges(vocabulary, isText: isPlain, symbols: symbols)
            merges = try builder.table(scores, failure)
            symbols = builder.symbols
            loneScalars = builder.loneScalars
        }
        scalarSymbols = symbols
    }

    /// Appends the tokens of a piece. n symbols take O(n log n).
    func encode(_ piece: ArraySlice<UInt32>, vocabulary: Vocabulary, queue: inout MergeQueue, into ids: inout [Int32]) {
        guard piece.count <= Self.longestPiece else {
            let middle = piece.startIndex + piece.count / 2
            encode(piece[..<middle], vocabulary: vocabulary, queue: &queue, into: &ids)
            encode(piece[middle...], vocabulary: vocabulary, queue: &queue, into: &ids)
            return
        }
        if prefersWholePieces, let whole = vocabulary.id(of: spelling(piece)), !control.contains(whole) {
            return ids.append(whole)
        }
        var symbols: [Int32] = []
        symbols.reserveCapacity(piece.count)
        if isByteLevel {
            var bytes: [UInt8] = []
            for value in piece { UTF8.append(value, to: &bytes) }
            for byte in bytes where byteSymbols[Int(byte)] >= 0 { symbols.append(byteSymbols[Int(byte)]) }
            return queue.merge(symbols, with: merges, into: &ids)
        }
        var isUnknown = false
        for value in piece {
            if let symbol = scalarSymbols[value] {
                symbols.append(symbol)
                isUnknown = false
            } else {
                spell(value, afterUnknown: &isUnknown, into: &symbols)
            }
        }
        guard !loneScalars.isEmpty else { return queue.merge(symbols, with: merges, into: &ids) }
        var joined: [Int32] = []
        queue.merge(symbols, with: merges, into: &joined)
        isUnknown = false
        for symbol in joined {
            if symbol < firstLone {
                ids.append(symbol)
                isUnknown = symbol == fallback.unknown
            } else {
                spell(loneScalars[Int(symbol - firstLone)], afterUnknown: &isUnknown, into: &ids)
            }
        }
    }

    /// A scalar outside the vocabulary: its bytes, or the unknown token, or nothing.
    private func spell(_ value: UInt32, afterUnknown: inout Bool, into symbols: inout [Int32]) {
        if let bytes = fallback.bytes {
            var encoded: [UInt8] = []
            UTF8.append(value, to: &encoded)
            for byte in encoded { symbols.append(bytes[Int(byte)]) }
            afterUnknown = false
        } else if let unknown = fallback.unknown {
            if !(afterUnknown && fallback.fusesUnknown) { symbols.append(unknown) }
            afterUnknown = true
        }
    }

    private func spelling(_ piece: ArraySlice<UInt32>) -> String {
        var bytes: [UInt8] = []
        for value in piece { UTF8.append(value, to: &bytes) }
        guard isByteLevel else { return String(decoding: bytes, as: UTF8.self) }
        var spelt: [UInt8] = []
        for byte in bytes { UTF8.append(ByteAlphabet.scalars[Int(byte)], to: &spelt) }
        return String(decoding: spelt, as: UTF8.self)
    }
}

extension MergeTable {
    /// The table of a list of merges.
    fileprivate init(
        _ pairs: [(String, String)], _ vocabulary: Vocabulary, without control: Set<Int32>,
        _ failure: (_ place: Int, _ found: String, _ expected: String) -> DyadError
    ) throws(DyadError) {
        self.init()
        reserveCapacity(pairs.count)
        for (rank, pair) in pairs.enumerated() {
            guard let left = vocabulary.id(of: pair.0), let right = vocabulary.id(of: pair.1),
                let id = vocabulary.id(of: pair.0 + pair.1)
            else {
                let missing = [pair.0, pair.1, pair.0 + pair.1].first { vocabulary.id(of: $0) == nil } ?? ""
                throw failure(rank, "'\(missing.prefix(60))', which is no token", "a merge of tokens to a token")
            }
            if !control.contains(id) { insert(left, right, rank: Int32(truncatingIfNeeded: rank), id: id) }
        }
    }
}
