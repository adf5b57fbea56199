/// Finds added tokens in a text: at every position the longest, from left to right.
struct AddedTokenMatcher: Sendable {
    private let tokens: [AddedToken]
    /// A trie over bytes: children by `node << 8 | byte`, and the token that ends in each node, or -1.
    private var children: [UInt64: Int32] = [:]
    private var ends: [Int32] = [-1]
    private var isFirst = [Bool](repeating: false, count: 256)

    /// A part of a text: an added token, or the text between two of them.
    enum Part {
        case token(Int32)
        case text(Range<Int>)
    }

    /// A matcher for the tokens; `text` gives the string by which each is recognised, empty ones are ignored.
    init(_ tokens: [AddedToken], text: (AddedToken) -> String = \.content) {
        self.tokens = tokens
        for (number, token) in tokens.enumerated() {
            let bytes = Array(text(token).utf8)
            guard let first = bytes.first else { continue }
            isFirst[Int(first)] = true
            var node: Int32 = 0
            for byte in bytes {
                let key = UInt64(node) << 8 | UInt64(byte)
                if let child = children[key] {
                    node = child
                } else {
                    node = Int32(ends.count)
                    children[key] = node
                    ends.append(-1)
                }
            }
            ends[Int(node)] = Int32(number)
        }
    }

    /// Whether there is nothing to find.
    var isEmpty: Bool { children.isEmpty }

    /// Divides a text (UTF-8) into added tokens and the text between. Special tokens are passed over when
    /// `parseSpecial` is false. Time: the length of the text times that of the longest token, at worst.
    func parts(of text: [UInt8], parseSpecial: Bool) -> [Part] {
        var parts: [Part] = []
        var position = 0
        var covered = 0
        while position < text.count {
            guard isFirst[Int(text[position])], let (number, end) = longest(in: text, at: position) else {
                position += 1
                continue
            }
            let token = tokens[number]
            var start = position
            var stop = end
            position = end
            if token.isSpecial, !parseSpecial { continue }
            if token.isSingleWord, Self.isWord(Self.before(start, in: text)) || Self.isWord(Self.at(stop, in: text)) {
                continue
            }
            if token.stripsLeft {
                while start > covered, let scalar = Self.before(start, in: text), scalar.properties.isWhitespace {
                    start -= UTF8.width(scalar)
                }
            }
            if token.stripsRight {
                while let scalar = Self.at(stop, in: text), scalar.properties.isWhitespace {
                    stop += UTF8.width(scalar)
                }
                position = stop
            }
            if covered < start { parts.append(.text(covered..<start)) }
            parts.append(.token(token.id))
            covered = stop
        }
        if covered < text.count { parts.append(.text(covered..<text.count)) }
        return parts
    }

    private func longest(in text: [UInt8], at start: Int) -> (number: Int, end: Int)? {
        var node: Int32 = 0
        var best: (Int, Int)?
        var position = start
        while position < text.count, let child = children[UInt64(node) << 8 | UInt64(text[position])] {
            node = child
            position += 1
            if ends[Int(node)] >= 0 { best = (Int(ends[Int(node)]), position) }
        }
        return best
    }

    private static func isWord(_ scalar: Unicode.Scalar?) -> Bool {
        guard let scalar else { return false }
        return ScalarKind.word >> UInt32(ScalarKind.kind(of: scalar.value)) & 1 == 1
    }

    /// The scalar that begins at a byte; nil at the end.
    private static func at(_ position: Int, in text: [UInt8]) -> Unicode.Scalar? {
        guard position < text.count else { return nil }
        return String(decoding: text[position..<min(position + 4, text.count)], as: UTF8.self).unicodeScalars.first
    }

    /// The scalar that ends before a byte; nil at the start.
    private static func before(_ position: Int, in text: [UInt8]) -> Unicode.Scalar? {
        var start = position - 1
        while start > 0, text[start] & 0xc0 == 0x80 { start -= 1 }
        return start < 0 ? nil : at(start, in: text)
    }
}
