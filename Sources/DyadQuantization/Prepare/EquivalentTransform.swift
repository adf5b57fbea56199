import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer

/// A change of weights under which the float model computes the same function. What it makes of each weight is said once, for factors
/// and matrices of a closed form and for those that are learnt.
protocol EquivalentTransform {
    /// Whether it changes a weight.
    func changes(_ key: WeightKey) -> Bool
    /// The changed weight, in the dtype of `w`; differentiable in both.
    func apply(_ key: WeightKey, _ w: Tensor) throws(DyadError) -> Tensor
    /// The changed keys or values of the prefix, `[1, keyValueHeads, p, d]`.
    func apply(prefix site: SiteKey, _ x: Tensor) throws(DyadError) -> Tensor
}

extension EquivalentTransform {
    /// Most transforms leave the prefix alone.
    func apply(prefix site: SiteKey, _ x: Tensor) throws(DyadError) -> Tensor { x }
}

/// Equivalent channel scaling of one pair of producer and consumer in one layer: what the producer puts out is divided by s, what the
/// consumer reads is multiplied (SmoothQuant, Xiao et al. 2023, for norms; MobileQuant, Tan et al. 2024, §3, for the further pairs).
struct ChannelScaling: EquivalentTransform {
    let pair: Recipe.Smoothing.Site
    /// For ``Recipe/Smoothing/Site/norms``: whether this is the norm before the feed-forward part.
    var isFeedForward = false
    let layer: Int
    let configuration: DecoderConfiguration
    /// s: `[channels]` for norms and up→down, `[keyValueHeads, d]` for v→o, and for q↔k, whose rotary pairs share a factor,
    /// `[keyValueHeads, d − rotated/2]`.
    var factors: Tensor

    /// The shape of ``factors``.
    static func shape(_ pair: Recipe.Smoothing.Site, _ configuration: DecoderConfiguration) -> [Int] {
        let (groups, size) = (configuration.keyValueHeadCount, configuration.headDimension)
        return switch pair {
        case .norms: [configuration.hiddenSize]
        case .upDown: [configuration.intermediateSize]
        case .valueOutput: [groups, size]
        case .queryKey: [groups, size - configuration.rotaryDimension / 2]
        }
    }

    /// What happens to a weight's rows, which a linear puts out, or to its columns, which it reads.
    private enum Change { case divideRows, multiplyRows, multiplyColumns }

    private func change(_ key: WeightKey) -> Change? {
        guard key.layer == layer else { return nil }
        switch (pair, key.weight) {
        case (.norms, .inputNormGain), (.norms, .inputNormBias): return isFeedForward ? nil : .divideRows
        case (.norms, .feedForwardNormGain), (.norms, .feedForwardNormBias): return isFeedForward ? .divideRows : nil
        case (.norms, .qWeight), (.norms, .kWeight), (.norms, .vWeight): return isFeedForward ? nil : .multiplyColumns
        // With a shared norm the feed-forward part reads what attention reads.
        case (.norms, .gateWeight), (.norms, .upWeight):
            return isFeedForward || configuration.sharedNorm ? .multiplyColumns : nil
        // Exact because act(gate)·up is linear in up.
        case (.upDown, .upWeight), (.upDown, .upBias): return .divideRows
        case (.upDown, .downWeight): return .multiplyColumns
        case (.valueOutput, .vWeight), (.valueOutput, .vBias): return .divideRows
        case (.valueOutput, .oWeight): return .multiplyColumns
        case (.queryKey, .qWeight), (.queryKey, .qBias): return .divideRows
        case (.queryKey, .kWeight), (.queryKey, .kBias): return .multiplyRows
        default: return nil
        }
    }

    func changes(_ key: WeightKey) -> Bool { change(key) != nil }

    func apply(_ key: WeightKey, _ w: Tensor) throws(DyadError) -> Tensor {
        guard let change = change(key) else { return w }
        let s = try perChannel(key, w)
        let rows = w.rank == 1 ? s : try s.unsqueeze(1)
        return switch change {
        case .divideRows: try w / rows
        case .multiplyRows: try w * rows
        case .multiplyColumns: try w * s
        }
    }

    func apply(prefix site: SiteKey, _ x: Tensor) throws(DyadError) -> Tensor {
        guard site.layer == layer else { return x }
        switch (pair, site.site) {
        case (.valueOutput, .prefixValues): return try x / factors.to(x.dtype).unsqueeze(1)
        case (.queryKey, .prefixKeys): return try x * pairs(x).unsqueeze(1)
        default: return x
        }
    }

    /// One factor for each channel of a weight.
    private func perChannel(_ key: WeightKey, _ w: Tensor) throws(DyadError) -> Tensor {
        switch (pair, key.weight) {
        case (.norms, _), (.upDown, _): try factors.to(w.dtype)
        case (.valueOutput, .oWeight): try perQuery(factors.to(w.dtype))
        case (.valueOutput, _): try factors.to(w.dtype).reshape([-1])
        case (.queryKey, .qWeight), (.queryKey, .qBias): try perQuery(pairs(w))
        case (.queryKey, _): try pairs(w).reshape([-1])
        }
    }

