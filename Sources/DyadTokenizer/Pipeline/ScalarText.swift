/// A text as scalar values with their kinds, and its division into pieces. Pre-tokenizers refine the pieces.
struct ScalarText {
    /// The scalar values.
    private(set) var values: [UInt32] = []
    /// ``ScalarKind`` of each scalar.
    private(set) var kinds: [UInt8] = []
    /// The pieces in order: not empty, not overlapping; scalars outside every piece are dropped.
    var pieces: [Range<Int>] = []
    private let reader = ScalarKind.Reader()

    /// An empty text.
    init() {}

    /// A text of one piece, or of none if it is empty. Linear.
    init(_ string: String) {
        values.reserveCapacity(string.utf8.count)
        kinds.reserveCapacity(string.utf8.count)
        for scalar in string.unicodeScalars { append(scalar.value) }
        if !values.isEmpty { pieces = [0..<values.count] }
    }

    /// Appends a scalar without extending any piece.
    @inline(__always)
    mutating func append(_ value: UInt32) {
        values.append(value)
        kinds.append(reader.kind(of: value))
    }

    /// Appends the scalars from `start` on as a piece, unless there are none.
    mutating func closePiece(from start: Int) {
        if start < values.count { pieces.append(start..<values.count) }
    }
}
