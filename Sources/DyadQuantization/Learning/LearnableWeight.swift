import DyadFormats
import DyadTensor

/// One weight matrix with learnable rounding and learnable scales: Ŵ = s · clamp(⌊V + ½⌋).
///
/// V, the latent weight in units of a step, starts within the bins of the given integers, as near to the float weight as
/// they permit: learning begins at exactly the given solution, and the weights that its rounding had to decide against
/// their float value are the first to change. The row scales are s = s₀·eʳ.
final class LearnableWeight {
    /// `[rows, columns]`, in steps.
    let latent: Tensor
    /// `[rows]`
    let logScale: Tensor
    /// The largest integer, 7 or 127.
    let largest: Int
    private let start: QuantizedWeight
    private let initialScale: Tensor

    /// How near to the edge of its bin a latent weight may begin.
    private static let margin = 0.49

    /// Creates the parameters from a rounded weight and the float weight that it approximates.
    init(_ start: QuantizedWeight, float: Tensor) throws(DyadError) {
        self.start = start
        largest = Int(WeightQuantizer.largest(bits: start.bits))
        initialScale = try Tensor(start.scales, shape: [start.rows, 1])
        let integers = try Tensor(start.integers, shape: [start.rows, start.columns]).to(.float32)
        let offset = try (float.to(.float32) / initialScale - integers).clamp(-Self.margin, Self.margin)
        latent = try (integers + offset).detach().requiresGrad(true)
        logScale = try Tensor.zeros([start.rows, 1]).requiresGrad(true)
    }

    /// The dequantised weight, differentiable in both parameters.
    func quantized() throws(DyadError) -> Tensor {
        let integers = try latent.fakeQuantize(scale: Tensor(scalar: Float(1)), range: -largest...largest)
        return try integers * (logScale.exp() * initialScale)
    }

    /// The learnt integers and scales.
    func rounded() throws(DyadError) -> QuantizedWeight {
        let integers = try withNoGrad { () throws(DyadError) in
            try latent.fakeQuantize(scale: Tensor(scalar: Float(1)), range: -largest...largest)
        }
        let scales = try withNoGrad { () throws(DyadError) in try logScale.exp() * initialScale }
        return QuantizedWeight(
            rows: start.rows, columns: start.columns, bits: start.bits, integers: try integers.toArray(Int8.self),
            scales: try scales.toArray(Float.self))
    }

    /// The share of integers that differ from the start.
    func changedShare() throws(DyadError) -> Double {
        let now = try rounded().integers
        return Double(zip(now, start.integers).count { $0 != $1 }) / Double(max(now.count, 1))
    }
}
