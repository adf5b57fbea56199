import DyadFormats
import DyadTestSupport
import Testing

@testable import DyadGraph

/// An integer of any size for exact comparisons: 32-bit limbs, least significant first.
private struct BigNatural {
    private var limbs: [UInt32]

    init(_ value: UInt128) { limbs = (0..<4).map { UInt32(truncatingIfNeeded: value >> (32 * $0)) } }

    /// Times a number below 2⁶⁴, times 2^shift.
    func times(_ factor: UInt64, shift: Int = 0) -> BigNatural {
        var result = self
        var digits = [UInt32](repeating: 0, count: limbs.count + 2 + shift / 32 + 1)
        for (place, half) in [UInt32(truncatingIfNeeded: factor), UInt32(factor >> 32)].enumerated() {
            var carry: UInt64 = 0
            for (index, limb) in (limbs + [0]).enumerated() {
                let sum = UInt64(limb) * UInt64(half) + UInt64(digits[index + place]) + carry
                digits[index + place] = UInt32(truncatingIfNeeded: sum)
                carry = sum >> 32
            }
        }
        let (words, bits) = (shift / 32, shift % 32)
        result.limbs = [UInt32](repeating: 0, count: words)
        var carry: UInt64 = 0
        for digit in digits {
            let moved = UInt64(digit) << UInt64(bits) | carry
            result.limbs.append(UInt32(truncatingIfNeeded: moved))
            carry = moved >> 32
        }
        return result
    }

    static func <= (left: BigNatural, right: BigNatural) -> Bool {
        for index in (0..<max(left.limbs.count, right.limbs.count)).reversed() {
            let a = index < left.limbs.count ? left.limbs[index] : 0
            let b = index < right.limbs.count ? right.limbs[index] : 0
            if a != b { return a < b }
        }
        return true
    }
}

/// Whether `integer` is `ratio · 2^shift` rounded half up: (2·integer − 1)·d ≤ n·2^(power + shift + 1) < (2·integer + 1)·d.
private func isRounded(_ integer: UInt64, _ ratio: ExactRatio, shift: Int) -> Bool {
    let power = ratio.power + shift + 1
    let left = BigNatural(ratio.denominator)
    let middle = BigNatural(ratio.numerator).times(1, shift: max(power, 0))
    let lower = left.times(integer == 0 ? 0 : 2 * integer - 1, shift: max(-power, 0))
    let upper = left.times(2 * integer + 1, shift: max(-power, 0))
    return lower <= middle && !(upper <= middle)
}

