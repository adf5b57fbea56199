import DyadFormats

/// What a linear operation (or the logits) computes with, beside its weights.
///
/// `y_c = z_y + multipliers[c].rescale(Σ (q − z_x)·w_c + bias_c)`; with `weightSums` a kernel may leave the zero point
/// out of its inner loop: `Σ (q − z_x)·w = Σ q·w − z_x·weightSums[c]`.
public struct LinearParameters: Equatable, Sendable {
    /// One an output channel: s_x·s_w[c]/s_y (logits: s_x·s_w[c]·2¹⁶).
    public let multipliers: [DyadicMultiplier]
    /// Σw of each output channel.
    public let weightSums: [Int64]
    /// One an output channel, at scale s_x·s_w[c]; nil for none.
    public let bias: [Int32]?
    /// The largest magnitude that any channel's accumulator, bias included, can have with centred inputs.
    public let accumulatorBound: UInt64

    /// Derives the parameters.
    ///
    /// - Parameters:
    ///   - input: the input tensor.
    ///   - output: the output tensor; for logits its scale is 2⁻¹⁶.
    ///   - weights: `[out, in]`, row-major.
    ///   - scales: `[out]`.
    ///   - bias: `[out]` or nil.
    ///   - subject: the operation's name, for errors.
    /// - Throws: ``DyadError`` where a scale is not finite or a channel cannot be bounded.
    public init(
        input: GraphTensor, output: GraphTensor, weights: [Int8], scales: [Float], bias: [Int32]?, subject: String
    ) throws(DyadError) {
        precondition(scales.isEmpty || weights.count % scales.count == 0)
        let inputs = scales.isEmpty ? 0 : weights.count / scales.count
        let magnitude = input.maximumMagnitude
        var multipliers: [DyadicMultiplier] = []
        var weightSums: [Int64] = []
        var accumulatorBound: UInt64 = 0
        multipliers.reserveCapacity(scales.count)
        weightSums.reserveCapacity(scales.count)
        for channel in scales.indices {
            let (sum, absolute) = weights.withUnsafeBufferPointer {
                Self.sums(UnsafeBufferPointer(rebasing: $0[channel * inputs..<(channel + 1) * inputs]))
            }
            let bound = magnitude * UInt64(absolute) + UInt64((bias?[channel] ?? 0).magnitude)
            let ratio = try ExactRatio(
                [input.encoding.scale, scales[channel]], over: [output.encoding.scale], subject: subject)
            multipliers.append(try DyadicMultiplier(ratio, bound: bound, subject: subject))
            weightSums.append(sum)
            accumulatorBound = max(accumulatorBound, bound)
        }
        self.multipliers = multipliers
        self.weightSums = weightSums
        self.bias = bias
        self.accumulatorBound = accumulatorBound
    }

    private static func sums(_ weights: UnsafeBufferPointer<Int8>) -> (sum: Int64, absolute: Int64) {
        // Int32 suffices: rows have at most 2²⁰ elements. It lets the compiler vectorise.
        var (sum, absolute) = (Int32(0), Int32(0))
        for weight in weights {
            sum &+= Int32(weight)
            absolute &+= abs(Int32(weight))
        }
        return (Int64(sum), Int64(absolute))
    }
}

extension IntegerProgram {
    /// The parameters of a linear operation or of the logits. The graph must be valid.
    ///
    /// - Throws: ``DyadError`` naming the operation or the constant.
    /// - Cost: one pass over the weight.
    public func linearParameters(_ linear: Operation.Linear, name: String) throws(DyadError) -> LinearParameters {
        var bias: [Int32]?
        if let constant = linear.bias { bias = try elements(of: constant, as: Int32.self) }
        return try LinearParameters(
            input: graph.tensors[linear.input], output: graph.tensors[linear.output],
            weights: try weights(of: linear.weight), scales: try floats(of: linear.scales), bias: bias, subject: name)
    }
}
