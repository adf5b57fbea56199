import DyadFormats

/// A token that is recognised in the text before everything else, as a whole.
struct AddedToken: Sendable {
    var id: Int32
    var content: String
    /// Whether it is for control (`<|im_end|>`), not text.
    var isSpecial: Bool
    /// Whether it only counts between scalars that are not part of words.
    var isSingleWord = false
    /// Whether it swallows the white space before it.
    var stripsLeft = false
    /// Whether it swallows the white space after it.
    var stripsRight = false
    /// Whether it is looked for in the normalised text instead of the text as written.
    var isNormalized = false
}

extension AddedToken {
    /// Reads an element of `added_tokens`.
    init(_ field: JSONField) throws(DyadError) {
        let isSpecial = try field.optional("special")?.bool() ?? false
        self.init(
            id: Int32(try field.member("id").integer(in: 0...Vocabulary.largestID)),
            content: try field.member("content").string(), isSpecial: isSpecial,
            isSingleWord: try field.optional("single_word")?.bool() ?? false,
            stripsLeft: try field.optional("lstrip")?.bool() ?? false,
            stripsRight: try field.optional("rstrip")?.bool() ?? false,
            isNormalized: try field.optional("normalized")?.bool() ?? !isSpecial)
    }

    /// The JSON that ``init(_:)`` reads back.
    var json: JSONValue {
        [
            "id": .integer(Int(id)), "content": .string(content), "single_word": .bool(isSingleWord),
            "lstrip": .bool(stripsLeft), "rstrip": .bool(stripsRight), "normalized": .bool(isNormalized),
            "special": .bool(isSpecial),
        ]
    }
}