@Suite("Exact ratios and dyadic multipliers")
struct ArithmeticTests {
    /// Scales from everyday to extreme, subnormals included.
    private func scale(_ generator: inout SeededGenerator) -> Float {
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: Float.random(in: 1e-4...1, using: &generator)
        case 1: Float(bitPattern: UInt32.random(in: 1..<0x7F80_0000, using: &generator))
        case 2: Float(bitPattern: UInt32.random(in: 1...8, using: &generator) << 23)  // powers of two, tiny
        default: Float(sign: .plus, exponent: Int.random(in: -20...20, using: &generator), significand: 1)
        }
    }

    @Test("a ratio is the product and quotient of its scales, and rounds half up, exactly")
    func ratios() throws {
        var generator = SeededGenerator(seed: 1)
        var rounded = 0
        for _ in 0..<20_000 {
            let factors = (0..<Int.random(in: 1...3, using: &generator)).map { _ in scale(&generator) }
            let divisors = (0..<Int.random(in: 0...2, using: &generator)).map { _ in scale(&generator) }
            let ratio = try ExactRatio(factors, over: divisors, subject: "test")
            // Doubles hold these products of magnitudes as exponents: compare in logarithms.
            let logarithm = log2(Double(ratio.numerator)) - log2(Double(ratio.denominator)) + Double(ratio.power)
            let expected =
                factors.reduce(0) { $0 + log2(Double($1)) } - divisors.reduce(0) { $0 + log2(Double($1)) }
            #expect(abs(logarithm - expected) < 1e-9)
            #expect(abs(Double(ratio.exponent) - (logarithm - 0.5)) <= 0.5 + 1e-9)
            for bits in [0, 1, 8, 30, 61] {
                let shift = bits - ratio.exponent
                let integer = ratio.scaled(by: shift)
                #expect(isRounded(integer, ratio, shift: shift), "\(factors) / \(divisors) · 2^\(shift)")
                rounded += 1
            }
            #expect(ratio.scaled(by: -ratio.exponent - 2) <= 1)
            #expect(ratio.scaled(by: -ratio.exponent - 200) == 0)
        }
        #expect(rounded == 100_000)
    }

    @Test("a multiplier has 31 bits, or as many as the bound leaves, and never overflows")
    func multipliers() throws {
        var generator = SeededGenerator(seed: 2)
        var (made, refused) = (0, 0)
        for _ in 0..<20_000 {
            let ratio = try ExactRatio(
                [scale(&generator), scale(&generator)], over: [scale(&generator)], subject: "test")
            let bound =
                UInt64.random(in: 1...UInt64.max, using: &generator) >> UInt64.random(in: 10...63, using: &generator)
            let width = min(31, 62 - (64 - bound.leadingZeroBitCount))
            guard let result = try? DyadicMultiplier(ratio, bound: bound, subject: "test") else {
                #expect(width < 8 || ratio.exponent >= width - 2)
                refused += 1
                continue
            }
            made += 1
            #expect((1...62).contains(result.shift))
            #expect(result.multiplier < 1 << 31)
            let largest = UInt128(bound) * UInt128(result.multiplier) + UInt128(1) << UInt128(result.shift - 1)
            #expect(largest < 1 << 63)
            #expect(isRounded(UInt64(result.multiplier), ratio, shift: Int(result.shift)))
            #expect(result.multiplier >> (width - 1) == 1 || result.shift == 62, "\(width) bits are used")
        }
        #expect(made > 1000 && refused > 1000)
    }

    @Test("a zero scale is a dead channel; NaN, infinity and a negative scale are refused by name")
    func specialScales() throws {
        let dead = try DyadicMultiplier(ExactRatio([0, 3], over: [2], subject: "x"), bound: 1000, subject: "x")
        #expect(dead.rescale(1000) == 0)
        for scale in [Float.nan, .infinity, -1] {
            for (factors, divisors) in [([scale], [Float]()), ([1], [scale])] {
                let error = #expect(throws: DyadError.self) {
                    try ExactRatio(factors, over: divisors, subject: "layers.0.q_proj")
                }
                #expect(error?.subject == "layers.0.q_proj")
            }
        }
        #expect(throws: DyadError.self) { try ExactRatio([1], over: [0], subject: "x") }
    }

    @Test("shared multipliers have one shift and are the rounded ratios")
    func shared() throws {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<5000 {
            let ratios = try (0..<2).map { _ in
                try ExactRatio(
                    [Float.random(in: 1e-6...1, using: &generator)],
                    over: [Float.random(in: 1e-3...1, using: &generator)],
                    subject: "add")
            }
            let both = try DyadicMultiplier.shared(ratios, bound: 65535, subject: "add")
            #expect(both[0].shift == both[1].shift)
            for (multiplier, ratio) in zip(both, ratios) {
                #expect(isRounded(UInt64(multiplier.multiplier), ratio, shift: Int(multiplier.shift)))
            }
            let sum = both.reduce(UInt128(1) << UInt128(both[0].shift - 1)) {
                $0 + UInt128(65535) * UInt128($1.multiplier)
            }
            #expect(sum < 1 << 63)
        }
    }

    @Test("rescale rounds half towards +∞")
    func rescale() {
        let half = DyadicMultiplier(multiplier: 1, shift: 1)
        #expect([-3, -2, -1, 0, 1, 2, 3].map { half.rescale($0) } == [-1, -1, 0, 0, 1, 1, 2])
    }

    @Test("the square root is exact around every square tried")
    func squareRoots() {
        #expect(FixedPoint.squareRoot(0) == 0)
        #expect(FixedPoint.squareRoot(.max) == 0xFFFF_FFFF)
        var roots = [UInt64](1...3000)
        roots += stride(from: 3001, through: 0xFFFF_FFFF, by: 655_357)
        for bit in UInt64(1)..<32 { roots += [(1 << bit) - 1, 1 << bit, (1 << bit) + 1] }
        roots.append(0xFFFF_FFFF)
        for root in roots {
            #expect(FixedPoint.squareRoot(root * root) == root)
            #expect(FixedPoint.squareRoot(root * root - 1) == root - 1)
            #expect(FixedPoint.squareRoot(root * root + 2 * root) == root)
        }
    }

    @Test("the root of a ratio has 31 bits and is rounded down, exactly")
    func squareRootsOfRatios() {
        var generator = SeededGenerator(seed: 4)
        for _ in 0..<20_000 {
            let numerator =
                UInt64.random(in: 1..<1 << 62, using: &generator) >> UInt64.random(in: 0...61, using: &generator)
            let denominator =
                UInt64.random(in: 1...UInt64.max, using: &generator) >> UInt64.random(in: 0...63, using: &generator)
            guard numerator > 0, denominator > 0 else { continue }
            let (root, shift) = FixedPoint.squareRootOfRatio(numerator, over: denominator)
            #expect(root >> 30 == 1)
            // root² ≤ numerator/denominator · 2^(2·shift) < (root + 1)²
            let scaled = UInt128(numerator) << UInt128(2 * shift)
            #expect(UInt128(root) * UInt128(root) * UInt128(denominator) <= scaled)
            #expect(scaled < UInt128(root + 1) * UInt128(root + 1) * UInt128(denominator))
        }
    }

    @Test("2^x has 27 good bits on [0, 1), is exact at 0 and never decreases")
    func powersOfTwo() {
        #expect(FixedPoint.exponential2(0) == 1 << 30)
        var (worst, previous) = (0.0, Int64(0))
        for fraction in stride(from: Int64(0), to: 1 << 30, by: 10_007) {
            let value = FixedPoint.exponential2(fraction)
            let exact = exp2(Double(fraction) * 0x1p-30) * 0x1p30
            worst = max(worst, abs(Double(value) / exact - 1))
            #expect(value >= previous)
            previous = value
        }
        #expect(worst < 0x1p-27)
    }

    @Test("unit · 2^x is rounded over the whole range of exponents and saturates at 2³² − 1")
    func exponentials() {
        for unit in [Int64(255), 65535] {
            var previous = Int64(0)
            for exponent in stride(from: Int64(-50 << 24), through: 40 << 24, by: 1_234_567) {
                let value = FixedPoint.exponential(unit: unit, exponent: exponent)
                let exact = min(Double(unit) * exp2(Double(exponent) * 0x1p-24), Double(UInt32.max))
                #expect(abs(Double(value) - exact) <= 0.5 + exact * 0x1p-27)
                #expect(value >= previous)
                previous = value
            }
            #expect(FixedPoint.exponential(unit: unit, exponent: 0) == unit)
            #expect(FixedPoint.exponential(unit: unit, exponent: Int64.max >> 10) == 0xFFFF_FFFF)
            #expect(FixedPoint.exponential(unit: unit, exponent: -(Int64.max >> 10)) == 0)
        }
        #expect(FixedPoint.exponential(unit: 1 << 30, exponent: 0) == 1 << 30)
    }
}
