/// A set of scalars, as `[^\s\p{L}]` denotes one. Membership takes constant time for ASCII and for sets made of
/// kinds, and is linear in the number of explicit ranges beyond ASCII otherwise.
struct ScalarClass: Hashable, Sendable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0
    private var kinds: UInt32 = 0
    private var ranges: [ClosedRange<UInt32>] = []
    private var isNegated = false

    /// The empty set.
    init() {}

    /// Adds a range of scalar values.
    mutating func insert(_ range: ClosedRange<UInt32>) {
        for value in range.clamped(to: 0...127) where range.contains(value) { insertASCII(value) }
        if range.upperBound > 127 { ranges.append(max(128, range.lowerBound)...range.upperBound) }
    }

    /// Adds every scalar whose kind is in the mask, plus the ASCII members the caller's predicate names.
    mutating func insert(kinds mask: UInt32, ascii isMember: (UInt32) -> Bool) {
        kinds |= mask
        for value in UInt32(0)..<128 where isMember(value) { insertASCII(value) }
    }

    private mutating func insertASCII(_ value: UInt32) {
        if value < 64 { low |= 1 << UInt64(value) } else { high |= 1 << UInt64(value - 64) }
    }

    /// Turns the set into its complement.
    mutating func negate() {
        low = ~low
        high = ~high
        isNegated.toggle()
    }

    /// Adds the scalars that differ from a member only in case, for ASCII letters, with the two scalars outside
    /// ASCII that fold to an ASCII letter (U+017F long s, U+212A Kelvin sign).
    mutating func closeUnderASCIICase() {
        let lower = (high >> 32) & 0x07ff_fffe
        let upper = high & 0x07ff_fffe
        high |= lower | upper << 32
        if contains(0x73, kind: 1) { ranges.append(0x17f...0x17f) }
        if contains(0x6b, kind: 1) { ranges.append(0x212a...0x212a) }
    }

    /// Whether the scalar of that value and kind (``ScalarKind``) is in the set.
    @inline(__always)
    func contains(_ value: UInt32, kind: UInt8) -> Bool {
        if value < 64 { return low >> UInt64(value) & 1 == 1 }
        if value < 128 { return high >> UInt64(value - 64) & 1 == 1 }
        if kinds >> UInt32(kind) & 1 == 1 { return !isNegated }
        if ranges.isEmpty { return isNegated }
        return ranges.contains { $0.contains(value) } != isNegated
    }
}

extension ScalarClass {
    /// `\s`, or its complement.
    static func space(negated: Bool = false) -> ScalarClass {
        make(ScalarKind.space, negated) { ($0 >= 9 && $0 <= 13) || $0 == 32 }
    }

    /// `\d`, or its complement.
    static func digit(negated: Bool = false) -> ScalarClass { property(ScalarKind.digit, negated: negated) }

    /// `\w`, or its complement.
    static func word(negated: Bool = false) -> ScalarClass { property(ScalarKind.word, negated: negated) }

    /// `\p{…}` of a set of kinds, or its complement.
    static func property(_ mask: UInt32, negated: Bool = false) -> ScalarClass {
        make(mask, negated) { mask >> UInt32(ScalarKind.kind(of: $0)) & 1 == 1 }
    }

    private static func make(_ mask: UInt32, _ negated: Bool, _ ascii: (UInt32) -> Bool) -> ScalarClass {
        var result = ScalarClass()
        result.insert(kinds: negated ? ScalarKind.all & ~mask : mask) { ascii($0) != negated }
        return result
    }

    /// One scalar.
    static func scalar(_ value: UInt32) -> ScalarClass {
        var result = ScalarClass()
        result.insert(value...value)
        return result
    }

    /// Whether it is the complement of a set with explicit ranges beyond ASCII, which no union can express.
    var isComplementOfRanges: Bool { isNegated && !ranges.isEmpty }

    /// Adds the members of another set, which may not be the complement of explicit ranges.
    mutating func formUnion(_ other: ScalarClass) {
        low |= other.low
        high |= other.high
        kinds |= other.isNegated ? ScalarKind.all & ~other.kinds : other.kinds
        ranges += other.ranges
    }
}
