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
    /// Reads an element of `added_tokens`. Its `id` has to be there, and does not count; see ``AddedTokenList``.
    init(_ field: JSONField) throws(DyadError) {
        _ = try field.member("id").integer(in: 0...Int(UInt32.max))
        try self.init(describedBy: field)
    }

    /// Reads a full description: an element of `added_tokens` or of `added_tokens_decoder`. The id is not known yet.
    init(describedBy field: JSONField) throws(DyadError) {
        let isSpecial = try field.optional("special")?.bool() ?? false
        self.init(
            id: -1, content: try field.member("content").string(), isSpecial: isSpecial,
            isSingleWord: try field.optional("single_word")?.bool() ?? false,
            stripsLeft: try field.optional("lstrip")?.bool() ?? false,
            stripsRight: try field.optional("rstrip")?.bool() ?? false,
            isNormalized: try field.optional("normalized")?.bool() ?? !isSpecial)
    }

    /// Reads a named special token: its content, or an object with `content` and flags.
    init(namedBy field: JSONField) throws(DyadError) {
        if field.value.object != nil {
            try self.init(describedBy: field)
            if try field.optional("normalized") == nil { isNormalized = false }
            isSpecial = true
        } else {
            self.init(id: -1, content: try field.string(), isSpecial: true)
        }
    }

    /// Whether two tokens of one content are found in the same places.
    func hasFlags(of other: AddedToken) -> Bool {
        isSpecial == other.isSpecial && isSingleWord == other.isSingleWord && stripsLeft == other.stripsLeft
            && stripsRight == other.stripsRight && isNormalized == other.isNormalized
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
