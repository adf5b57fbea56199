import DyadFormats
import DyadGraph
import DyadTensor

/// The encoding of one activation tensor with parameters to be learnt: the ends of the range of an asymmetric 8-bit tensor,
/// the scale of one whose zero point is fixed.
///
/// An end moves in units of the initial range and a scale as s = s₀·eᵗ, so that one learning rate fits tensors of any size
/// (Quant.npu, arXiv 2605.20295). Gradients are LSQ's with the zero point of LSQ+ (``Tensor/fakeQuantize(scale:zeroPoint:range:axis:gradientFactor:)``);
/// the zero point is rounded with a straight-through estimator, and 0 stays on the grid.
final class LearnableEncoding {
    /// Scalars that start at 0.
    private let values: [Tensor]
    private let grid: Grid
    private let initial: Encoding
    /// What a scale may become, however far a step leaps.
    private static let scales: ClosedRange<Float> = 1e-12...1e12

    /// Creates parameters around an encoding of a u8 grid.
    init(_ initial: Encoding, grid: Grid) throws(DyadError) {
        (self.initial, self.grid) = (initial, grid)
        var values: [Tensor] = []
        for _ in 0..<(grid == .unsigned8 ? 2 : 1) {
            values.append(try Tensor(scalar: Float(0)).requiresGrad(true))
        }
        self.values = values
    }

    /// The parameters.
    var parameters: [LearnableParameter] { values.map { LearnableParameter(kind: .activations, tensor: $0) } }

    /// Scale and zero point as functions of the parameters.
    private func steps() throws(DyadError) -> (scale: Tensor, zeroPoint: Tensor) {
        guard grid == .unsigned8 else {
            return (
                try (values[0].exp() * initial.scale).clamp(Self.scales.lowerBound, Self.scales.upperBound),
                try Tensor(scalar: Float(initial.zeroPoint))
            )
        }
        let width = 255 * initial.scale
        let low = try (values[0] * width - initial.scale * Float(initial.zeroPoint)).clamp(nil, 0)
        let high = try (values[1] * width + initial.scale * Float(255 - initial.zeroPoint)).clamp(0, nil)
        let scale = try ((high - low) / 255).clamp(Self.scales.lowerBound, Self.scales.upperBound)
        let exact = try -low / scale
        // The value is the integer, the gradient that of the exact quotient.
        let zeroPoint = try (exact - exact.detach()) + exact.detach().round().clamp(0, 255)
        return (scale, zeroPoint)
    }

    /// Quantises and dequantises, differentiably in x and the parameters.
    func quantized(_ x: Tensor) throws(DyadError) -> Tensor {
        let (scale, zeroPoint) = try steps()
        return try x.fakeQuantize(
            scale: scale, zeroPoint: zeroPoint, range: 0...255,
            gradientFactor: 1 / (Double(x.count) * 255).squareRoot())
    }

    /// The learnt encoding.
    func encoding() throws(DyadError) -> Encoding {
        let (scale, zeroPoint) = try withNoGrad { () throws(DyadError) in try steps() }
        return Encoding(scale: Float(try scale.item()), zeroPoint: Int32(try zeroPoint.item()))
    }
}
