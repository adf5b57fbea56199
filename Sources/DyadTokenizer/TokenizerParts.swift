import DyadFormats

/// What a tokenizer is made of, as read from a file and as ``Tokenizer/json()`` writes it.
struct TokenizerParts: Sendable {
    /// The file all is from.
    var file: String
    var vocabulary: Vocabulary
    var rule: BytePairModel.Rule
    /// The field that holds merges or scores, for errors.
    var ruleField: String
    var fallback = BytePairModel.Fallback()
    /// Whether a piece that is a token is left whole, whatever the merges.
    var prefersWholePieces = false
    var addedTokens: [AddedToken] = []
    var normalizer: Normalizer?
    var preTokenizer: PreTokenizer?
    var decoder: TokenDecoder
    /// What goes before and after a text.
    var prefix: [Int32] = []
    var suffix: [Int32] = []
    var bosID: Int32?
    var eosIDs: [Int32] = []
    /// The named special tokens (`bos_token`, `pad_token`, …) and their contents, which chat templates may read.
    var namedTokens = JSONObject()
    var chatTemplate: String?
    /// The file that the chat template is from, where that is not ``file``.
    var chatTemplateFile: String?
    /// The names of templates that none asks for, where none is called "default".
    var otherTemplates: [String] = []

    func bytePairModel() throws(DyadError) -> BytePairModel {
        let file = file
        let field = ruleField
        return try BytePairModel(
            vocabulary, rule: rule, isByteLevel: preTokenizer?.isByteLevel ?? false, fallback: fallback,
            prefersWholePieces: prefersWholePieces, control: controlIDs
        ) { place, found, expected in
            DyadError(
                .malformed, file: file, subject: "\(field)[\(place)]", found: found, expected: expected,
                remedy: "Download or convert the tokenizer again.")
        }
    }

    /// Checks that the ids around a text are ids of tokens: a vocabulary may have gaps.
    func checkSurroundings() throws(DyadError) {
        guard let id = (prefix + suffix).first(where: { vocabulary[$0] == nil }) else { return }
        throw DyadError(
            .malformed, file: file, subject: "post_processor", found: "the id \(id), which no token has",
            expected: "ids of tokens", remedy: "Download or convert the tokenizer again.")
    }

    /// The tokens that steer the model, which no content may become: special ones, and added ones that begin or end a
    /// text. (The model still gives the unknown token and bytes for text that has no token of its own.)
    var controlIDs: Set<Int32> {
        Set(addedTokens.filter { $0.isSpecial || $0.id == bosID || eosIDs.contains($0.id) }.map(\.id))
    }

    /// Adds an end token unless it is there.
    mutating func addEnd(_ id: Int32) {
        if !eosIDs.contains(id) { eosIDs.append(id) }
    }

    /// The tokens `<0x00>` … `<0xFF>`; nil unless all are there.
    static func byteTokens(_ vocabulary: Vocabulary) -> [Int32]? {
        var ids: [Int32] = []
        for byte in 0..<256 {
            let digits = String(byte, radix: 16, uppercase: true)
            guard let id = vocabulary.id(of: "<0x" + (byte < 16 ? "0" : "") + digits + ">") else { return nil }
            ids.append(id)
        }
        return ids
    }
}
