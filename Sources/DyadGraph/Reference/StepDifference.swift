/// How far the stored integers of a tensor lie from real numbers, in steps of its encoding.
///
/// A real number is clamped to what the type holds. Of a 32-bit value, the precision of what it was multiplied by is no error:
/// 10⁻⁹ of itself, and 10⁻⁷ for a prefix weight, whose exponential has 28 bits.
public struct StepDifference: Equatable, Sendable {
    /// How many values were compared.
    public let values: Int
    /// The largest difference; infinite where the numbers of values differ.
    public let maximum: Double
    /// The mean difference.
    public let mean: Double
    /// The share of values that are at most one step away.
    public let withinOneStep: Double

    /// Compares `stored` with real numbers.
    ///
    /// - Parameter precision: of the operation, in real units (``OperationDefinition/precision``): no error either.
    /// - Cost: linear.
    public init(of tensor: GraphTensor, stored: [Int32], exact: [Double], precision: Double = 0) {
        let (scale, zero) = (Double(tensor.encoding.scale), Double(tensor.encoding.zeroPoint))
        let (low, high) = (Double(tensor.type.range.lowerBound), Double(tensor.type.range.upperBound))
        let own = precision / scale
        let relative: Double =
            switch tensor.type {
            case .u32: 1e-7
            case .i32: 1e-9
            default: 0
            }
        var (largest, sum, near) = (stored.count == exact.count ? 0 : Double.infinity, 0.0, 0)
        for (integer, real) in zip(stored, exact) {
            let expected = min(max(real / scale + zero, low), high)
            let found = tensor.type == .u32 ? Double(UInt32(bitPattern: integer)) : Double(integer)
            let difference = real.isNaN ? .infinity : max(0, abs(found - expected) - relative * abs(expected) - own)
            largest = max(largest, difference)
            sum += difference
            if difference <= 1 { near += 1 }
        }
        (values, maximum, mean) = (stored.count, largest, sum / Double(max(stored.count, 1)))
        withinOneStep = Double(near) / Double(max(stored.count, 1))
    }
}
