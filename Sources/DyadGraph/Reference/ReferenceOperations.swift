/// The arithmetic of each operation on plain arrays of stored integers, as the page Numerics defines it.
///
/// `q` are stored integers, `x = q − zeroPoint` centred ones. All arrays are row-major. Inputs satisfy what
/// ``IntegerProgram/validate()`` checks; the bounds proved there make every wrapping operation exact.
enum ReferenceOperations {
    /// `[tokens, hidden]`: rows of the table `[vocabulary, hidden]`, each with its own multiplier.
    static func embed(
        _ tokens: [Int32], _ weights: [Int8], _ multipliers: [DyadicMultiplier], to output: GraphTensor
    ) -> [Int32] {
        let hidden = weights.count / multipliers.count
        return tokens.flatMap { token in
            let row = Int(token)
            return weights[row * hidden..<(row + 1) * hidden].map {
                output.stored(multipliers[row].rescale(Int64($0)))
            }
        }
    }

    /// x/√(mean x² + ε)·g over runs of `size` elements.
    static func rmsNorm(
        _ q: [Int32], _ input: GraphTensor, size n: Int, _ parameters: NormalizationParameters, to output: GraphTensor
    ) -> [Int32] {
        var result: [Int32] = []
        result.reserveCapacity(q.count)
        for start in stride(from: 0, to: q.count, by: n) {
            let x = centred(q[start..<start + n], input)
            let squares = x.reduce(0) { $0 &+ $1 &* $1 }
            let denominator = UInt64(squares) << 16 + UInt64(n) * parameters.epsilonTerm
            let root = FixedPoint.squareRootOfRatio(UInt64(n) << 16, over: denominator)
            for channel in 0..<n {
                let (m, shift) = parameters.multiplier(channel, root: root)
                result.append(output.stored((x[channel] &* m &+ (1 &<< (shift &- 1))) &>> shift))
            }
        }
        return result
    }

    /// (x − mean x)/√(var x + ε)·g + b over runs of `size` elements, everything times n: u = n·x − Σx.
    static func layerNorm(
        _ q: [Int32], _ input: GraphTensor, size n: Int, _ parameters: NormalizationParameters, to output: GraphTensor
    ) -> [Int32] {
        var result: [Int32] = []
        result.reserveCapacity(q.count)
        for start in stride(from: 0, to: q.count, by: n) {
            let x = centred(q[start..<start + n], input)
            let sum = x.reduce(0, &+)
            let squares = x.reduce(0) { $0 &+ $1 &* $1 }
            let deviation = UInt64(Int64(n) &* squares &- sum &* sum)
            let denominator =
                UInt128(deviation) << 16 + UInt128(n) * UInt128(n) * UInt128(parameters.epsilonTerm)
            var halfShift = 0  // bring the denominator below 2⁶² by an even power of two
            while denominator >> (2 * halfShift + 62) != 0 { halfShift += 1 }
            var root = FixedPoint.squareRootOfRatio(1 << 16, over: UInt64(denominator >> (2 * halfShift)))
            root.shift += halfShift
            for channel in 0..<n {
                let (m, shift) = parameters.multiplier(channel, root: root)
                var y = (Int64(n) &* x[channel] &- sum) &* m
                if let bias = parameters.biases?[channel] {
                    y &+= shift >= 16 ? bias &<< (shift &- 16) : bias &>> (16 &- shift)
                }
                result.append(output.stored((y &+ (1 &<< (shift &- 1))) &>> shift))
            }
        }
        return result
    }

    /// `[tokens, in]` times `weights` `[out, in]`, plus bias: `[tokens, out]`.
    static func linear(
        _ q: [Int32], _ input: GraphTensor, _ weights: [Int8], _ parameters: LinearParameters, to output: GraphTensor
    ) -> [Int32] {
        let outputs = parameters.multipliers.count
        let inputs = weights.count / outputs
        let rows = q.count / inputs
        // |x| ≤ 2¹⁵: u8 with any zero point, or u16 with zero point 32,768.
        let x = q.map { Int16(truncatingIfNeeded: $0 &- input.encoding.zeroPoint) }
        var result = [Int32](repeating: 0, count: rows * outputs)
        for channel in 0..<outputs {
            let weight = weights[channel * inputs..<(channel + 1) * inputs].map(Int16.init)
            let multiplier = parameters.multipliers[channel]
            let bias = Int64(parameters.bias?[channel] ?? 0)
            for row in 0..<rows {
                let sum = dot(x, at: row * inputs, weight)
                result[row * outputs + channel] = output.stored(multiplier.rescale(sum &+ bias))
            }
        }
        return result
    }

