import Dispatch

/// Error-compensating rounding: Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ", ICLR 2023, algorithm 1.
enum GPTQ {
    /// Rounds the columns in the given order; the error of each is spread over those still to come.
    ///
    /// Rows are independent, so they are processed in parallel chunks whose working set stays in the cache; the result does
    /// not depend on the number of threads.
    ///
    /// - Parameters:
    ///   - weights: row-major `[rows, columns]`.
    ///   - order: the columns in rounding order (largest second moment first).
    ///   - factor: `[columns, columns]` row-major upper Cholesky factor U of the inverse Hessian, H⁻¹ = UᵀU, both in rounding order.
    ///   - scales: one per row.
    /// - Complexity: O(rows · columns²).
    static func round(
        _ weights: [Float], rows: Int, columns: Int, bits: Int, scales: [Float], order: [Int], factor: [Float]
    ) -> QuantizedWeight {
        let largest = WeightQuantizer.largest(bits: bits)
        let chunk = 64
        var integers = [Int8](repeating: 0, count: rows * columns)
        integers.withUnsafeMutableBufferPointer { output in
            nonisolated(unsafe) let output = output
            factor.withUnsafeBufferPointer { factor in
                nonisolated(unsafe) let factor = factor
                DispatchQueue.concurrentPerform(iterations: (rows + chunk - 1) / chunk) { part in
                    let first = part * chunk, count = min(chunk, rows - first)
                    // Column-major copy of this chunk, in rounding order, so that every inner loop runs over rows.
                    var work = [Float](repeating: 0, count: columns * chunk)
                    for (position, column) in order.enumerated() {
                        for row in 0..<count {
                            work[position * chunk + row] = weights[(first + row) * columns + column]
                        }
                    }
                    var scale = [Float](repeating: 1, count: chunk)
                    for row in 0..<count { scale[row] = scales[first + row] }
                    var error = [Float](repeating: 0, count: chunk)
                    work.withUnsafeMutableBufferPointer { work in
                        for position in 0..<columns {
                            let column = order[position]
                            let diagonal = factor[position * columns + position]
                            for row in 0..<chunk {
                                let value = work[position * chunk + row]
                                let q = max(min(roundToEven(value / scale[row]), largest), -largest)
                                error[row] = (value - q * scale[row]) / diagonal
                                if row < count { output[(first + row) * columns + column] = Int8(q) }
                            }
                            error.withUnsafeBufferPointer { error in
                                for later in position + 1..<max(columns, position + 1) {
                                    let u = factor[position * columns + later]
                                    let target = work.baseAddress! + later * chunk
                                    for row in 0..<chunk { target[row] -= error[row] * u }
                                }
                            }
                        }
                    }
                }
            }
        }
        return QuantizedWeight(rows: rows, columns: columns, bits: bits, integers: integers, scales: scales)
    }
}