    /// `[keyValueHeads, d]`: the two channels of a rotary pair share a factor.
    private func pairs(_ like: Tensor) throws(DyadError) -> Tensor {
        let s = try factors.to(like.dtype)
        let half = configuration.rotaryDimension / 2
        let pair = try s.narrow(1, start: 0, length: half)
        return try Tensor.cat([pair, pair, s.narrow(1, start: half, length: s.size(1) - half)], dim: 1)
    }

    /// `[heads · d]` from `[keyValueHeads, d]`: the query heads of a group share factors.
    private func perQuery(_ s: Tensor) throws(DyadError) -> Tensor {
        let (groups, size) = (configuration.keyValueHeadCount, configuration.headDimension)
        let share = configuration.headCount / groups
        return try s.unsqueeze(1).expand([groups, share, size]).reshape([-1])
    }
}

/// R1: rotates the residual stream (QuaRot, Ashkboos et al. 2024). E ← E·R; W ← W·R for what reads the stream; W ← Rᵀ·W and b ← b·R
/// for what writes it. Row vectors, y = x·Wᵀ.
struct ResidualRotation: EquivalentTransform {
    /// `[hidden, hidden]`, orthonormal.
    let matrix: Tensor

    private enum Change { case reads, writes, shifts }

    private static func change(_ key: WeightKey) -> Change? {
        switch key.weight {
        case .embedding, .qWeight, .kWeight, .vWeight, .gateWeight, .upWeight, .headWeight: .reads
        case .oWeight, .downWeight: .writes
        case .oBias, .downBias: .shifts
        default: nil
        }
    }

    func changes(_ key: WeightKey) -> Bool { Self.change(key) != nil }

    func apply(_ key: WeightKey, _ w: Tensor) throws(DyadError) -> Tensor {
        guard let change = Self.change(key) else { return w }
        let matrix = try matrix.to(w.dtype)
        return switch change {
        case .reads: try w.matmul(matrix)
        case .writes: try matrix.transpose().matmul(w)
        case .shifts: try w.unsqueeze(0).matmul(matrix).squeeze(0)
        }
    }
}

/// R2: rotates each key/value head's values in one layer; the output projection turns them back. Shared by the query heads of a group.
struct ValueRotation: EquivalentTransform {
    let layer: Int
    let configuration: DecoderConfiguration
    /// `[keyValueHeads, d, d]`, orthonormal.
    let matrices: Tensor

    func changes(_ key: WeightKey) -> Bool {
        key.layer == layer && [.vWeight, .vBias, .oWeight].contains(key.weight)
    }

    func apply(_ key: WeightKey, _ w: Tensor) throws(DyadError) -> Tensor {
        guard changes(key) else { return w }
        let (groups, size) = (configuration.keyValueHeadCount, configuration.headDimension)
        let share = configuration.headCount / groups
        let matrices = try matrices.to(w.dtype)
        switch key.weight {
        case .vWeight:
            // Rᵀ·W for the rows of each head.
            return try matrices.transpose().matmul(w.reshape([groups, size, -1])).reshape(w.shape)
        case .vBias:
            return try w.reshape([groups, 1, size]).matmul(matrices).reshape([-1])
        default:
            let columns = try w.reshape([-1, groups, share, size]).permute([1, 0, 2, 3]).reshape([groups, -1, size])
            let hidden = try w.size(0)
            return try columns.matmul(matrices).reshape([groups, hidden, share, size])
                .permute([1, 0, 2, 3]).reshape(w.shape)
        }
    }

    func apply(prefix site: SiteKey, _ x: Tensor) throws(DyadError) -> Tensor {
        guard site.layer == layer, site.site == .prefixValues else { return x }
        return try x.matmul(matrices.to(x.dtype))
    }
}

extension DecoderWeights {
    /// Replaces what `transforms` change, one after the other, in float64; the weights keep their dtype.
    mutating func fold(_ transforms: [any EquivalentTransform], layer: Int? = nil) throws(DyadError) {
        for key in keys where layer == nil || key.layer == layer {
            let changing = transforms.filter { $0.changes(key) }
            guard !changing.isEmpty, let weight = self[key] else { continue }
            func changed(_ w: Tensor) throws(DyadError) -> Tensor {
                var wide = try w.to(.float64)
                for transform in changing { wide = try transform.apply(key, wide) }
                return try wide.to(w.dtype).contiguous()
            }
            // The tables' rows, tokens, are changed apart from each other; other matrices are small.
            self[key] =
                key.layer == nil && weight.rank == 2
                ? try Transform.byRows(weight, changed) : try changed(weight)
        }
    }

    /// Gives the norms before linears that have none a gain of ones, so that a scaling has something to divide.
    mutating func giveGains(hiddenSize: Int) throws(DyadError) {
        let ones = try Tensor.ones([hiddenSize])
        for layer in blocks.indices {
            if let norm = blocks[layer].inputNorm, norm.gain == nil { blocks[layer].inputNorm?.gain = ones }
            if let norm = blocks[layer].feedForwardNorm, norm.gain == nil { blocks[layer].feedForwardNorm?.gain = ones }
        }
    }
}
