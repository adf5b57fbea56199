import CDyadTorch
import DyadFormats

extension Tensor {
    /// Quantises to integers of `range` and back, differentiably, in one fused operation.
    ///
    /// q = clamp(⌊x / scale + ½⌋ + zeroPoint, range), result = scale · (q − zeroPoint): halves round towards +∞, as in
    /// the integer rescale. Without an `axis` there is one scale (shape `[]` or `[1]`); with it, `scale` and `zeroPoint`
    /// are vectors along that axis of x. A `zeroPoint` holds integers (the caller rounds it); nil is 0.
    ///
    /// Gradients are those of LSQ (Esser et al. 2020, eq. 3; LSQ+ for the zero point): to x 1 inside the range and 0
    /// outside; to scale ⌊v + ½⌋ − v inside with v = x / scale, and bound − zeroPoint outside; to zeroPoint 0 inside and
    /// −scale outside. Those to scale and zeroPoint are multiplied by `gradientFactor` (LSQ: 1/√(elements · bound)).
    ///
    /// Computes in float64 for float64, else in float32. A NaN stays NaN. Throws for a scale that is not positive and
    /// finite (checked on the CPU). Cost on the CPU: one pass over memory forwards and one backwards.
    public func fakeQuantize(
        scale: Tensor, zeroPoint: Tensor? = nil, range: ClosedRange<Int>, axis: Int? = nil, gradientFactor: Double = 1
    ) throws(DyadError) -> Tensor {
        var channelAxis: Int32 = -1
        if let axis {
            _ = try size(axis)
            channelAxis = Int32(axis < 0 ? axis + rank : axis)
        }
        var made: OpaquePointer?
        try checked("fakeQuantize") {
            dyad_torch_fake_quantize(
                handle, scale.handle, zeroPoint?.handle, Int64(range.lowerBound), Int64(range.upperBound), channelAxis,
                gradientFactor, &made, $0)
        }
        guard let made else { throw Self.unexpected("fakeQuantize") }
        return try Tensor(owning: made)
    }

    /// How many elements fall into each of `bins` equal parts of `low` ... `high`: int64 `[bins]`.
    ///
    /// Elements outside are counted in the first and the last bin, so that no mass is lost; NaN is counted nowhere.
    /// Cost on the CPU: one pass over memory.
    public func histogram(bins: Int, from low: Double, to high: Double) throws(DyadError) -> Tensor {
        var made: OpaquePointer?
        try checked("histogram") { dyad_torch_histogram(handle, Int32(clamping: bins), low, high, &made, $0) }
        guard let made else { throw Self.unexpected("histogram") }
        return try Tensor(owning: made)
    }

    /// The sum of the weights of the elements that fall into each of `bins` equal parts of `low` ... `high`: float64 `[bins]`.
    ///
    /// As ``histogram(bins:from:to:)``, with a weight for each element; all elements must be finite.
    public func histogram(weights: Tensor, bins: Int, from low: Double, to high: Double) throws(DyadError) -> Tensor {
        let positions = try ((self - low) * (Double(bins) / (high - low))).clamp(0, Double(bins - 1)).to(.int64)
        return try Self.call(
            "aten::bincount", .tensor(positions.reshape([-1])), .tensor(weights.to(.float64).reshape([-1])), .int(bins))
    }

    /// The smallest and the largest element; both NaN when any element is NaN. Throws for an empty tensor.
    ///
    /// Cost on the CPU: one pass over memory.
    public func extrema() throws(DyadError) -> (minimum: Double, maximum: Double) {
        var minimum = 0.0
        var maximum = 0.0
        try checked("extrema") { dyad_torch_extrema(handle, &minimum, &maximum, $0) }
        return (minimum, maximum)
    }
}
