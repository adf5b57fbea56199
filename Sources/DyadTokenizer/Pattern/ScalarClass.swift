/// A set of scalars for quick tests: a bit each for ASCII, beyond it a bit for each kind (``ScalarKind``) of which the
/// set holds all or nothing, and a search in the ranges only for the kinds that it holds in part.
struct ScalarClass: Sendable {
    private let low: UInt64
    private let high: UInt64
    /// The kinds of which the set holds all scalars beyond ASCII.
    private let whole: UInt32
    /// The kinds of which it holds some.
    private let divided: UInt32
    private let set: ScalarSet

    init(_ set: ScalarSet) {
        func bits(_ range: Range<UInt32>) -> UInt64 {
            range.reduce(0) { $0 | (set.contains($1) ? 1 << UInt64($1 - range.lowerBound) : 0) }
        }
        low = bits(0..<64)
        high = bits(64..<128)
        (whole, divided) = ScalarKind.cover(of: set)
        self.set = divided == 0 ? ScalarSet() : set
    }

    /// Whether the scalar of that value and kind is in the set.
    @inline(__always)
    func contains(_ value: UInt32, kind: UInt8) -> Bool {
        if value < 64 { return low >> UInt64(value) & 1 == 1 }
        if value < 128 { return high >> UInt64(value - 64) & 1 == 1 }
        if whole >> UInt32(kind) & 1 == 1 { return true }
        if divided >> UInt32(kind) & 1 == 0 { return false }
        return set.contains(value)
    }
}
