import DyadFormats
import DyadGraph
import DyadTensor

/// The ±1 matrix of a Hadamard operation, `base ⊗ Sylvester(power)`, applied to every block of the last axis.
struct BlockHadamard: Equatable, Sendable {
    /// Rows of the base matrix, `+` and `-`.
    let baseRows: [String]
    let power: Int

    init(baseRows: [String], power: Int) {
        (self.baseRows, self.power) = (baseRows, power)
    }

    var block: Int { baseRows.count * power }
    /// 1/√block: what makes the matrix orthonormal.
    var normalization: Float { Float(1 / Double(block).squareRoot()) }

    /// The largest constructible block for a width (for 1536: 12 ⊗ 128).
    init(width: Int) {
        let block = HadamardMatrix.largestBlock(dividing: width)
        (baseRows, power) = (block.base.signs, block.power)
    }

    /// The base matrix, float64 `[n, n]`.
    func base() throws(DyadError) -> Tensor {
        let entries = baseRows.flatMap { row in row.map { $0 == "+" ? 1.0 : -1.0 } }
        return try Tensor(entries, shape: [baseRows.count, baseRows.count])
    }

    /// The orthonormal matrix of one block, float64 `[block, block]`.
    func matrix() throws(DyadError) -> Tensor {
        var matrix = try base()
        var size = baseRows.count
        for _ in 0..<power.trailingZeroBitCount {
            // [M M; M −M] puts the Sylvester index first; the operation has it last, so interleave instead.
            let pair = try Tensor([1.0, 1.0, 1.0, -1.0], shape: [2, 2])
            matrix = try (matrix.reshape([size, 1, size, 1]) * pair.reshape([1, 2, 1, 2])).reshape([2 * size, 2 * size])
            size *= 2
        }
        return try matrix * Double(block).squareRoot().reciprocal
    }
}

extension Double {
    fileprivate var reciprocal: Double { 1 / self }
}
