import DyadFormats

/// Divides a normalised text into the pieces within which tokens are formed.
indirect enum PreTokenizer: Sendable {
    /// Cuts at the matches of a rule. `source` is the JSON it was read from.
    case split(SplitRule, source: JSONValue)
    /// GPT-2's: an optional space before each piece, and GPT-2's pattern. What follows works on bytes.
    case byteLevel(addPrefixSpace: Bool, usesPattern: Bool)
    /// SentencePiece's: spaces become `replacement`.
    case metaspace(Metaspace)
    /// One after the other.
    case sequence([PreTokenizer])

    struct Metaspace: Sendable {
        /// When a piece gets a `replacement` in front.
        enum Prepend: String, Sendable { case always, first, never }
        var replacement: Unicode.Scalar
        var prepend: Prepend
        var splits: Bool
    }

    /// GPT-2's pattern, from the paper's code release: contractions, words, numbers and other signs, each with at
    /// most one space before it, and white space except its last scalar before something else.
    static let gpt2Pattern =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    private static let gpt2Rule = SplitRule(builtIn: gpt2Pattern)

    /// Whether tokens are spelt in the alphabet of bytes.
    var isByteLevel: Bool {
        switch self {
        case .byteLevel: true
        case .sequence(let parts): parts.contains { $0.isByteLevel }
        default: false
        }
    }

    /// The number of pattern steps that every scalar may meet.
    var size: Int {
        switch self {
        case .split(let rule, _): rule.form.size
        case .byteLevel, .metaspace: 1
        case .sequence(let parts): parts.reduce(0) { $0 + $1.size }
        }
    }

    /// How many times as long it may make a text, at most.
    var growth: Double {
        switch self {
        case .split: 1
        case .byteLevel(let addPrefixSpace, _): addPrefixSpace ? 2 : 1
        case .metaspace(let metaspace): metaspace.prepend == .never ? 1 : 2
        case .sequence(let parts): parts.reduce(1) { $0 * $1.growth }
        }
    }

    /// Refines the pieces of a text. `isFirst`: whether the text begins where the user's text began.
    func apply(to text: inout ScalarText, isFirst: Bool, matcher: inout PatternMatcher) {
        switch self {
        case .split(let rule, _): rule.apply(to: &text, matcher: &matcher)
        case .byteLevel(let addPrefixSpace, let usesPattern):
            if addPrefixSpace { Self.prependSpaces(to: &text) }
            if usesPattern { Self.gpt2Rule.apply(to: &text, matcher: &matcher) }
        case .metaspace(let metaspace): metaspace.apply(to: &text, isFirst: isFirst, matcher: &matcher)
        case .sequence(let parts):
            for part in parts { part.apply(to: &text, isFirst: isFirst, matcher: &matcher) }
        }
    }

    private static func prependSpaces(to text: inout ScalarText) {
        var result = ScalarText()
        for piece in text.pieces {
            let start = result.values.count
            if text.values[piece.lowerBound] != 0x20 { result.append(0x20) }
            for value in text.values[piece] { result.append(value) }
            result.closePiece(from: start)
        }
        text = result
    }
}

extension PreTokenizer.Metaspace {
    fileprivate func apply(to text: inout ScalarText, isFirst: Bool, matcher: inout PatternMatcher) {
        var result = ScalarText()
        for piece in text.pieces {
            let start = result.values.count
            let first = text.values[piece.lowerBound]
            let isAtStart = isFirst && piece.lowerBound == 0
            let prepends = prepend == .always || (prepend == .first && isAtStart)
            if prepends, first != 0x20, first != replacement.value { result.append(replacement.value) }
            for value in text.values[piece] { result.append(value == 0x20 ? replacement.value : value) }
            result.closePiece(from: start)
        }
        text = result
        guard splits else { return }
        SplitRule(.literal(String(Character(replacement))), .mergedWithNext).apply(to: &text, matcher: &matcher)
    }
}
