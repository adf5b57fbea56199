import Dispatch

/// Rounding of a linear's weight that minimises the layer's error tr((Ŵ − W)·H·(Ŵ − W)ᵀ) over integers and row scales.
///
/// GPTQ decides every column once, in one order and on scales that are given. This starts from GPTQ on several scales of each
/// row, keeps the best, and then goes over the columns again and again, each time with the integer that is best given all
/// others (Behdin et al., "QuantEase", 2023), with the scale that is best given the integers in between.
enum CoordinateDescent {
    /// Shares of the given scales to begin with.
    private static let shares: [Float] = [1, 0.94, 0.88, 1.06, 0.82]
    /// Most sweeps over the columns.
    private static let sweeps = 12
    /// Rows that are handled together, so that every inner loop runs over rows.
    private static let chunk = 64

    /// Rounds.
    ///
    /// - Parameters:
    ///   - weights: row-major `[rows, columns]`.
    ///   - scales: one per row.
    ///   - hessian: H, row-major `[columns, columns]`, positive definite, in the columns' own order.
    ///   - order: the columns in GPTQ's order.
    ///   - factor: GPTQ's factor in that order.
    /// - Complexity: O(rows · columns²), some 20 times GPTQ's.
    static func round(
        _ weights: [Float], rows: Int, columns: Int, bits: Int, scales: [Float], hessian: [Float], order: [Int],
        factor: [Float]
    ) -> QuantizedWeight {
        var best = QuantizedWeight(
            rows: rows, columns: columns, bits: bits, integers: [Int8](repeating: 0, count: rows * columns),
            scales: scales)
        var errors = [Float](repeating: .infinity, count: rows)
        for share in shares {
            let candidate = GPTQ.round(
                weights, rows: rows, columns: columns, bits: bits, scales: scales.map { $0 * share }, order: order,
                factor: factor)
            let found = Self.errors(candidate, weights, hessian)
            for row in 0..<rows where found[row] < errors[row] {
                errors[row] = found[row]
                best.scales[row] = candidate.scales[row]
                let range = row * columns..<(row + 1) * columns
                best.integers.replaceSubrange(range, with: candidate.integers[range])
            }
        }
        return descend(best, weights, hessian)
    }

    /// The error of every row, (ŵ − w)ᵀH(ŵ − w).
    static func errors(_ rounded: QuantizedWeight, _ weights: [Float], _ hessian: [Float]) -> [Float] {
        var result = [Float](repeating: 0, count: rounded.rows)
        result.withUnsafeMutableBufferPointer { result in
            nonisolated(unsafe) let result = result
            forEachChunk(rounded.rows) { first, count in
                let state = RowState(rounded, weights, hessian, first: first, count: count)
                for row in 0..<count { result[first + row] = state.error(row) }
            }
        }
        return result
    }

    private static func descend(_ start: QuantizedWeight, _ weights: [Float], _ hessian: [Float]) -> QuantizedWeight {
        var result = start
        result.integers.withUnsafeMutableBufferPointer { integers in
            result.scales.withUnsafeMutableBufferPointer { scales in
                nonisolated(unsafe) let (integers, scales) = (integers, scales)
                forEachChunk(start.rows) { first, count in
                    var state = RowState(start, weights, hessian, first: first, count: count)
                    for _ in 0..<sweeps {
                        state.refitScales()
                        if state.sweep(hessian) == 0 { break }
                    }
                    state.refitScales()
                    state.write(to: integers, scales, first: first)
                }
            }
        }
        return result
    }

    private static func forEachChunk(_ rows: Int, _ body: @Sendable (_ first: Int, _ count: Int) -> Void) {
        DispatchQueue.concurrentPerform(iterations: (rows + chunk - 1) / chunk) { part in
            body(part * chunk, min(chunk, rows - part * chunk))
        }
    }

    /// A chunk of rows, column-major: integers, the gradient H(ŵ − w), and Hw.
    private struct RowState {
        private let columns: Int, count: Int
        private let largest: Float
        private var scales: [Float]
        private var integers: [Float]
        private var weights: [Float]
        private var gradient: [Float]
        private var product: [Float]

