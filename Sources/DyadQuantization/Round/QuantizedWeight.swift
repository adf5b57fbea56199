import DyadGraph

/// A weight on its integer grid: per-output-channel symmetric.
struct QuantizedWeight: Sendable {
    /// Rows (output channels) and columns (input channels).
    let rows: Int
    let columns: Int
    /// 4 or 8.
    let bits: Int
    /// Row-major `[rows, columns]`, in [−7, 7] or [−127, 127].
    var integers: [Int8]
    /// One per row.
    var scales: [Float]
}

/// Symmetric weight quantisation, per output channel.
enum WeightQuantizer {
    /// The largest integer of a width: 7 or 127 (−8 and −128 stay unused, so that a weight may be negated).
    static func largest(bits: Int) -> Float { bits == 4 ? 7 : 127 }

    /// Rows that stay below this everywhere count as zero: the inverse of their scale would not be finite.
    private static let dead: Float = 1e-30

    /// The scale of every row.
    ///
    /// - Parameters:
    ///   - weights: row-major `[rows, columns]`.
    ///   - importance: a weight of the squared error for each input channel (`hessian`: E[x²]), or nil for equal ones.
    static func scales(
        _ weights: [Float], rows: Int, columns: Int, bits: Int, clip: Recipe.Weights.Clip, importance: [Float]?
    ) -> [Float] {
        let largest = largest(bits: bits)
        let whole = weights.reduce(Float(0)) { max($0, abs($1)) }
        return (0..<rows).map { row in
            weights.withUnsafeBufferPointer { all in
                let values = UnsafeBufferPointer(rebasing: all[row * columns..<(row + 1) * columns])
                let magnitude = values.reduce(Float(0)) { max($0, abs($1)) }
                // A dead row rounds to zeros on any scale; the matrix' own keeps its bias within i32.
                guard magnitude > Self.dead else { return max(whole, Self.dead) / largest }
                guard clip != .none else { return magnitude / largest }
                var best = (error: Float.infinity, scale: magnitude / largest)
                // From no clipping down to 40 % of the range; 8 bits never want less than 80 %.
                let steps = bits == 4 ? 60 : 20
                for step in 0..<steps {
                    let scale = magnitude * (1 - Float(step) * 0.01) / largest
                    let error = squaredError(values, scale: scale, largest: largest, importance: importance)
                    if error < best.error { best = (error, scale) }
                }
                return best.scale
            }
        }
    }

    private static func squaredError(
        _ values: UnsafeBufferPointer<Float>, scale: Float, largest: Float, importance: [Float]?
    ) -> Float {
        let inverse = 1 / scale
        var sum: Float = 0
        if let importance {
            importance.withUnsafeBufferPointer { importance in
                for index in values.indices {
                    let q = max(min(roundToEven(values[index] * inverse), largest), -largest)
                    let error = values[index] - q * scale
                    sum += error * error * importance[index]
                }
            }
        } else {
            for value in values {
                let q = max(min(roundToEven(value * inverse), largest), -largest)
                let error = value - q * scale
                sum += error * error
            }
        }
        return sum
    }

    /// Round to nearest on the given scales.
    static func nearest(_ weights: [Float], rows: Int, columns: Int, bits: Int, scales: [Float]) -> QuantizedWeight {
        let largest = largest(bits: bits)
        var integers = [Int8](repeating: 0, count: rows * columns)
        for row in 0..<rows {
            let inverse = 1 / scales[row]
            for index in row * columns..<(row + 1) * columns {
                integers[index] = Int8(max(min(roundToEven(weights[index] * inverse), largest), -largest))
            }
        }
        return QuantizedWeight(rows: rows, columns: columns, bits: bits, integers: integers, scales: scales)
    }
}

/// Nearest integer, ties to even, for |x| < 2²²: two additions, which vectorise on every machine (`rounded()` is a
/// function call on x86-64 without SSE4.1).
@inline(__always) func roundToEven(_ x: Float) -> Float {
    let magic: Float = 12_582_912  // 1.5 · 2²³: its unit in the last place is 1
    return (x + magic) - magic
}
