import DyadFormats
import DyadTensor

/// A weight matrix whose rounding has learnable parameters.
protocol LearnableWeight: AnyObject {
    /// The parameters, by kind.
    var parameters: [LearnableParameter] { get }
    /// The dequantised weight, differentiable in the parameters and in `w`, the float weight as transforms leave it.
    func quantized(_ w: Tensor) throws(DyadError) -> Tensor
    /// What is learnt outside of ``quantized(_:)``: factors of its rows, `[out]`.
    func rowFactors() throws(DyadError) -> Tensor?
    /// The integers and scales that ``quantized(_:)`` stands for.
    func rounded(_ w: Tensor) throws(DyadError) -> QuantizedWeight
}

extension LearnableWeight {
    func rowFactors() throws(DyadError) -> Tensor? { nil }
}

/// A leaf tensor that learning changes, with the kind that decides its learning rate.
struct LearnableParameter {
    let kind: Recipe.Learning.Parameter
    let tensor: Tensor
    /// What the kind's rate is multiplied by: the size of the parameter's unit.
    var unit = 1.0
}

/// Learned weight clipping (OmniQuant, Shao et al. 2024; MobileQuant §3): the scale of a row is
/// σ(u) · max|w| / largest, so it follows what transforms make of the weight; rounding is to nearest.
final class ClippedWeight: LearnableWeight {
    private let logit: Tensor
    private let bits: Int

    var parameters: [LearnableParameter] { [LearnableParameter(kind: .clipping, tensor: logit)] }
    private var largest: Int { Int(WeightQuantizer.largest(bits: bits)) }

    /// - Parameter start: the share of the row's range to begin with, below 1; the published start is σ(4) = 0.982.
    init(rows: Int, bits: Int, start: Double = 4) throws(DyadError) {
        self.bits = bits
        logit = try Tensor.full([rows, 1], start).requiresGrad(true)
    }

    private func scales(_ logit: Tensor, _ w: Tensor) throws(DyadError) -> Tensor {
        try (logit.sigmoid() * w.abs().amax([1], keepDim: true) / Double(largest)).clamp(Float(1e-30), nil).reshape([-1]
        )
    }

    /// LSQ's factor is for the clipping alone: what transforms do to the largest weight has its whole gradient.
    func quantized(_ w: Tensor) throws(DyadError) -> Tensor {
        let factor = 1 / (Double(try w.size(1)) * Double(largest)).squareRoot()
        let fixed = try logit.detach()
        let damped = try fixed + (logit - fixed) * factor
        return try w.fakeQuantize(scale: scales(damped, w), range: -largest...largest, axis: 0)
    }

    func rounded(_ w: Tensor) throws(DyadError) -> QuantizedWeight {
        try withNoGrad { () throws(DyadError) in
            let scales = try scales(logit, w)
            let steps = try (w / scales.unsqueeze(1) + 0.5).floor().clamp(-largest, largest)
            return QuantizedWeight(
                rows: try w.size(0), columns: try w.size(1), bits: bits, integers: try steps.toArray(Int8.self),
                scales: try scales.toArray(Float.self))
        }
    }
}
