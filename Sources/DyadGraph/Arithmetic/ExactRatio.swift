import DyadFormats

/// A non-negative rational number `numerator / denominator · 2^power`, exact.
///
/// Scales are float32, so a product or quotient of a few of them is a rational number whose parts fit 128 bits.
public struct ExactRatio: Equatable, Sendable {
    let numerator: UInt128
    let denominator: UInt128
    let power: Int

    /// The product of `factors` over the product of `divisors`, times `2^power`.
    ///
    /// - Parameters:
    ///   - factors: at most three, finite and not negative.
    ///   - divisors: at most two, finite and positive.
    /// - Throws: ``DyadError`` naming `subject` where a factor or divisor is not such a number.
    public init(
        _ factors: [Float], over divisors: [Float] = [], power: Int = 0, subject: String
    ) throws(DyadError) {
        var (numerator, denominator, power) = (UInt128(1), UInt128(1), power)
        precondition(factors.count <= 3 && divisors.count <= 2)
        for factor in factors {
            guard factor.isFinite, factor >= 0 else { throw Self.invalid(factor, subject: subject) }
            numerator *= UInt128(factor.integerSignificand)
            power += factor.integerExponent
        }
        for divisor in divisors {
            guard divisor.isFinite, divisor > 0 else { throw Self.invalid(divisor, subject: subject) }
            denominator *= UInt128(divisor.integerSignificand)
            power -= divisor.integerExponent
        }
        (self.numerator, self.denominator, self.power) = (numerator, denominator, power)
    }

    /// The same ratio multiplied by `factor · 2^power`; `factor` has at most 32 bits.
    public func multiplied(by factor: UInt32, power: Int) -> ExactRatio {
        ExactRatio(numerator: numerator * UInt128(factor), denominator: denominator, power: self.power + power)
    }

    private init(numerator: UInt128, denominator: UInt128, power: Int) {
        (self.numerator, self.denominator, self.power) = (numerator, denominator, power)
    }

    private static func invalid(_ value: Float, subject: String) -> DyadError {
        DyadError(
            .malformed, subject: subject, found: "the scale \(value)", expected: "a finite positive number",
            remedy: "Quantise the model again; the file is damaged or was made by another tool.")
    }

    /// `⌊log₂⌋` of the number, which must not be zero.
    var exponent: Int {
        let difference = numerator.leadingZeroBitCount - denominator.leadingZeroBitCount
        // 2^(−difference−1) < numerator/denominator < 2^(−difference+1)
        let isBelow =
            difference >= 0
            ? (numerator << difference) < denominator : numerator < (denominator << (-difference))
        return power - difference - (isBelow ? 1 : 0)
    }

    /// `round(self · 2^shift)`, half up; zero where it is below one half. The result must fit 64 bits.
    func scaled(by shift: Int) -> UInt64 {
        // numerator ≤ 2^104, denominator ≤ 2^48: shift the numerator up as far as it goes, the denominator for the rest.
        let shift = shift + power
        guard numerator > 0 else { return 0 }
        if shift >= 0 {
            let up = min(shift, numerator.leadingZeroBitCount)
            let (quotient, remainder) = (numerator << up).quotientAndRemainder(dividingBy: denominator)
            guard shift > up else {
                return UInt64(truncatingIfNeeded: quotient + (remainder >= denominator - remainder ? 1 : 0))
            }
            // The quotient needs more bits than one step gives: continue the long division bit by bit.
            var (result, rest) = (quotient, remainder)
            for _ in up..<shift {
                rest <<= 1
                result <<= 1
                if rest >= denominator {
                    rest -= denominator
                    result += 1
                }
            }
            return UInt64(truncatingIfNeeded: result + (rest >= denominator - rest ? 1 : 0))
        }
        let down = -shift
        guard down < denominator.leadingZeroBitCount else {
            guard down <= 127 else { return 0 }
            let quotient = numerator / denominator
            return UInt64(truncatingIfNeeded: (quotient + (UInt128(1) << (down - 1))) >> down)
        }
        let divisor = denominator << down
        let (quotient, remainder) = numerator.quotientAndRemainder(dividingBy: divisor)
        return UInt64(truncatingIfNeeded: quotient + (remainder >= divisor - remainder ? 1 : 0))
    }
}

extension Float {
    /// The significand as an integer: `self = integerSignificand · 2^integerExponent`.
    fileprivate var integerSignificand: UInt32 {
        let fraction = bitPattern & 0x7F_FFFF
        return exponentBitPattern == 0 ? fraction : fraction | 0x80_0000
    }
    fileprivate var integerExponent: Int { max(Int(exponentBitPattern), 1) - 150 }
}
