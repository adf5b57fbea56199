/// A part of a text, as patterns see it.
struct PatternText {
    let values: UnsafeBufferPointer<UInt32>
    let kinds: UnsafeBufferPointer<UInt8>
    /// Matches lie within; what is looked at, too.
    let bounds: Range<Int>

    /// Whether the scalar at a position within the bounds is in a class.
    @inline(__always)
    func isMember(_ position: Int, of set: ScalarClass) -> Bool {
        set.contains(values[position], kind: kinds[position])
    }

    /// Whether an anchor holds at a position.
    func holds(_ anchor: PatternNode.Anchor, at position: Int) -> Bool {
        switch anchor {
        case .textStart: position == bounds.lowerBound
        case .textEnd: position == bounds.upperBound
        case .lineStart:
            position == bounds.lowerBound || (position < bounds.upperBound && values[position - 1] == Self.lineFeed)
        case .lineEnd: position == bounds.upperBound || values[position] == Self.lineFeed
        case .lastLineEnd:
            position == bounds.upperBound || (position == bounds.upperBound - 1 && values[position] == Self.lineFeed)
        case .wordBoundary: isWord(position) != isWord(position - 1)
        case .noWordBoundary: isWord(position) == isWord(position - 1)
        }
    }

    private static let lineFeed: UInt32 = 0x0a

    private func isWord(_ position: Int) -> Bool {
        bounds.contains(position) && ScalarKind.wordOfBoundary >> UInt32(kinds[position]) & 1 == 1
    }
}
