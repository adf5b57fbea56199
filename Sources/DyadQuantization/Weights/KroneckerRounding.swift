import Dispatch

/// Rounding that compensates each error along both sides of the matrix: Tseng, Sun, De Sa, "Model-Preserving Adaptive
/// Rounding" (YAQA), 2025, in the form that follows from its objective tr(H_O·E·H_I·Eᵀ).
///
/// E = W − Ŵ, H_I the second moments of the layer's inputs, H_O those of the gradient of the network's likelihood at its
/// outputs. With H = U·D·Uᵀ, U unit upper triangular, the objective is Σ over (row i, column k) of
/// D_O[i]·D_I[k]·(Σ E[i', k']·U_O[i', i]·U_I[k', k])² over i' ≤ i, k' ≤ k: rounding in that order, every term can be brought
/// near zero by adding what the earlier errors contribute to the value before it is rounded. With H_O = 1 this is GPTQ.
enum KroneckerRounding {
    /// A unit upper triangular factor with the order of its rows and columns.
    struct Factor {
        /// What is rounded first, second, ...
        let order: [Int]
        /// Row-major `[n, n]`, in that order.
        let values: [Float]
    }

    /// Columns whose contributions to later columns are added together.
    private static let block = 32

    /// Rounds.
    ///
    /// - Parameters:
    ///   - weights: row-major `[rows, columns]`.
    ///   - scales: one per row.
    ///   - input: of H_I, `columns` wide.
    ///   - output: of H_O, `rows` wide.
    /// - Complexity: O(rows · columns · (rows + columns)); two more matrices of the weight's size.
    static func round(
        _ weights: [Float], rows: Int, columns: Int, bits: Int, scales: [Float], input: Factor, output: Factor
    ) -> QuantizedWeight {
        let largest = WeightQuantizer.largest(bits: bits)
        // Column-major in rounding order, so that every inner loop runs over rows: W, and the contributions of earlier columns.
        var ordered = [Float](repeating: 0, count: rows * columns)
        for (k, column) in input.order.enumerated() {
            for (i, row) in output.order.enumerated() { ordered[k * rows + i] = weights[row * columns + column] }
        }
        let steps = output.order.map { scales[$0] }
        var carried = [Float](repeating: 0, count: rows * columns)
        var errors = [Float](repeating: 0, count: rows * columns)
        var integers = [Int8](repeating: 0, count: rows * columns)
        var sums = [Float](repeating: 0, count: rows)

        for first in stride(from: 0, to: columns, by: block) {
            let end = min(first + block, columns)
            for k in first..<end {
                for earlier in first..<k {
                    add(input.values[earlier * columns + k], errors, earlier * rows, to: &carried, k * rows, rows)
                }
                for i in 0..<rows { sums[i] = 0 }
                let column = input.order[k]
                for i in 0..<rows {
                    let index = k * rows + i
                    let value = ordered[index] + carried[index] + sums[i]
                    let q = max(min(roundToEven(value / steps[i]), largest), -largest)
                    integers[output.order[i] * columns + column] = Int8(q)
                    let error = ordered[index] - q * steps[i]
                    errors[index] = error
                    let later = i + 1
                    add(carried[index] + error, output.values, i * rows + later, to: &sums, later, rows - later)
                }
            }
            carry(errors, from: first..<end, to: &carried, rows: rows, columns: columns, factor: input.values)
        }
        return QuantizedWeight(rows: rows, columns: columns, bits: bits, integers: integers, scales: scales)
    }

    /// target[to...] += factor · source[from...], `count` values.
    @inline(__always) private static func add(
        _ factor: Float, _ source: [Float], _ from: Int, to target: inout [Float], _ to: Int, _ count: Int
    ) {
        guard count > 0 else { return }
        source.withUnsafeBufferPointer { source in
            target.withUnsafeMutableBufferPointer { target in
                let (x, y) = (source.baseAddress! + from, target.baseAddress! + to)
                for index in 0..<count { y[index] += factor * x[index] }
            }
        }
    }

    /// Adds what a block of finished columns contributes to all later ones.
    private static func carry(
        _ errors: [Float], from block: Range<Int>, to carried: inout [Float], rows: Int, columns: Int, factor: [Float]
    ) {
        guard block.upperBound < columns else { return }
        carried.withUnsafeMutableBufferPointer { carried in
            nonisolated(unsafe) let carried = carried
            DispatchQueue.concurrentPerform(iterations: columns - block.upperBound) { part in
                let k = block.upperBound + part
                let target = carried.baseAddress! + k * rows
                errors.withUnsafeBufferPointer { errors in
                    for earlier in block {
                        let (u, error) = (factor[earlier * columns + k], errors.baseAddress! + earlier * rows)
                        for row in 0..<rows { target[row] += u * error[row] }
                    }
                }
            }
        }
    }
}
