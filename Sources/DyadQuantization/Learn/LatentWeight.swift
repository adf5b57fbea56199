import DyadFormats
import DyadTensor

/// Learned rounding: Ŵ = s · clamp(⌊V + ½⌋) with a latent weight V in units of a step and row scales s = s₀·eʳ.
///
/// V starts within the bins of the given integers, as near to the float weight as ``margin`` permits: learning begins at
/// exactly the given solution, and the weights that its rounding had to decide against their float value are the first to
/// change. The margin keeps them from changing all at once in the first steps, whose size Adam makes equal whatever their
/// gradient: only a direction that persists crosses it. The gradient passes the rounding straight through and is masked
/// outside the range.
final class LatentWeight: LearnableWeight {
    private let latent: Tensor
    private let logScale: Tensor
    private let start: QuantizedWeight
    private let initialScale: Tensor
    private let unit: Tensor

    /// How far from the middle of its bin, whose edges are at ±½, a latent weight may begin.
    private static let margin = 0.3

    private var largest: Int { Int(WeightQuantizer.largest(bits: start.bits)) }

    var parameters: [LearnableParameter] {
        [
            LearnableParameter(kind: .weightScales, tensor: logScale),
            LearnableParameter(kind: .rounding, tensor: latent, unit: Double(largest)),
        ]
    }

    /// Creates the parameters from a rounded weight and the float weight that it approximates.
    init(_ start: QuantizedWeight, float: Tensor) throws(DyadError) {
        self.start = start
        unit = try Tensor(scalar: Float(1))
        initialScale = try Tensor(start.scales, shape: [start.rows, 1])
        let integers = try Tensor(start.integers, shape: [start.rows, start.columns]).to(.float32)
        let offset = try (float.to(.float32) / initialScale - integers).clamp(-Self.margin, Self.margin)
        latent = try (integers + offset).detach().requiresGrad(true)
        logScale = try Tensor.zeros([start.rows, 1]).requiresGrad(true)
    }

    func quantized(_ w: Tensor) throws(DyadError) -> Tensor {
        try latent.fakeQuantize(scale: unit, range: -largest...largest) * (logScale.exp() * initialScale)
    }

    func rounded(_ w: Tensor) throws(DyadError) -> QuantizedWeight {
        try withNoGrad { () throws(DyadError) in
            let integers = try latent.fakeQuantize(scale: unit, range: -largest...largest)
            let scales = try logScale.exp() * initialScale
            return QuantizedWeight(
                rows: start.rows, columns: start.columns, bits: start.bits, integers: try integers.toArray(Int8.self),
                scales: try scales.toArray(Float.self))
        }
    }
}

/// Learned row scales alone: Ŵ = s₀·eʳ · n with the integers n of the start.
///
/// A factor of a row is a factor of an output, so it is applied there: the gradient of the matrix, as large as the matrix and
/// a third of the backward pass, is never computed.
final class ScaledWeight: LearnableWeight {
    private let start: QuantizedWeight
    private let logScale: Tensor

    var parameters: [LearnableParameter] { [LearnableParameter(kind: .weightScales, tensor: logScale)] }

    init(_ start: QuantizedWeight) throws(DyadError) {
        self.start = start
        logScale = try Tensor.zeros([start.rows]).requiresGrad(true)
    }

    /// Made for each use: kept, the rounded weights would be the float model once more.
    func quantized(_ w: Tensor) throws(DyadError) -> Tensor {
        try withNoGrad { () throws(DyadError) in try start.tensor() }
    }
    func rowFactors() throws(DyadError) -> Tensor? { try logScale.exp() }

    func rounded(_ w: Tensor) throws(DyadError) -> QuantizedWeight {
        var weight = start
        let factors = try withNoGrad { () throws(DyadError) in try logScale.exp().toArray(Float.self) }
        weight.scales = zip(start.scales, factors).map { $0 * $1 }
        return weight
    }
}
