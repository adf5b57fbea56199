/// Sixteen floats at a time.
typealias Lanes = SIMD16<Float>

/// e^x for x ≤ 0, relative error below 3·10⁻⁷; 0 below −87 and for −∞.
///
/// x = n·ln 2 + f with |f| ≤ ½·ln 2; e^f by its Taylor polynomial of degree 7, whose remainder is below 6·10⁻⁹.
@inline(__always)
func vectorExponential(_ x: Lanes) -> Lanes {
    let low = Lanes(repeating: -87)
    let tiny = x .< low
    let x = x.replacing(with: low, where: tiny)
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
    let shifted = x * 1.442695040888963 + 12_582_912
    let n = shifted - 12_582_912
    // n·ln 2 in two parts, the first of few bits so that its product is exact (Cody and Waite 1980).
    let f = (x - n * 0.693359375) + n * 2.12194440e-4
    var p = Lanes(repeating: 1 / 5040)
    p = p * f + (1 / 720)
    p = p * f + (1 / 120)
    p = p * f + (1 / 24)
    p = p * f + (1 / 6)
    p = p * f + 0.5
    p = p * f + 1
    p = p * f + 1
    let exponent = unsafeBitCast(shifted, to: SIMD16<Int32>.self) &<< 23
    let result = unsafeBitCast(unsafeBitCast(p, to: SIMD16<Int32>.self) &+ exponent, to: Lanes.self)
    return result.replacing(with: 0, where: tiny)
}
