import DyadFormats

/// The tokens by id and the ids by token. Tokens are compared byte by byte.
struct Vocabulary: Sendable {
    /// The largest id that a file may use.
    static let largestID = 1 << 24

    /// The tokens by id; nil where no token has the id.
    private(set) var tokens: [String?] = []
    private var ids: [ExactString: Int32] = [:]

    /// An empty vocabulary.
    init() {}

    /// The number of ids, gaps included.
    var count: Int { tokens.count }

    /// The token of an id.
    subscript(id: Int32) -> String? {
        id >= 0 && Int(id) < tokens.count ? tokens[Int(id)] : nil
    }

    /// The id of a token; the lowest if several ids have it. Linear in the token's length.
    func id(of token: String) -> Int32? { ids[ExactString(token)] }

    /// Appends a token (or a gap) with the next id.
    mutating func append(_ token: String?) {
        if let token {
            let key = ExactString(token)
            if ids[key] == nil { ids[key] = Int32(truncatingIfNeeded: tokens.count) }
        }
        tokens.append(token)
    }

    /// Gives a token an id, leaving gaps as needed; false if another token has the id.
    mutating func insert(_ token: String, id: Int32) -> Bool {
        while tokens.count <= Int(id) { tokens.append(nil) }
        guard tokens[Int(id)].map({ ExactString($0) == ExactString(token) }) ?? true else { return false }
        tokens[Int(id)] = token
        let key = ExactString(token)
        ids[key] = min(ids[key] ?? id, id)
        return true
    }
}

extension Vocabulary {
    /// Reads the `vocab` of a tokenizer.json's model, with its added tokens: an object from token to id, or, in
    /// documents of Dyad, the list of tokens by id.
    /// - Throws: `malformed` for ids out of range, far apart, or used by two tokens.
    init(_ field: JSONField, added: Int) throws(DyadError) {
        switch field.value {
        case .array(let elements):
            guard elements.count <= Self.largestID else {
                throw field.failure(
                    .malformed, found: "\(elements.count) tokens", expected: "at most \(Self.largestID)")
            }
            for (id, element) in elements.enumerated() {
                guard element.string != nil || element.isNull else {
                    throw field.failure(.malformed, found: element.kind + " at \(id)", expected: "strings")
                }
                append(element.string)
            }
        default:
            let members = try field.object()
            // A file of n tokens may leave gaps, but not claim memory out of proportion.
            let limit = min(Self.largestID, 4 * (members.count + added) + 65_536)
            for (token, id) in members.members {
                guard let id = id.integer, id >= 0, id < limit else {
                    throw field.failure(
                        .malformed, found: "the id \(id.text().prefix(40)) of '\(token.prefix(40))'",
                        expected: "an integer from 0 to \(limit - 1)")
                }
                guard insert(token, id: Int32(id)) else {
                    throw field.failure(
                        .malformed, found: "the id \(id) for '\(token.prefix(40))' and for another token",
                        expected: "one token for an id")
                }
            }
        }
        guard count > 0 else { throw field.failure(.malformed, found: "no tokens", expected: "at least one token") }
    }
}
