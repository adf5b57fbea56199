import DyadFormats
import DyadTensor

/// Damped second moments of channels, largest first, and the factors with which rounding compensates its errors.
struct OrderedMoments {
    /// The channels by falling moment.
    let order: [Int]
    /// E[x²] of every channel over the mean, in the channels' own order.
    let relativeDiagonal: [Float]
    /// float64 `[n, n]`, in ``order``.
    private let matrix: Tensor
    /// The same in the channels' own order.
    private let damped: Tensor

    /// - Parameters:
    ///   - moments: float64 `[n, n]`.
    ///   - damping: a share of the mean moment, added to the diagonal.
    init(_ moments: Tensor, damping: Double) throws {
        let diagonal = try moments.diagonal().toArray(Double.self)
        let sum = diagonal.reduce(0, +)
        // Channels that are always zero have no moments; every rounding is as good then.
        let mean = sum > 0 ? sum / Double(diagonal.count) : 1
        damped = try moments + Tensor.eye(diagonal.count, dtype: .float64) * (damping * mean)
        let order = diagonal.indices.sorted { (diagonal[$0], $1) > (diagonal[$1], $0) }
        let index = try Tensor(order.map { Int64($0) })
        matrix = try damped.indexSelect(0, index).indexSelect(1, index)
        relativeDiagonal = diagonal.map { Float($0 / mean) }
        self.order = order
    }

    /// H, damped, over its mean, in the channels' own order, row-major.
    func hessian() throws -> [Float] {
        try (damped / damped.diagonal().mean()).to(.float32).toArray(Float.self)
    }

    /// U with H⁻¹ = UᵀU, upper triangular, row-major.
    func inverseFactor() throws -> [Float] {
        try matrix.cholesky().choleskyInverse().cholesky(upper: true).to(.float32).toArray(Float.self)
    }
}
