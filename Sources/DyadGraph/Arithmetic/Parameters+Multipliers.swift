import DyadFormats

/// The multipliers of the operations that need nothing but their tensors' encodings. The graph must be valid.
///
/// One derivation for the reference, the runtime and the validation. All throw ``DyadError`` naming the operation
/// where scales are too far apart or not finite.
extension IntegerGraph {
    /// s_x/s_y·2⁻¹⁴ for `x1·cos ± x2·sin` with tables in Q1.14.
    public func rotaryMultiplier(_ rotary: Operation.Rotary, name: String) throws(DyadError) -> DyadicMultiplier {
        let (x, y) = (tensors[rotary.input], tensors[rotary.output])
        let ratio = try ExactRatio([x.encoding.scale], over: [y.encoding.scale], power: -14, subject: name)
        return try DyadicMultiplier(ratio, bound: 2 * x.maximumMagnitude << 14, subject: name)
    }

    /// s_q·s_k·factor/s_y for `queryKey`, s_p·s_v/s_y for `weightedValues`.
    public func matmulMultiplier(_ matmul: Operation.Matmul, name: String) throws(DyadError) -> DyadicMultiplier {
        let (x, y, cache) = (tensors[matmul.input], tensors[matmul.output], caches[matmul.cache])
        let bound: UInt64
        let ratio: ExactRatio
        switch matmul.form {
        case .queryKey:
            bound = x.maximumMagnitude * 128 * UInt64(cache.headDimension)
            ratio = try ExactRatio(
                [x.encoding.scale, cache.encoding.scale, matmul.factor], over: [y.encoding.scale], subject: name)
        case .weightedValues:
            // A row of probabilities sums to 65,535, give or take half a step a column.
            bound = 128 * (65535 + UInt64(maximumContext))
            ratio = try ExactRatio([x.encoding.scale, cache.encoding.scale], over: [y.encoding.scale], subject: name)
        }
        return try DyadicMultiplier(ratio, bound: bound, subject: name)
    }

    /// s_x·log₂e·2²⁴: score differences of `input` to exponents of two, for `softmax` and `exponential`.
    public func exponentMultiplier(ofScores input: TensorID, name: String) throws(DyadError) -> DyadicMultiplier {
        let ratio = try ExactRatio([tensors[input].encoding.scale], subject: name).timesLog2E
        return try DyadicMultiplier(ratio.multiplied(by: 1, power: 24), bound: 65535, subject: name)
    }

    /// s_v/s_y, which `lateAttention` folds into its reciprocal (30 bits).
    public func lateAttentionMultiplier(
        _ attention: Operation.LateAttention, name: String
    ) throws(DyadError) -> DyadicMultiplier {
        let (v, y) = (caches[attention.cache].encoding.scale, tensors[attention.output].encoding.scale)
        let ratio = try ExactRatio([v], over: [y], subject: name)
        return try DyadicMultiplier(ratio, bound: 1 << 31, maximumShift: 38, subject: name)
    }

    /// s_a·s_b/s_y.
    public func multiplyMultiplier(_ binary: Operation.Binary, name: String) throws(DyadError) -> DyadicMultiplier {
        let (a, b, y) = (tensors[binary.left], tensors[binary.right], tensors[binary.output])
        let ratio = try ExactRatio([a.encoding.scale, b.encoding.scale], over: [y.encoding.scale], subject: name)
        return try DyadicMultiplier(ratio, bound: a.maximumMagnitude * b.maximumMagnitude, subject: name)
    }

    /// s_a/s_y and s_b/s_y with one shift.
    public func addMultipliers(
        _ binary: Operation.Binary, name: String
    ) throws(DyadError) -> (left: DyadicMultiplier, right: DyadicMultiplier) {
        let (a, b, y) = (tensors[binary.left], tensors[binary.right], tensors[binary.output])
        let ratios = [
            try ExactRatio([a.encoding.scale], over: [y.encoding.scale], subject: name),
            try ExactRatio([b.encoding.scale], over: [y.encoding.scale], subject: name),
        ]
        let both = try DyadicMultiplier.shared(ratios, bound: 65535, subject: name)
        return (both[0], both[1])
    }

    /// s_x·factor/s_y.
    public func requantizeMultiplier(
        _ requantize: Operation.Requantize, name: String
    ) throws(DyadError) -> DyadicMultiplier {
        let (x, y) = (tensors[requantize.input], tensors[requantize.output])
        let ratio = try ExactRatio([x.encoding.scale, requantize.factor], over: [y.encoding.scale], subject: name)
        return try DyadicMultiplier(ratio, bound: x.maximumMagnitude, subject: name)
    }
}
