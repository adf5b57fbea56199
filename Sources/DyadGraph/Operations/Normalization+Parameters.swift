import DyadFormats

/// What rmsNorm and layerNorm compute with.
///
/// With `(R, k)` the square root of the reciprocal mean square (``FixedPoint/squareRootOfRatio(_:over:)``), channel c
/// multiplies by `M_c = (R·|gains[c]|) >> 31` and shifts by `sh = k + gainShift − 31`, at most ``maximumShift`` (M_c
/// loses the bits beyond).
public struct NormalizationParameters: Equatable, Sendable {
    /// ε/s_x² in units of 2⁻¹⁶, at least 1 and at most 2⁴⁶.
    public let epsilonTerm: UInt64
    /// g_c/s_y in units of 2^(−gainShift), signed; the largest has 31 bits unless gainShift is at its limit of 62.
    public let gains: [Int64]
    /// At least 10 (so that sh ≥ 1) and at most 62.
    public let gainShift: Int
    /// b_c/s_y in units of 2⁻¹⁶ (layerNorm); nil for none.
    public let biases: [Int64]?
    /// The largest sh: 62 without biases; with them less, so that u·M_c + B_c·2^(sh−16) fits 64 bits.
    public let maximumShift: Int

    /// Derives the parameters.
    ///
    /// - Parameters:
    ///   - size: the number of elements normalised together, at most 16,384.
    ///   - gain: `[size]`, any sign, or nil for all ones.
    ///   - bias: `[size]` or nil.
    ///   - epsilon: finite, not negative.
    ///   - subject: the operation's name, for errors.
    /// - Throws: ``DyadError`` where a number is not finite or outside what 64-bit arithmetic holds.
    public init(
        input: Encoding, output: Encoding, size: Int, gain: [Float]?, bias: [Float]?, epsilon: Float, subject: String
    ) throws(DyadError) {
        let (s, t) = (input.scale, output.scale)
        let epsilonRatio = try ExactRatio([epsilon], over: [s, s], subject: subject)
        guard !epsilonRatio.reaches(power: 30) else {
            throw Self.outOfRange("epsilon \(epsilon) at the input scale \(s)", "epsilon/scale² below 2^30", subject)
        }
        epsilonTerm = max(1, epsilonRatio.scaled(by: 16))

        let ratios = try (gain ?? [Float](repeating: 1, count: size)).map { (value) throws(DyadError) in
            try ExactRatio([value.magnitude], over: [t], subject: subject)
        }
        // One shift for all: the largest gain gets 31 bits.
        var shift = 62
        for ratio in ratios where ratio.numerator > 0 { shift = min(shift, 30 - ratio.exponent) }
        if ratios.contains(where: { $0.scaled(by: shift) >> 31 != 0 }) { shift -= 1 }  // rounding carried
        guard shift >= 10 else {
            throw Self.outOfRange("a gain of about 2^\(30 - shift) output steps", "less than 2^20", subject)
        }
        gainShift = shift
        gains = ratios.enumerated().map { index, ratio in
            let magnitude = Int64(ratio.scaled(by: shift))
            return gain.map { $0[index] < 0 } == true ? -magnitude : magnitude
        }

        guard let bias else {
            (biases, maximumShift) = (nil, 62)
            return
        }
        let signed = try bias.map { (value) throws(DyadError) -> Int64 in
            let ratio = try ExactRatio([value.magnitude], over: [t], subject: subject)
            guard !ratio.reaches(power: 23) else {
                throw Self.outOfRange("the bias \(value) at the output scale \(t)", "less than 2^23 steps", subject)
            }
            return Int64(ratio.scaled(by: 16)) * (value < 0 ? -1 : 1)
        }
        let width = signed.map { 64 - $0.magnitude.leadingZeroBitCount }.max() ?? 0
        (biases, maximumShift) = (signed, 61 - max(0, width - 16))
    }

    private static func outOfRange(_ found: String, _ expected: String, _ subject: String) -> DyadError {
        DyadError(
            .unsupported, subject: subject, found: found, expected: expected,
            remedy: "Check the encodings of this operation's input and output.")
    }
}

extension NormalizationParameters {
    /// The signed multiplier M_c and its shift for a run whose reciprocal root is `root`.
    @inlinable public func multiplier(_ channel: Int, root: (mantissa: UInt64, shift: Int)) -> (Int64, Int64) {
        let gain = gains[channel]
        var multiplier = (Int64(root.mantissa) &* abs(gain)) &>> 31
        var shift = root.shift + gainShift - 31
        if shift > maximumShift {
            multiplier >>= shift - maximumShift
            shift = maximumShift
        }
        return (gain < 0 ? -multiplier : multiplier, Int64(shift))
    }
}

extension ExactRatio {
    /// Whether the number is 2^power or more.
    func reaches(power: Int) -> Bool { numerator > 0 && exponent >= power }
}

extension IntegerProgram {
    /// The parameters of an rmsNorm or layerNorm. The graph must be valid.
    ///
    /// - Throws: ``DyadError`` naming the operation or the constant.
    public func normalizationParameters(
        _ normalization: Operation.Normalization, name: String
    ) throws(DyadError) -> NormalizationParameters {
        var (gain, bias): ([Float]?, [Float]?) = (nil, nil)
        if let constant = normalization.gain { gain = try floats(of: constant) }
        if let constant = normalization.bias { bias = try floats(of: constant) }
        return try NormalizationParameters(
            input: graph.tensors[normalization.input].encoding, output: graph.tensors[normalization.output].encoding,
            size: normalization.size, gain: gain, bias: bias, epsilon: normalization.epsilon, subject: name)
    }
}
