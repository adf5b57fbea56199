import Foundation

extension Collection where Element: Comparable {
    /// Where the largest element is, the first of equal ones.
    package var indexOfLargest: Index? { self.max().flatMap { largest in firstIndex(of: largest) } }
}

/// One row of logits and its softmax' normalisation, in log space.
struct LogitRow {
    let logits: UnsafeBufferPointer<Float>
    /// The largest logit.
    let maximum: Float
    /// The first token that has it.
    let argmax: Int
    /// log Σ exp(logit − maximum), summed in double precision.
    let logSum: Double

    /// One pass for the maximum, one for the sum. NaN logits give a NaN ``logSum``.
    init(_ logits: UnsafeBufferPointer<Float>) {
        self.logits = logits
        let whole = logits.count / Lanes.scalarCount * Lanes.scalarCount
        let bytes = UnsafeRawBufferPointer(logits)
        let stride = MemoryLayout<Float>.stride

        var lanes = Lanes(repeating: -.infinity)
        for start in Swift.stride(from: 0, to: whole, by: Lanes.scalarCount) {
            let values = bytes.loadUnaligned(fromByteOffset: start * stride, as: Lanes.self)
            lanes = lanes.replacing(with: values, where: values .> lanes)
        }
        var maximum = lanes.max()
        for index in whole..<logits.count where logits[index] > maximum { maximum = logits[index] }
        self.maximum = maximum
        argmax = logits.firstIndex(of: maximum) ?? 0

        logSum = log(Self.exponentialSum(logits, maximum, factor: 1))
    }

    /// −log softmax(logits)[token].
    func negativeLogLikelihood(of token: Int) -> Double {
        logSum + Double(maximum) - Double(logits[token])
    }

    /// −log softmax(logits / temperature)[token].
    func negativeLogLikelihood(of token: Int, temperature: Float) -> Double {
        let inverse = 1 / temperature
        return log(Self.exponentialSum(logits, maximum, factor: inverse)) + Double((maximum - logits[token]) * inverse)
    }

    /// Σ exp(factor · (logit − maximum)), in double precision from block to block.
    private static func exponentialSum(
        _ logits: UnsafeBufferPointer<Float>, _ maximum: Float, factor: Float
    ) -> Double {
        let whole = logits.count / Lanes.scalarCount * Lanes.scalarCount
        let bytes = UnsafeRawBufferPointer(logits)
        var sum = 0.0
        for start in Swift.stride(from: 0, to: whole, by: blockSize) {
            var partial = Lanes.zero
            for index in Swift.stride(from: start, to: min(start + blockSize, whole), by: Lanes.scalarCount) {
                let values = bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<Float>.stride, as: Lanes.self)
                partial += vectorExponential((values - maximum) * factor)
            }
            sum += Double(partial.sum())
        }
        for index in whole..<logits.count { sum += exp(Double((logits[index] - maximum) * factor)) }
        return sum
    }

    /// KL(self ‖ other) = Σ p·(log p − log q), in nats.
    func divergence(from other: LogitRow) -> Double {
        let whole = logits.count / Lanes.scalarCount * Lanes.scalarCount
        let (a, b) = (UnsafeRawBufferPointer(logits), UnsafeRawBufferPointer(other.logits))
        let stride = MemoryLayout<Float>.stride
        // Σ exp(a)·(a − b) with both rows relative to their maxima; the normalisations follow once at the end.
        var sum = 0.0
        for start in Swift.stride(from: 0, to: whole, by: blockSize) {
            var partial = Lanes.zero
            for index in Swift.stride(from: start, to: min(start + blockSize, whole), by: Lanes.scalarCount) {
                let x = a.loadUnaligned(fromByteOffset: index * stride, as: Lanes.self) - maximum
                let y = b.loadUnaligned(fromByteOffset: index * stride, as: Lanes.self) - other.maximum
                partial += vectorExponential(x) * (x - y)
            }
            sum += Double(partial.sum())
        }
        for index in whole..<logits.count {
            let x = Double(logits[index] - maximum)
            sum += exp(x) * (x - Double(other.logits[index] - other.maximum))
        }
        return sum / exp(logSum) - logSum + other.logSum
    }
}

/// Elements summed in float32 before the sum goes on in double precision.
private let blockSize = 64 * Lanes.scalarCount
