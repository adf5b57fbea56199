import DyadTensor
import Testing

@testable import DyadQuantization

private func random(_ count: Int, seed: UInt64) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(state >> 40) / Float(1 << 23) - 1
    }
}

/// The upper Cholesky factor U of a positive definite matrix A = UᵀU, row-major.
private func upperFactor(_ matrix: [Double], size: Int) -> [Double] {
    var u = [Double](repeating: 0, count: size * size)
    for row in 0..<size {
        for column in row..<size {
            var sum = matrix[row * size + column]
            for k in 0..<row { sum -= u[k * size + row] * u[k * size + column] }
            u[row * size + column] = row == column ? sum.squareRoot() : sum / u[row * size + row]
        }
    }
    return u
}

private func inverse(_ matrix: [Double], size: Int) -> [Double] {
    var work = matrix
    var result = (0..<size * size).map { $0 % (size + 1) == 0 ? 1.0 : 0.0 }
    for pivot in 0..<size {
        let factor = 1 / work[pivot * size + pivot]
        for column in 0..<size {
            work[pivot * size + column] *= factor
            result[pivot * size + column] *= factor
        }
        for row in 0..<size where row != pivot {
            let times = work[row * size + pivot]
            for column in 0..<size {
                work[row * size + column] -= times * work[pivot * size + column]
                result[row * size + column] -= times * result[pivot * size + column]
            }
        }
    }
    return result
}

@Suite struct WeightTests {
    @Test(arguments: [4, 8]) func nearestStaysWithinHalfAStep(bits: Int) {
        let weights = random(6 * 33, seed: 3)
        let scales = WeightQuantizer.scales(weights, rows: 6, columns: 33, bits: bits, clip: .none, importance: nil)
        let quantized = WeightQuantizer.nearest(weights, rows: 6, columns: 33, bits: bits, scales: scales)
        for (index, value) in quantized.dequantized.enumerated() {
            #expect(abs(value - weights[index]) <= scales[index / 33] * 0.501)
        }
        #expect(quantized.integers.allSatisfy { abs(Int($0)) <= (bits == 4 ? 7 : 127) })
    }

    @Test func clippingByMeanSquareNeverRoundsWorse() {
        var weights = random(4 * 64, seed: 9).map { $0 * 0.1 }
        weights[5] = 1  // one outlier in row 0
        func error(_ clip: Recipe.Weights.Clip) -> Float {
            let scales = WeightQuantizer.scales(weights, rows: 4, columns: 64, bits: 4, clip: clip, importance: nil)
            let values = WeightQuantizer.nearest(weights, rows: 4, columns: 64, bits: 4, scales: scales).dequantized
            return zip(values, weights).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        }
        #expect(error(.mse) < error(.none))
    }

    @Test func withUncorrelatedInputsErrorCompensationIsNearestRounding() {
        let (rows, columns) = (70, 12)
        let weights = random(rows * columns, seed: 4)
        let scales = WeightQuantizer.scales(
            weights, rows: rows, columns: columns, bits: 4, clip: .none, importance: nil)
        let identity = (0..<columns * columns).map { $0 % (columns + 1) == 0 ? Float(1) : 0 }
        let compensated = GPTQ.round(
            weights, rows: rows, columns: columns, bits: 4, scales: scales, order: Array(0..<columns).reversed(),
            factor: identity)
        let nearest = WeightQuantizer.nearest(weights, rows: rows, columns: columns, bits: 4, scales: scales)
        // Division instead of multiplication by the inverse may move exact ties.
        let differing = zip(compensated.integers, nearest.integers).filter { $0 != $1 }.count
        #expect(differing <= 1)
    }

    @Test func withCorrelatedInputsItLowersTheOutputError() {
        let (rows, columns, samples) = (32, 24, 400)
        let weights = random(rows * columns, seed: 5)
        // Inputs with a strong common component.
        let noise = random(samples * columns, seed: 6), common = random(samples, seed: 7)
        let inputs = noise.indices.map { 0.3 * noise[$0] + common[$0 / columns] }
        var hessian = [Double](repeating: 0, count: columns * columns)
        for sample in 0..<samples {
            for i in 0..<columns {
                for j in 0..<columns {
                    hessian[i * columns + j] += Double(inputs[sample * columns + i] * inputs[sample * columns + j])
                }
            }
        }
        for i in 0..<columns { hessian[i * columns + i] *= 1.01 }
        let factor = upperFactor(inverse(hessian, size: columns), size: columns).map(Float.init)
        let scales = WeightQuantizer.scales(
            weights, rows: rows, columns: columns, bits: 4, clip: .none, importance: nil)
        func outputError(_ quantized: QuantizedWeight) -> Float {
            let values = quantized.dequantized
            var sum: Float = 0
            for sample in 0..<samples {
                for row in 0..<rows {
                    var difference: Float = 0
                    for column in 0..<columns {
                        let index = row * columns + column
                        difference += (values[index] - weights[index]) * inputs[sample * columns + column]
                    }
                    sum += difference * difference
                }
            }
            return sum
        }
        let compensated = GPTQ.round(
            weights, rows: rows, columns: columns, bits: 4, scales: scales, order: Array(0..<columns), factor: factor)
        let nearest = WeightQuantizer.nearest(weights, rows: rows, columns: columns, bits: 4, scales: scales)
        #expect(outputError(compensated) < 0.5 * outputError(nearest))
    }
}

