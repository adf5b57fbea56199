import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer

/// Rotations in the sense of QuaRot (Ashkboos et al. 2024) and SpinQuant (Liu et al. 2024): R1 and R2 fold into the
/// weights, R4 is executed by the program as a ±1 matrix. Row vectors, y = x·Wᵀ (Quant.npu, arXiv 2605.20295).
extension Transform {
    /// A random-sign Hadamard rotation of `size`, orthonormal, float64: diag(±1)·H, block-diagonal where no Hadamard
    /// matrix of that order is known to us.
    static func randomHadamard(_ size: Int, generator: Generator) throws(DyadError) -> Tensor {
        let block = BlockHadamard(width: size)
        let matrix = try block.matrix()
        let signs = try Tensor.randint(0..<2, [size, 1], generator: generator).to(.float64) * 2.0 - 1.0
        guard block.block < size else { return try matrix * signs }
        let result = try Tensor.zeros([size, size], dtype: .float64)
        for start in stride(from: 0, to: size, by: block.block) {
            try result.narrow(0, start: start, length: block.block).assign(matrix, dim: 1, start: start)
        }
        return try result * signs
    }

    /// Throws where R1 would change the function: rotation commutes with RMS normalisation only, and nothing with a gain may stand
    /// between a writer and the stream.
    static func requireRotatable(
        _ weights: DecoderWeights, _ configuration: DecoderConfiguration
    ) throws(DyadError) {
        let hasGain =
            weights.finalNorm.gain != nil
            || weights.blocks.contains { $0.inputNorm?.gain != nil || $0.feedForwardNorm?.gain != nil }
        guard configuration.normKind == .rms, !configuration.postNorms, !hasGain, weights.head != nil else {
            throw DyadError(
                .unsupported, subject: "rotation.residual",
                found: configuration.postNorms
                    ? "norms between attention or feed-forward part and the residual stream"
                    : "\(configuration.normKind) norms" + (hasGain ? " with gains that are not folded" : ""),
                expected: "RMS norms whose gains fold into linears",
                remedy: "Use a recipe without rotation.residual for this model.")
        }
    }

    /// R4: folds the inverse of the online rotation into down_proj: W ← W·H, so that (x·H)·(W·H)ᵀ = x·Wᵀ.
    static func rotateDownProjection(_ block: inout BlockWeights, by rotation: OnlineRotation) throws {
        let weight = block.downProj.weight
        block.downProj.weight = try rotation.apply(weight.to(.float64)).to(weight.dtype)
    }
}