    /// Σ x·w, exact: runs of 256 products of at most 2²² fit Int32, their sums are added in Int64.
    private static func dot(_ x: [Int16], at offset: Int, _ weight: [Int16]) -> Int64 {
        x.withUnsafeBufferPointer { x in
            weight.withUnsafeBufferPointer { weight in
                var total: Int64 = 0
                for start in stride(from: 0, to: weight.count, by: 256) {
                    var sum: Int32 = 0
                    for index in start..<min(start + 256, weight.count) {
                        sum &+= Int32(x[offset &+ index]) &* Int32(weight[index])
                    }
                    total &+= Int64(sum)
                }
                return total
            }
        }
    }

    /// Rotates the pairs (i, i + rotated/2) of every head by the angle of the token's absolute position.
    static func rotary(
        _ q: [Int32], _ input: GraphTensor, _ rotary: Operation.Rotary, _ cosine: [Int16], _ sine: [Int16],
        tokens: Int, position: Int, _ multiplier: DyadicMultiplier, to output: GraphTensor
    ) -> [Int32] {
        let (width, half) = (q.count / tokens, rotary.rotated / 2)
        var result = [Int32](repeating: 0, count: q.count)
        for token in 0..<tokens {
            for head in stride(from: token * width, to: (token + 1) * width, by: rotary.headDimension) {
                let x = centred(q[head..<head + rotary.headDimension], input)
                for channel in 0..<rotary.headDimension {
                    var sum = x[channel] << 14
                    if channel < rotary.rotated {
                        let row = (position + token) * half + channel % half
                        let (c, s) = (Int64(cosine[row]), Int64(sine[row]))
                        sum =
                            channel < half
                            ? x[channel] * c - x[channel + half] * s : x[channel] * c + x[channel - half] * s
                    }
                    result[head + channel] = output.stored(multiplier.rescale(sum))
                }
            }
        }
        return result
    }

    /// Along pairs of equal shape: one product, one rescale.
    static func multiply(
        _ a: [Int32], _ left: GraphTensor, _ b: [Int32], _ right: GraphTensor, _ multiplier: DyadicMultiplier,
        to output: GraphTensor
    ) -> [Int32] {
        let (za, zb) = (Int64(left.encoding.zeroPoint), Int64(right.encoding.zeroPoint))
        return zip(a, b).map { output.stored(multiplier.rescale((Int64($0) &- za) &* (Int64($1) &- zb))) }
    }

    /// Two rescales with one shift and one rounding.
    static func add(
        _ a: [Int32], _ left: GraphTensor, _ b: [Int32], _ right: GraphTensor,
        _ multipliers: (left: DyadicMultiplier, right: DyadicMultiplier), to output: GraphTensor
    ) -> [Int32] {
        let (za, zb) = (Int64(left.encoding.zeroPoint), Int64(right.encoding.zeroPoint))
        let (ma, mb, shift) = (multipliers.left.multiplier, multipliers.right.multiplier, multipliers.left.shift)
        return zip(a, b).map {
            let sum = (Int64($0) &- za) &* ma &+ (Int64($1) &- zb) &* mb
            return output.stored((sum &+ (1 &<< (shift &- 1))) &>> shift)
        }
    }

    /// To another encoding.
    static func requantize(
        _ q: [Int32], _ input: GraphTensor, _ multiplier: DyadicMultiplier, to output: GraphTensor
    ) -> [Int32] {
        let zero = Int64(input.encoding.zeroPoint)
        return q.map { output.stored(multiplier.rescale(Int64($0) &- zero)) }
    }

    /// `y = x·H` by blocks, `H = base ⊗ Sylvester(power)`: butterflies for the Sylvester part, then sums over the base.
    static func hadamard(_ q: [Int32], _ input: GraphTensor, _ hadamard: Operation.Hadamard) -> [Int32] {
        let (power, order) = (hadamard.power, hadamard.base.count)
        let isNegative = hadamard.base.map { row in row.utf8.map { $0 == UInt8(ascii: "-") } }
        var result = q.map { $0 &- input.encoding.zeroPoint }
        for start in stride(from: 0, to: q.count, by: order * power) {
            var span = 1
            while span < power {
                for index in 0..<order * power where index & span == 0 {
                    let (a, b) = (result[start + index], result[start + index + span])
                    (result[start + index], result[start + index + span]) = (a &+ b, a &- b)
                }
                span *= 2
            }
            for offset in start..<start + power {
                let x = (0..<order).map { result[offset + $0 * power] }
                for column in 0..<order {
                    result[offset + column * power] = (0..<order).reduce(0) {
                        isNegative[$1][column] ? $0 &- x[$1] : $0 &+ x[$1]
                    }
                }
            }
        }
        return result
    }

    static func centred(_ q: ArraySlice<Int32>, _ tensor: GraphTensor) -> [Int64] {
        q.map { Int64($0) &- Int64(tensor.encoding.zeroPoint) }
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

extension GraphTensor {
    /// The last extent, where it is fixed.
    var width: Int { if case .fixed(let extent)? = shape.last { extent } else { 0 } }
}
