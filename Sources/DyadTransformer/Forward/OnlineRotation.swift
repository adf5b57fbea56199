import DyadFormats
import DyadTensor

/// The orthonormal rotation that runs in the network before down_proj ("R4"), in blocks of the last axis:
/// y = x·H with H = (base ⊗ Sylvester(power)) / √n, n = base order · power.
///
/// Entry ((b₁, s₁), (b₂, s₂)) of base ⊗ Sylvester is base[b₁][b₂] · (−1)^popcount(s₁ & s₂), index b · power + s: ±1, so
/// the integer program computes it by additions. `base` need not be symmetric (Paley's are not).
public struct OnlineRotation: Sendable {
    /// `[m, m]`, a Hadamard matrix: entries ±1, orthogonal rows.
    public let base: Tensor
    /// The order of the Sylvester factor, a power of two.
    public let power: Int
    private let order: Int

    /// Creates a rotation; throws `.mismatch` when `base` is no Hadamard matrix or `power` no power of two.
    public init(base: Tensor, power: Int) throws(DyadError) {
        order = base.shape.first ?? 0
        var sound = base.shape == [order, order] && order > 0 && power > 0 && power & (power - 1) == 0
        if sound {
            let exact = try base.to(.float64)
            let gram = try exact.matmul(exact.transpose())
            let identity = try Tensor.eye(order, dtype: .float64, device: base.device)
            let signsOnly = try exact.abs().isEqual(to: exact.onesLike())
            sound = try gram.isEqual(to: identity * order) && signsOnly
        }
        guard sound else {
            throw DyadError(
                .mismatch, subject: "online rotation", found: "base of shape \(base.shape), power \(power)",
                expected: "a ±1 matrix with orthogonal rows and a power of two",
                remedy: "Construct the base by Paley's method, or use order 1.")
        }
        self.base = base
        self.power = power
    }

    /// n: the width of a block.
    public var block: Int { order * power }

    /// Rotates the last axis of `x`, whose size `block` must divide. Differentiable.
    ///
    /// Of a weight `[out, in]` this gives the one to use after the rotation: (x·H)·(W·H)ᵀ = x·Wᵀ.
    /// Cost: (m + power) multiplications per element.
    public func apply(_ x: Tensor) throws(DyadError) -> Tensor {
        let shape = x.shape
        guard let width = shape.last, width % block == 0 else {
            throw DyadError(
                .mismatch, subject: "online rotation", found: "width \(shape.last ?? 0)",
                expected: "a multiple of \(block)", remedy: "Choose a block that divides the model's intermediate size."
            )
        }
        let signs = (0..<power * power).map { (($0 / power) & ($0 % power)).nonzeroBitCount % 2 == 0 ? 1.0 : -1.0 }
        let sylvester = try Tensor(signs, shape: [power, power]) / Double(power).squareRoot()
        var rows = try x.reshape([x.count / block, order, power]).matmul(sylvester.to(x.device, dtype: x.dtype))
        if order > 1 {
            // Y[b₂] = Σ base[b₁][b₂] · X[b₁]
            let transposed = try base.to(.float64).transpose() / Double(order).squareRoot()
            rows = try transposed.to(x.device, dtype: x.dtype).matmul(rows)
        }
        return try rows.reshape(shape)
    }
}
