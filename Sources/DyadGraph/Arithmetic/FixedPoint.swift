/// Integer square root, reciprocal and power of two: the three functions that normalisation and softmax need.
///
/// They define the arithmetic; the kernels in C compute the same bits.
public enum FixedPoint {
    /// `⌊√value⌋`, exact.
    public static func squareRoot(_ value: UInt64) -> UInt64 {
        guard value > 0 else { return 0 }
        var remainder = value
        var root: UInt64 = 0
        var bit: UInt64 = 1 << ((63 - UInt64(value.leadingZeroBitCount)) & ~1)
        while bit != 0 {
            if remainder >= root + bit {
                remainder -= root + bit
                root = (root >> 1) + bit
            } else {
                root >>= 1
            }
            bit >>= 2
        }
        return root
    }

    /// `mantissa · 2^(−shift) ≈ √(numerator / denominator)`, with `2³⁰ ≤ mantissa < 2³¹`: 30 significant bits, rounded down.
    ///
    /// `numerator` and `denominator` are positive; `numerator < 2⁶²`. The quotient is brought into `[2⁶⁰, 2⁶²)` by an
    /// even power of two before the exact integer square root.
    public static func squareRootOfRatio(_ numerator: UInt64, over denominator: UInt64) -> (
        mantissa: UInt64, shift: Int
    ) {
        // quotient = ⌊numerator · 2^(2·half) / denominator⌋
        var half =
            (61 - (denominator.leadingZeroBitCount - numerator.leadingZeroBitCount)) >> 1
        var quotient = scaledQuotient(numerator, power: 2 * half, over: denominator)
        if quotient >> 62 != 0 {
            half -= 1
            quotient = scaledQuotient(numerator, power: 2 * half, over: denominator)
        } else if quotient >> 60 == 0 {
            half += 1
            quotient = scaledQuotient(numerator, power: 2 * half, over: denominator)
        }
        return (squareRoot(UInt64(truncatingIfNeeded: quotient)), half)
    }

    private static func scaledQuotient(_ numerator: UInt64, power: Int, over denominator: UInt64) -> UInt128 {
        power >= 0
            ? (UInt128(numerator) << power) / UInt128(denominator)
            : UInt128(numerator) / (UInt128(denominator) << (-power))
    }

    /// `2^(fraction/2³⁰) · 2³⁰` for `0 ≤ fraction < 2³⁰`: degree-6 minimax polynomial by Horner in 64-bit integers,
    /// relative error below 4·10⁻⁹ (27.9 bits). Exact at 0.
    public static func exponential2(_ fraction: Int64) -> Int64 {
        var sum: Int64 = 232_067
        for coefficient: Int64 in [1_338_725, 10_388_937, 59_576_866, 257_944_253, 744_260_972, 1 << 30] {
            sum = coefficient &+ ((sum &* fraction) &>> 30)
        }
        return sum
    }

    /// `unit · 2^(exponent/2²⁴)`, rounded half up and saturated at `2³² − 1`; `0 < unit < 2¹⁷`.
    ///
    /// The exponential of NUMERICS: `exponent` is a score difference times log₂e in units of 2⁻²⁴.
    public static func exponential(unit: Int64, exponent: Int64) -> Int64 {
        let whole = exponent &>> 24
        guard whole < 32 else { return 0xFFFF_FFFF }
        let product = unit &* exponential2((exponent & 0xFF_FFFF) &<< 6)  // < 2¹⁷ · 2³¹
        let shift = 30 &- whole
        guard shift < 62 else { return 0 }
        guard shift > 0 else { return min(product &<< -shift, 0xFFFF_FFFF) }
        return min((product &+ (1 &<< (shift &- 1))) &>> shift, 0xFFFF_FFFF)
    }
}

extension ExactRatio {
    /// log₂e to 31 significant bits.
    public var timesLog2E: ExactRatio { multiplied(by: 1_549_082_005, power: -30) }
}