        init(_ rounded: QuantizedWeight, _ all: [Float], _ hessian: [Float], first: Int, count: Int) {
            let chunk = CoordinateDescent.chunk, columns = rounded.columns
            (self.columns, self.count) = (columns, count)
            largest = WeightQuantizer.largest(bits: rounded.bits)
            scales = [Float](repeating: 1, count: chunk)
            integers = [Float](repeating: 0, count: columns * chunk)
            weights = integers
            for row in 0..<count {
                scales[row] = rounded.scales[first + row]
                for column in 0..<columns {
                    let index = (first + row) * columns + column
                    integers[column * chunk + row] = Float(rounded.integers[index])
                    weights[column * chunk + row] = all[index]
                }
            }
            var errors = weights
            for column in 0..<columns {
                for row in 0..<chunk {
                    let index = column * chunk + row
                    errors[index] = integers[index] * scales[row] - weights[index]
                }
            }
            gradient = Self.multiply(hessian, errors, columns)
            product = Self.multiply(hessian, weights, columns)
        }

        /// H·x for column-major x.
        private static func multiply(_ hessian: [Float], _ x: [Float], _ columns: Int) -> [Float] {
            let chunk = CoordinateDescent.chunk
            var result = [Float](repeating: 0, count: columns * chunk)
            result.withUnsafeMutableBufferPointer { result in
                x.withUnsafeBufferPointer { x in
                    hessian.withUnsafeBufferPointer { hessian in
                        for row in 0..<columns {
                            let target = result.baseAddress! + row * chunk
                            for column in 0..<columns {
                                let h = hessian[row * columns + column]
                                let source = x.baseAddress! + column * chunk
                                for lane in 0..<chunk { target[lane] += h * source[lane] }
                            }
                        }
                    }
                }
            }
            return result
        }

        func error(_ row: Int) -> Float {
            let chunk = CoordinateDescent.chunk
            var sum: Float = 0
            for column in 0..<columns {
                let index = column * chunk + row
                sum += (integers[index] * scales[row] - weights[index]) * gradient[index]
            }
            return sum
        }

        /// The scale of every row that is best for its integers: s·(1 − ŵᵀH(ŵ − w)/ŵᵀHŵ).
        mutating func refitScales() {
            let chunk = CoordinateDescent.chunk
            for row in 0..<count {
                var (slope, curvature): (Float, Float) = (0, 0)
                for column in 0..<columns {
                    let index = column * chunk + row
                    let value = integers[index] * scales[row]
                    slope += value * gradient[index]
                    curvature += value * (gradient[index] + product[index])
                }
                let share = 1 - slope / curvature
                // A row of zeros has no best scale.
                guard curvature > 0, share > 0.5, share < 2 else { continue }
                scales[row] *= share
                for column in 0..<columns {
                    let index = column * chunk + row
                    gradient[index] = share * (gradient[index] + product[index]) - product[index]
                }
            }
        }

        /// Gives each integer in turn its best value; returns how many changed.
        mutating func sweep(_ hessian: [Float]) -> Int {
            let chunk = CoordinateDescent.chunk
            var changes = 0
            var steps = [Float](repeating: 0, count: chunk)
            for column in 0..<columns {
                let inverse = 1 / hessian[column * columns + column]
                var changed = 0
                for row in 0..<chunk {
                    let index = column * chunk + row
                    let value = integers[index] - gradient[index] * inverse / scales[row]
                    let q = roundToEven(max(min(value, largest), -largest))
                    let step = q - integers[index]
                    steps[row] = step * scales[row]
                    integers[index] = q
                    changed += step == 0 ? 0 : 1
                }
                guard changed > 0 else { continue }
                changes += changed
                gradient.withUnsafeMutableBufferPointer { gradient in
                    hessian.withUnsafeBufferPointer { hessian in
                        steps.withUnsafeBufferPointer { steps in
                            for other in 0..<columns {
                                let h = hessian[column * columns + other]
                                let target = gradient.baseAddress! + other * chunk
                                for row in 0..<chunk { target[row] += h * steps[row] }
                            }
                        }
                    }
                }
            }
            return changes
        }

        func write(
            to output: UnsafeMutableBufferPointer<Int8>, _ outputScales: UnsafeMutableBufferPointer<Float>, first: Int
        ) {
            for row in 0..<count {
                outputScales[first + row] = scales[row]
                for column in 0..<columns {
                    output[(first + row) * columns + column] = Int8(integers[column * CoordinateDescent.chunk + row])
                }
            }
        }
    }
}
