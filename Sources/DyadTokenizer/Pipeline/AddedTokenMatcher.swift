/// Finds added tokens in a text: at every position the longest, from left to right.
struct AddedTokenMatcher: Sendable {
    private let tokens: [AddedToken]
    private let isControl: [Bool]
    /// A trie over bytes: children by `node << 8 | byte`, and the token that ends in each node, or -1.
    private var children: [UInt64: Int32] = [:]
    private var ends: [Int32] = [-1]
    private var isFirst = [Bool](repeating: false, count: 256)

    /// A part of a text: an added token, or the text between two of them.
    enum Part {
        case token(Int32)
        case text(Range<Int>)
    }

    /// A matcher for the tokens. `text` gives the string by which each is recognised, empty ones are ignored;
    /// `control` holds the ids that content must not become.
    init(_ tokens: [AddedToken], control: Set<Int32>, text: (AddedToken) -> String = \.content) {
        self.tokens = tokens
        isControl = tokens.map { control.contains($0.id) }
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

    /// Divides a text (UTF-8) into added tokens and the text between. Control tokens that are spelt within one of
    /// the content's ranges are passed over; those that reach beyond count. Time: the length of the text times that
    /// of the longest token, at worst.
    func parts(of text: [UInt8], content: ContentRanges) -> [Part] {
        var parts: [Part] = []
        var position = 0
        var covered = 0
        var content = content
        while position < text.count {
            guard isFirst[Int(text[position])], let (number, end) = longest(in: text, at: position) else {
                position += 1
                continue
            }
            let token = tokens[number]
            var start = position
            var stop = end
            position = end
            if isControl[number], content.contains(start..<stop) { continue }
            if token.isSingleWord, isInWord(start, stop, text, isControl[number] ? content : nil) { continue }
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

    /// Whether a token stands within a word. For a control token the content beside it is no part of a word: content
    /// can take away no control token of the template.
    private func isInWord(_ start: Int, _ stop: Int, _ text: [UInt8], _ content: ContentRanges?) -> Bool {
        var content = content
        let isContentBefore = content?.contains(start - 1..<start) ?? false
        let isContentAfter = content?.contains(stop..<stop + 1) ?? false
        return !isContentBefore && Self.isWord(Self.before(start, in: text))
            || !isContentAfter && Self.isWord(Self.at(stop, in: text))
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

/// Ranges of a text that are content, asked for from left to right.
struct ContentRanges {
    let ranges: [Range<Int>]
    private var place = 0

    /// Ranges in order and apart from each other.
    init(_ ranges: [Range<Int>]) { self.ranges = ranges }

    /// Whether one of the ranges holds all of another. Ranges asked for should begin further and further right;
    /// then this takes constant time on average.
    mutating func contains(_ range: Range<Int>) -> Bool {
        while place > 0, ranges[place - 1].upperBound > range.lowerBound { place -= 1 }
        while place < ranges.count, ranges[place].upperBound <= range.lowerBound { place += 1 }
        guard place < ranges.count else { return false }
        return ranges[place].lowerBound <= range.lowerBound && range.upperBound <= ranges[place].upperBound
    }

    /// The parts of the ranges within a range, counted from its start.
    func within(_ range: Range<Int>) -> ContentRanges {
        // The first range that ends behind the start, by halves.
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound <= range.lowerBound { low = middle + 1 } else { high = middle }
        }
        var result: [Range<Int>] = []
        for part in ranges[low...] {
            guard part.lowerBound < range.upperBound else { break }
            let clamped = part.clamped(to: range)
            result.append(clamped.lowerBound - range.lowerBound..<clamped.upperBound - range.lowerBound)
        }
        return ContentRanges(result)
    }
}
