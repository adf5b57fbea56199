import DyadFormats
import DyadTensor

/// The orthonormal rotation that runs in the network before down_proj ("R4"), in blocks of the last axis:
/// y = x·H with H = (base ⊗ Sylvester(power)) / √n, n = base order · power.
///
/// Entry ((b₁, s₁), (b₂, s₂)) of base ⊗ Sylvester is base[b₁][b₂] · (−1)^popcount(s₁ & s₂), index b · power + s: ±1, so
/// the integer program computes it by additions. `base` need not be symmetric (Paley's are not).
public struct OnlineRotation: Sendable {
    /// `[m, m]`, a Hadamard matrix: entries ±1, orthogonal rows.
    public let base: [[Int8]]
    /// The order of the Sylvester factor, a power of two.
    public let power: Int

    /// Creates a rotation; throws `.mismatch` when `base` is no Hadamard matrix or `power` no power of two.
    public init(base: [[Int8]], power: Int) throws(DyadError) {
        let order = base.count
        var sound = order > 0 && power > 0 && power & (power - 1) == 0
        sound = sound && base.allSatisfy { $0.count == order && $0.allSatisfy { $0 == 1 || $0 == -1 } }
        if sound {
            for i in 0..<order {
                for j in 0..<i where zip(base[i], base[j]).reduce(0, { $0 + Int($1.0) * Int($1.1) }) != 0 {
                    sound = false
                }
            }
        }
        guard sound else {
            throw DyadError(
                .mismatch, subject: "online rotation", found: "base of order \(order), power \(power)",
                expected: "a ±1 matrix with orthogonal rows and a power of two",
                remedy: "Construct the base by Paley's method, or use order 1.")
        }
        self.base = base
        self.power = power
    }

    /// n: the width of a block.
    public var block: Int { base.count * power }

    /// Rotates the last axis of `x`, whose size `block` must divide. Differentiable.
    ///
    /// Of a weight `[out, in]` this gives the one to use after the rotation: (x·H)·(W·H)ᵀ = x·Wᵀ.
    /// Cost: (m + power) multiplications per element.
    public func apply(_ x: Tensor) throws -> Tensor {
        let shape = x.shape
        guard let width = shape.last, width % block == 0 else {
            throw DyadError(
                .mismatch, subject: "online rotation", found: "width \(shape.last ?? 0)",
                expected: "a multiple of \(block)", remedy: "Choose a block that divides the model's intermediate size.")
        }
        let order = base.count
        let sylvester = try matrix(
            (0..<power).flatMap { i in (0..<power).map { j in (i & j).nonzeroBitCount % 2 == 0 ? 1 : -1 } }, power, x)
        var rows = try x.reshape([x.count / block, order, power]).matmul(sylvester)
        if order > 1 {
            // Y[b₂] = Σ base[b₁][b₂] · X[b₁]
            let transposed = (0..<order).flatMap { j in (0..<order).map { i in Float(base[i][j]) } }
            rows = try (try matrix(transposed, order, x)).matmul(rows)
        }
        return try rows.reshape(shape)
    }

    /// The square matrix of ±1 divided by √size.
    private func matrix(_ signs: [Float], _ size: Int, _ like: Tensor) throws -> Tensor {
        let factor = 1 / Double(size).squareRoot()
        return try Tensor(signs.map { Double($0) * factor }, shape: [size, size]).to(like.device, dtype: like.dtype)
    }
}