/// Second moments of channels with a strong common component.
private func correlatedMoments(_ size: Int, seed: UInt64) throws -> Tensor {
    let samples = 300
    let noise = random(samples * size, seed: seed), common = random(samples, seed: seed + 1)
    let values = noise.indices.map { Double(0.3 * noise[$0] + common[$0 / size]) }
    let x = try Tensor(values, shape: [samples, size])
    return try x.transpose().matmul(x)
}

/// Rounding by coordinate descent.
@Suite(.needsTorch) struct CoordinateDescentTests {
    private let rows = 70, columns = 48

    private func descend(_ weights: [Float], bits: Int = 4) throws -> (
        rounded: QuantizedWeight, gptq: QuantizedWeight, hessian: [Float]
    ) {
        let input = try OrderedMoments(correlatedMoments(columns, seed: 51), damping: 0.01)
        let scales = WeightQuantizer.scales(
            weights, rows: rows, columns: columns, bits: bits, clip: .mse, importance: nil)
        let (hessian, factor) = (try input.hessian(), try input.inverseFactor())
        let gptq = GPTQ.round(
            weights, rows: rows, columns: columns, bits: bits, scales: scales, order: input.order, factor: factor)
        let rounded = CoordinateDescent.round(
            weights, rows: rows, columns: columns, bits: bits, scales: scales, hessian: hessian, order: input.order,
            factor: factor)
        return (rounded, gptq, hessian)
    }

    /// The error of a row in double precision.
    private func error(_ weight: QuantizedWeight, _ weights: [Float], _ hessian: [Float], row: Int) -> Double {
        let e = (0..<columns).map { column in
            Double(weight.integers[row * columns + column]) * Double(weight.scales[row])
                - Double(weights[row * columns + column])
        }
        var sum = 0.0
        for i in 0..<columns { for j in 0..<columns { sum += e[i] * Double(hessian[i * columns + j]) * e[j] } }
        return sum
    }

    @Test(arguments: [4, 8]) func everyRowIsAtLeastAsGoodAsGPTQs(bits: Int) throws {
        let weights = random(rows * columns, seed: 52)
        let (rounded, gptq, hessian) = try descend(weights, bits: bits)
        let reported = CoordinateDescent.errors(rounded, weights, hessian)
        var (before, after) = (0.0, 0.0)
        for row in 0..<rows {
            let (own, other) = (
                error(rounded, weights, hessian, row: row), error(gptq, weights, hessian, row: row)
            )
            #expect(own <= other * 1.001)
            #expect(abs(Double(reported[row]) - own) <= 1e-3 * own)
            before += other
            after += own
        }
        #expect(after < 0.9 * before)
        #expect(rounded.integers.allSatisfy { abs(Int($0)) <= (bits == 4 ? 7 : 127) })
    }

    @Test func noSingleIntegerCanBeImproved() throws {
        let weights = random(rows * columns, seed: 53)
        let (rounded, _, hessian) = try descend(weights)
        for row in stride(from: 0, to: rows, by: 13) {
            let best = error(rounded, weights, hessian, row: row)
            for column in 0..<columns {
                for step: Int8 in [-1, 1] {
                    var changed = rounded
                    changed.integers[row * columns + column] += step
                    guard abs(Int(changed.integers[row * columns + column])) <= 7 else { continue }
                    // The scales are fitted once more after the last sweep.
                    #expect(error(changed, weights, hessian, row: row) > best * 0.999)
                }
            }
        }
    }

    @Test func rowsOfZerosStayZero() throws {
        var weights = random(rows * columns, seed: 54)
        for index in 0..<columns { weights[3 * columns + index] = 0 }
        let rounded = try descend(weights).rounded
        #expect(rounded.integers[3 * columns..<4 * columns].allSatisfy { $0 == 0 })
        #expect(rounded.scales.allSatisfy { $0.isFinite && $0 > 0 })
    }
}

extension QuantizedWeight {
    /// The real weight, row-major.
    fileprivate var dequantized: [Float] {
        var result = [Float](repeating: 0, count: rows * columns)
        for row in 0..<rows {
            for index in row * columns..<(row + 1) * columns { result[index] = Float(integers[index]) * scales[row] }
        }
        return result
    }
}
