import DyadFormats

/// The added tokens of a tokenizer while its files are read, with the ids that tokenizers gives them.
struct AddedTokenList: Sendable {
    private(set) var tokens: [AddedToken] = []
    private var places: [ExactString: Int] = [:]
    private let modelCount: Int
    private var largestID: Int32?

    /// No tokens yet, beside a model whose own tokens are those of `vocabulary`.
    init(beside vocabulary: Vocabulary) {
        modelCount = vocabulary.tokens.reduce(0) { $0 + ($1 == nil ? 0 : 1) }
    }

    /// The added token of a content.
    subscript(content: String) -> AddedToken? { places[ExactString(content)].map { tokens[$0] } }

    /// Adds a token, or gives the one of the same content other flags. An empty one counts for nothing.
    ///
    /// The id that a file names is not asked, for tokenizers does not ask it either: a token that the model has keeps
    /// its id there, any other gets the next free one.
    /// - Throws: `malformed` at `field` if the model's ids have gaps, so that the next one is another token's.
    mutating func add(_ token: AddedToken, to vocabulary: inout Vocabulary, at field: JSONField) throws(DyadError) {
        guard !token.content.isEmpty else { return }
        var token = token
        if let place = places[ExactString(token.content)] {
            token.id = tokens[place].id
            tokens[place] = token
            return
        }
        token.id = vocabulary.id(of: token.content) ?? nextID
        guard vocabulary.insert(token.content, id: token.id) else {
            throw field.failure(
                .malformed,
                found: "'\(token.content.prefix(40))', whose id would be \(token.id), that of "
                    + "'\((vocabulary[token.id] ?? "").prefix(40))'",
                expected: "a vocabulary without gaps before its added tokens")
        }
        largestID = max(largestID ?? token.id, token.id)
        places[ExactString(token.content)] = tokens.count
        tokens.append(token)
    }

    private var nextID: Int32 {
        let count = Int32(truncatingIfNeeded: modelCount)
        guard let largestID else { return count }
        return largestID >= count ? largestID + 1 : count
    }
}
