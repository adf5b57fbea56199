import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer

/// Equivalent transforms: each changes weights so that the float function stays the same. Arithmetic is float64; the
/// weights keep their dtype.
enum Transform {
    /// Multiplies every norm's gain (and adds its bias' effect) into the linears that read it, and drops the gain.
    ///
    /// W ← W·diag(g), b ← b + W·β. Post-norms and query/key norms stay, since no linear reads them.
    static func foldNorms(_ weights: inout DecoderWeights) throws(DyadError) {
        weights.untieHead()
        for layer in weights.blocks.indices {
            let block = weights.blocks[layer]
            for path in [\BlockWeights.qProj, \.kProj, \.vProj] {
                try fold(block.inputNorm, into: &weights.blocks[layer][keyPath: path])
            }
            // With a shared norm the feed-forward part reads what attention reads.
            let feedForwardNorm = block.feedForwardNorm ?? block.inputNorm
            try fold(feedForwardNorm, into: &weights.blocks[layer].upProj)
            if var gate = block.gateProj {
                try fold(feedForwardNorm, into: &gate)
                weights.blocks[layer].gateProj = gate
            }
            // Present, but without gain and bias: it still normalises.
            weights.blocks[layer].inputNorm = block.inputNorm.map { _ in NormalizationWeights() }
            weights.blocks[layer].feedForwardNorm = block.feedForwardNorm.map { _ in NormalizationWeights() }
        }
        if var head = weights.head {
            try fold(weights.finalNorm, into: &head)
            weights.head = head
        }
        weights.finalNorm = NormalizationWeights()
    }

    private static func fold(_ norm: NormalizationWeights?, into linear: inout LinearWeights) throws(DyadError) {
        guard let norm else { return }
        if let bias = norm.bias {
            // W·β with the weight as it is before the gain goes in.
            let shift = try linear.weight.to(.float64).matmul(bias.to(.float64))
            let old = try linear.bias.map { bias throws(DyadError) in try bias.to(.float64) + shift } ?? shift
            linear.bias = try old.to(linear.weight.dtype)
        }
        if let gain = norm.gain { linear.weight = try scaled(linear.weight, columns: gain) }
    }

    /// W·diag(s): multiplies input channels.
    static func scaled(_ weight: Tensor, columns: Tensor) throws(DyadError) -> Tensor {
        let factors = try columns.to(.float64)
        return try byRows(weight) { part throws(DyadError) in try part.to(.float64) * factors }
    }

    /// Elements of a matrix that are float64 at a time: an embedding of a large vocabulary would be, four times over, what the rest of
    /// the model is.
    private static let wideElements = 1 << 22

    /// Changes a matrix some rows at a time; the result has its dtype.
    static func byRows(
        _ weight: Tensor, _ change: (Tensor) throws(DyadError) -> Tensor
    ) throws(DyadError) -> Tensor {
        let (rows, columns) = (try weight.size(0), try weight.size(1))
        let share = max(1, wideElements / max(columns, 1))
        guard rows > share else { return try change(weight).to(weight.dtype).contiguous() }
        var parts: [Tensor] = []
        for start in stride(from: 0, to: rows, by: share) {
            let part = try weight.narrow(0, start: start, length: min(share, rows - start))
            parts.append(try change(part).to(weight.dtype))
        }
        return try Tensor.cat(parts, dim: 0)
    }
}
