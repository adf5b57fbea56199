extension Tokenizer {
    /// The text of ids. Ids without a token and, if asked for, special tokens count for nothing; bytes that form no
    /// UTF-8 become U+FFFD. Linear.
    public func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool = false) -> String {
        var decoder = StreamingDecoder(self, skipSpecial: skipSpecial)
        var text = ""
        for id in ids { text += decoder.append(id) }
        return text + decoder.finish()
    }
}

/// Decodes ids one by one as a model generates them. What it returns, joined, is what ``Tokenizer/decode(_:skipSpecial:)``
/// returns for all ids; a character of several tokens is held back until it is whole.
public struct StreamingDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let skipSpecial: Bool
    /// Bytes not returned yet.
    private var pending: [UInt8] = []
    private var isFirst = true
    /// How many scalars may still be dropped from the start of the text.
    private var leading: Int

    /// A decoder at the start of a text.
    public init(_ tokenizer: Tokenizer, skipSpecial: Bool = false) {
        self.tokenizer = tokenizer
        self.skipSpecial = skipSpecial
        leading = tokenizer.decoding.leading.count
    }

    /// Takes the next id; returns the text that is now certain, which may be empty. Constant time.
    public mutating func append(_ id: Int32) -> String {
        if skipSpecial, tokenizer.isSpecial(id) { return "" }
        pending += tokenizer.decoding.bytes(of: id, isFirst: isFirst)
        isFirst = false
        guard dropLeading() else { return "" }
        let end = Self.certainEnd(of: pending)
        defer { pending.removeFirst(end) }
        return String(decoding: pending[..<end], as: UTF8.self)
    }

    /// Ends the text; returns what was held back. The decoder is then at the start of another text.
    public mutating func finish() -> String {
        defer { self = StreamingDecoder(tokenizer, skipSpecial: skipSpecial) }
        return String(decoding: pending, as: UTF8.self)
    }

    /// Drops scalars from the start of the text; false if more bytes are needed to decide.
    private mutating func dropLeading() -> Bool {
        let scalar = tokenizer.decoding.leading.scalar
        while leading > 0 {
            if pending.starts(with: scalar) {
                pending.removeFirst(scalar.count)
                leading -= 1
            } else if scalar.starts(with: pending) {
                return false
            } else {
                leading = 0
            }
        }
        return true
    }

    /// Where a last, unfinished sequence of UTF-8 begins, or the end.
    private static func certainEnd(of bytes: [UInt8]) -> Int {
        for back in 1...3 where back <= bytes.count {
            let byte = bytes[bytes.count - back]
            if byte & 0xc0 == 0x80 { continue }
            let length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
            return length > back ? bytes.count - back : bytes.count
        }
        return bytes.count
    }
}
