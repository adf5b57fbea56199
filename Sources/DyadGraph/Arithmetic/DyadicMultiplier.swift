import DyadFormats

/// A positive real number as an integer times a power of two: `multiplier · 2^(−shift)`.
///
/// Every rescale of the integer program uses one. It is derived once from the float32 scales by exact integer
/// division (``init(_:bound:maximumShift:subject:)``), so that no step depends on a platform's floating point.
public struct DyadicMultiplier: Equatable, Hashable, Sendable {
    /// The integer part, `0 ≤ multiplier < 2³¹`; zero is legal (a dead channel).
    public let multiplier: Int64
    /// The power of two to divide by, `1 ≤ shift ≤ 62`.
    public let shift: Int64

    /// `(value · multiplier + 2^(shift−1)) >> shift`: one rounding, half towards +∞.
    ///
    /// The caller guarantees `|value| ≤ bound` of the initialiser; then nothing overflows.
    @inlinable public func rescale(_ value: Int64) -> Int64 {
        (value &* multiplier &+ (1 &<< (shift &- 1))) &>> shift
    }

    /// The multiplier nearest to `ratio` of which `|value| · multiplier + 2^(shift−1) < 2⁶³` holds for every
    /// `|value| ≤ bound`: 31 significant bits, fewer where `bound` or `maximumShift` asks for it.
    ///
    /// - Parameters:
    ///   - ratio: the exact number to represent.
    ///   - bound: the largest magnitude that will ever be rescaled.
    ///   - maximumShift: the largest shift allowed, at most 62.
    ///   - subject: the operation or tensor, for the error.
    /// - Throws: ``DyadError`` where the ratio is too large (2³⁰ and more) or `bound` leaves it no bit.
    public init(_ ratio: ExactRatio, bound: UInt64, maximumShift: Int = 62, subject: String) throws(DyadError) {
        guard ratio.numerator > 0 else {
            (multiplier, shift) = (0, 1)
            return
        }
        // Bits that the multiplier may have so that bound · multiplier < 2⁶².
        let width = min(31, 62 - (64 - bound.leadingZeroBitCount))
        guard width >= 8 else {
            throw DyadError(
                .unsupported, subject: subject, found: "an accumulator of up to \(bound)",
                expected: "at most 2^54, so that its rescale fits 64 bits",
                remedy: "Use fewer input channels or a narrower type for this operation.")
        }
        // The ratio lies in [2^exponent, 2^(exponent+1)); round(ratio · 2^shift) then has `width` bits.
        var shift = min(width - 1 - ratio.exponent, maximumShift)
        var multiplier = ratio.scaled(by: shift)
        if multiplier >> width != 0 {  // rounding carried into one more bit
            shift -= 1
            multiplier = ratio.scaled(by: shift)
        }
        guard shift >= 1 else {
            throw DyadError(
                .unsupported, subject: subject, found: "a rescale factor of about 2^\(ratio.exponent)",
                expected: "less than 2^\(width - 1)",
                remedy: "The scales of this operation's inputs and output are too far apart; check its encodings.")
        }
        self.multiplier = Int64(multiplier)
        self.shift = Int64(shift)
    }

    /// Common multipliers for a sum: `value = Σ inputᵢ · ratioᵢ` with one shift, so that it is rounded once.
    ///
    /// Each addend of a rescaled sum satisfies `|inputᵢ| ≤ bound`.
    public static func shared(
        _ ratios: [ExactRatio], bound: UInt64, subject: String
    ) throws(DyadError) -> [DyadicMultiplier] {
        let alone = try ratios.map { ratio throws(DyadError) in
            try DyadicMultiplier(ratio, bound: bound * UInt64(ratios.count), subject: subject)
        }
        let shift = alone.lazy.filter { $0.multiplier > 0 }.map(\.shift).min() ?? 1
        return ratios.map { DyadicMultiplier(multiplier: Int64($0.scaled(by: Int(shift))), shift: shift) }
    }

    init(multiplier: Int64, shift: Int64) {
        self.multiplier = multiplier
        self.shift = shift
    }
}
