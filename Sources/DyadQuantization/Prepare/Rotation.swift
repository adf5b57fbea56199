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

    /// R1: rotates the residual stream. Norm gains must be folded first, and the head untied.
    ///
    /// E ← E·R; W ← W·R for everything that reads the stream; W ← Rᵀ·W, b ← b·R for what writes it.
    static func rotateResidual(
        _ weights: inout DecoderWeights, configuration: DecoderConfiguration, by rotation: Tensor
    ) throws(DyadError) {
        try requireRotatable(weights, configuration)
        weights.embedding = try rotated(weights.embedding, inputs: rotation)
        for layer in weights.blocks.indices {
            for path in [\BlockWeights.qProj, \.kProj, \.vProj, \.upProj] {
                let weight = weights.blocks[layer][keyPath: path].weight
                weights.blocks[layer][keyPath: path].weight = try rotated(weight, inputs: rotation)
            }
            if let gate = weights.blocks[layer].gateProj {
                weights.blocks[layer].gateProj?.weight = try rotated(gate.weight, inputs: rotation)
            }
            for path in [\BlockWeights.oProj, \.downProj] {
                let linear = weights.blocks[layer][keyPath: path]
                weights.blocks[layer][keyPath: path].weight = try rotated(linear.weight, outputs: rotation)
                if let bias = linear.bias {
                    weights.blocks[layer][keyPath: path].bias = try rotated(bias.unsqueeze(0), inputs: rotation)
                        .squeeze(0)
                }
            }
        }
        if let head = weights.head { weights.head?.weight = try rotated(head.weight, inputs: rotation) }
    }

    /// Rotation commutes with RMS normalisation only, and nothing with a gain may stand between a writer and the stream.
    private static func requireRotatable(
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

    /// R2: rotates each key/value head's values; the output projection turns them back. Shared by the query heads of a group.
    ///
    /// - Parameter rotations: one `[headDimension, headDimension]` per key/value head.
    static func rotateValues(
        _ block: inout BlockWeights, configuration: DecoderConfiguration, by rotations: [Tensor]
    ) throws(DyadError) {
        let size = configuration.headDimension
        let share = configuration.headCount / configuration.keyValueHeadCount
        var valueRows: [Tensor] = []
        var valueBias: [Tensor] = []
        var outputColumns: [Tensor] = []
        for (head, rotation) in rotations.enumerated() {
            let rows = try block.vProj.weight.narrow(0, start: head * size, length: size)
            valueRows.append(try rotated(rows, outputs: rotation))
            if let bias = block.vProj.bias {
                let part = try bias.narrow(0, start: head * size, length: size).unsqueeze(0)
                valueBias.append(try rotated(part, inputs: rotation).squeeze(0))
            }
            for query in head * share..<(head + 1) * share {
                let columns = try block.oProj.weight.narrow(1, start: query * size, length: size)
                outputColumns.append(try rotated(columns, inputs: rotation))
            }
        }
        block.vProj.weight = try Tensor.cat(valueRows, dim: 0)
        if !valueBias.isEmpty { block.vProj.bias = try Tensor.cat(valueBias, dim: 0) }
        block.oProj.weight = try Tensor.cat(outputColumns, dim: 1)
    }

    /// R4: folds the inverse of the online rotation into down_proj: W ← W·H, so that (x·H)·(W·H)ᵀ = x·Wᵀ.
    static func rotateDownProjection(_ block: inout BlockWeights, by rotation: OnlineRotation) throws {
        let weight = block.downProj.weight
        block.downProj.weight = try rotation.apply(weight.to(.float64)).to(weight.dtype)
    }

    /// W·R.
    private static func rotated(_ weight: Tensor, inputs rotation: Tensor) throws(DyadError) -> Tensor {
        try byRows(weight) { part throws(DyadError) in try part.to(.float64).matmul(rotation) }
    }

    /// Rᵀ·W.
    private static func rotated(_ weight: Tensor, outputs rotation: Tensor) throws(DyadError) -> Tensor {
        try rotation.transpose().matmul(weight.to(.float64)).to(weight.dtype).contiguous()
    }
}
