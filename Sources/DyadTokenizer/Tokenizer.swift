import DyadFormats

/// Text to token ids and back, exactly as the model was trained with.
///
/// Byte-pair encoding in its two forms: byte-level (GPT-2, Llama 3, Qwen, SmolLM) and over scalars with byte fallback
/// (SentencePiece: Llama 2, Phi-3, Gemma). Read from a Hugging Face tokenizer.json, from a GGUF file or from a
/// document that ``json()`` wrote.
///
/// The work is done as Hugging Face's tokenizers does it: added tokens are found first, what lies between them is
/// normalised, divided into pieces, and every piece encoded by merging.
public final class Tokenizer: Sendable {
    let parts: TokenizerParts
    private let model: BytePairModel
    private let rawMatcher: AddedTokenMatcher
    private let normalizedMatcher: AddedTokenMatcher
    private let special: Set<Int32>
    private let hasNormalizedControl: Bool
    let decoding: DecodingTable

    /// Pieces longer than this are not remembered within a text.
    private static let rememberedLength = 64

    init(_ parts: TokenizerParts) throws(DyadError) {
        try parts.checkSurroundings()
        self.parts = parts
        model = try parts.bytePairModel()
        let added = parts.addedTokens
        let control = parts.controlIDs
        rawMatcher = AddedTokenMatcher(added.filter { !$0.isNormalized }, control: control)
        let normalizer = parts.normalizer
        hasNormalizedControl = added.contains { $0.isNormalized && control.contains($0.id) }
        normalizedMatcher = AddedTokenMatcher(added.filter(\.isNormalized), control: control) { token in
            normalizer?.apply(to: token.content) ?? token.content
        }
        special = Set(added.filter(\.isSpecial).map(\.id))
        // Hugging Face decodes a token that is looked for in normalised text in its normalised form.
        var spelling: [Int: String] = [:]
        for token in added where token.isNormalized {
            spelling[Int(token.id)] = normalizer?.apply(to: token.content) ?? token.content
        }
        decoding = DecodingTable(parts.vocabulary, parts.decoder, spelling: spelling)
    }

    /// The number of ids, gaps included: every id is below it.
    public var vocabularySize: Int { parts.vocabulary.count }

    /// The token with which texts begin, if the model has one.
    public var bosID: Int32? { parts.bosID }

    /// The tokens that end a generation: the end of the text and, in chat models, the end of a turn. In the order in
    /// which the files name them, each once.
    public var eosIDs: [Int32] { parts.eosIDs }

    /// The source of the chat template, if the model has one.
    public var chatTemplateSource: String? { parts.chatTemplate }

    /// The token of an id as it is spelt in the vocabulary (`Ġthe`); nil if no token has the id.
    public func token(_ id: Int32) -> String? { parts.vocabulary[id] }

    /// The id of a token as it is spelt in the vocabulary.
    public func id(ofToken token: String) -> Int32? { parts.vocabulary.id(of: token) }

    /// Whether the token is for control, not text.
    public func isSpecial(_ id: Int32) -> Bool { special.contains(id) }

    /// The ids of a text.
    /// - Parameters:
    ///   - text: any string; the empty one has no tokens.
    ///   - parseSpecial: whether a special token that is written in the text (`<|im_end|>`) becomes that token. With
    ///     false it is encoded as plain text, which is the safe choice for text from strangers: no control token comes
    ///     out of it, whatever it says. Added tokens that are not special are always recognised.
    ///   - addSpecial: whether the tokens are put around the text that the model's post-processor puts there (BOS for
    ///     Llama; nothing for GPT-2, SmolLM and Qwen).
    /// - Complexity: O(n log n) at worst, close to linear for real text.
    public func encode(_ text: String, parseSpecial: Bool = true, addSpecial: Bool = false) -> [Int32] {
        let content = parseSpecial || text.isEmpty ? [] : [0..<text.utf8.count]
        return (addSpecial ? parts.prefix : []) + encode(text, ContentRanges(content))
            + (addSpecial ? parts.suffix : [])
    }

    /// The ids of a chat that a template rendered: the text as a whole, special tokens included, except those that
    /// are spelt within what came from the conversation. A special token that reaches from content into the
    /// template's own text counts.
    /// - Complexity: as ``encode(_:parseSpecial:addSpecial:)``.
    public func encode(_ prompt: RenderedPrompt) -> [Int32] {
        encode(prompt.text, ContentRanges(prompt.contentRanges))
    }

    private func encode(_ text: String, _ content: ContentRanges) -> [Int32] {
        var ids: [Int32] = []
        var scratch = Scratch()
        let bytes = Array(text.utf8)
        for part in rawMatcher.parts(of: bytes, content: content) {
            switch part {
            case .token(let id): ids.append(id)
            case .text(let range):
                let segment = String(decoding: bytes[range], as: UTF8.self)
                var normalized = segment
                var inner = hasNormalizedControl ? content.within(range) : ContentRanges([])
                if let normalizer = parts.normalizer {
                    (normalized, inner) = normalizer.apply(to: segment, content: inner)
                }
                encode(normalized, isFirst: range.lowerBound == 0, inner, &scratch, into: &ids)
            }
        }
        return ids
    }

    private struct Scratch {
        var matcher = PatternMatcher()
        var queue = MergeQueue()
    }

    private func encode(
        _ text: String, isFirst: Bool, _ content: ContentRanges, _ scratch: inout Scratch, into ids: inout [Int32]
    ) {
        guard !normalizedMatcher.isEmpty else { return encodeText(text, isFirst: isFirst, &scratch, into: &ids) }
        let bytes = Array(text.utf8)
        for part in normalizedMatcher.parts(of: bytes, content: content) {
            switch part {
            case .token(let id): ids.append(id)
            case .text(let range):
                let segment = String(decoding: bytes[range], as: UTF8.self)
                encodeText(segment, isFirst: isFirst && range.lowerBound == 0, &scratch, into: &ids)
            }
        }
    }

    /// Encodes a text without added tokens. A piece that occurs again takes its ids from the first time.
    private func encodeText(_ text: String, isFirst: Bool, _ scratch: inout Scratch, into ids: inout [Int32]) {
        var scalars = ScalarText(text)
        parts.preTokenizer?.apply(to: &scalars, isFirst: isFirst, matcher: &scratch.matcher)
        scalars.values.withUnsafeBufferPointer { values in
            var known: [PieceKey: Range<Int>] = [:]
            for piece in scalars.pieces {
                let start = ids.count
                guard piece.count <= Self.rememberedLength else {
                    encodePiece(scalars.values[piece], &scratch, into: &ids)
                    continue
                }
                let key = PieceKey(scalars: UnsafeBufferPointer(rebasing: values[piece]))
                if let earlier = known[key] {
                    for place in earlier { ids.append(ids[place]) }
                } else {
                    encodePiece(scalars.values[piece], &scratch, into: &ids)
                    known[key] = start..<ids.count
                }
            }
        }
    }

    private func encodePiece(_ piece: ArraySlice<UInt32>, _ scratch: inout Scratch, into ids: inout [Int32]) {
        model.encode(piece, vocabulary: parts.vocabulary, queue: &scratch.queue, into: &ids)
    }
}

/// The scalars of a piece as a key; lives no longer than the text they are in.
private struct PieceKey: Hashable {
    let scalars: UnsafeBufferPointer<UInt32>

    static func == (left: PieceKey, right: PieceKey) -> Bool { left.scalars.elementsEqual(right.scalars) }

    func hash(into hasher: inout Hasher) { hasher.combine(bytes: UnsafeRawBufferPointer(scalars)) }
}
