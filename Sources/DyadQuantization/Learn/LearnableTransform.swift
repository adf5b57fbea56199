import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer

/// An equivalent transform with learnable parameters: weights as differentiable functions of the float ones.
///
/// Folding is the same function without gradients, so what was learnt is what is folded.
protocol LearnableTransform: AnyObject {
    /// The parameters.
    var parameters: [LearnableParameter] { get }
    /// The transformed weight.
    func apply(_ key: WeightKey, _ w: Tensor) throws(DyadError) -> Tensor
    /// The transformed prefix keys or values, `[1, keyValueHeads, p, d]`.
    func apply(prefix site: SiteKey, _ x: Tensor) throws(DyadError) -> Tensor
}

extension LearnableTransform {
    /// Most transforms leave the prefix alone.
    func apply(prefix site: SiteKey, _ x: Tensor) throws(DyadError) -> Tensor { x }
}

/// Learned channel scalings of one pair of producer and consumer in one layer (MobileQuant, Tan et al. 2024, §3): what the
/// producer puts out is divided by s, what the consumer reads is multiplied. s = eᵗ with t from 0, which needs none of the
/// guards against s ≤ 0 of the raw form.
final class LearnableScaling: LearnableTransform {
    private let pair: Recipe.Smoothing.Site
    /// For ``Recipe/Smoothing/Site/norms``: whether this is the norm before the feed-forward part.
    private let isFeedForward: Bool
    let layer: Int
    private let configuration: DecoderConfiguration
    private let log: Tensor

    var parameters: [LearnableParameter] { [LearnableParameter(kind: .scalings, tensor: log)] }

    init(
        _ pair: Recipe.Smoothing.Site, isFeedForward: Bool = false, layer: Int, configuration: DecoderConfiguration
    ) throws(DyadError) {
        (self.pair, self.isFeedForward, self.layer) = (pair, isFeedForward, layer)
        self.configuration = configuration
        let (groups, size) = (configuration.keyValueHeadCount, configuration.headDimension)
        let shape =
            switch pair {
            case .norms: [configuration.hiddenSize]
            case .upDown: [configuration.intermediateSize]
            case .valueOutput: [groups, size]
            // One factor for each rotary pair, one for each channel that is not rotated.
            case .queryKey: [groups, size - configuration.rotaryDimension / 2]
            }
        log = try Tensor.zeros(shape).requiresGrad(true)
    }

    /// The scalings of a site set that a model has, for all layers.
    static func all(
        _ sites: Set<Recipe.Smoothing.Site>, of decoder: Decoder
    ) throws(DyadError) -> [LearnableScaling] {
        let configuration = decoder.configuration
        var result: [LearnableScaling] = []
        for layer in decoder.weights.blocks.indices {
            func add(_ pair: Recipe.Smoothing.Site, isFeedForward: Bool = false) throws(DyadError) {
                result.append(
                    try LearnableScaling(pair, isFeedForward: isFeedForward, layer: layer, configuration: configuration)
                )
            }
            if sites.contains(.norms) {
                if decoder.weights.blocks[layer].inputNorm != nil { try add(.norms) }
                if decoder.weights.blocks[layer].feedForwardNorm != nil { try add(.norms, isFeedForward: true) }
            }
            // After an online rotation the channels of down_proj are no longer those of up_proj.
            if sites.contains(.upDown), configuration.gated, decoder.onlineRotation == nil { try add(.upDown) }
            if sites.contains(.valueOutput) { try add(.valueOutput) }
            if sites.contains(.queryKey), !configuration.queryKeyNorm { try add(.queryKey) }
        }
        return result
    }

    func apply(_ key: WeightKey, _ w: Tensor) throws(DyadError) -> Tensor {
        guard key.layer == layer else { return w }
        switch (pair, key.weight) {
        case (.norms, .inputNormGain) where !isFeedForward, (.norms, .inputNormBias) where !isFeedForward,
            (.norms, .feedForwardNormGain) where isFeedForward, (.norms, .feedForwardNormBias) where isFeedForward:
            return try w / factors(w)
        case (.norms, .qWeight) where !isFeedForward, (.norms, .kWeight) where !isFeedForward,
            (.norms, .vWeight) where !isFeedForward:
            return try w * factors(w)
        case (.norms, .gateWeight), (.norms, .upWeight):
            // With a shared norm the feed-forward part reads what attention reads.
            return isFeedForward || configuration.sharedNorm ? try w * factors(w) : w
        case (.upDown, .upWeight): return try w / factors(w).unsqueeze(1)
        case (.upDown, .upBias): return try w / factors(w)
        case (.upDown, .downWeight): return try w * factors(w)
        case (.valueOutput, .vWeight): return try w / factors(w).reshape([-1, 1])
        case (.valueOutput, .vBias): return try w / factors(w).reshape([-1])
        case (.valueOutput, .oWeight): return try w * perQuery(factors(w))
        case (.queryKey, .qWeight): return try w / perQuery(pairs(w)).unsqueeze(1)
        case (.queryKey, .qBias): return try w / perQuery(pairs(w))
        case (.queryKey, .kWeight): return try w * pairs(w).reshape([-1, 1])
        case (.queryKey, .kBias): return try w * pairs(w).reshape([-1])
        default: return w
        }
    }

    func apply(prefix site: SiteKey, _ x: Tensor) throws(DyadError) -> Tensor {
        guard site.layer == layer else { return x }
        switch (pair, site.site) {
        case (.valueOutput, .prefixValues): return try x / factors(x).unsqueeze(1)
        case (.queryKey, .prefixKeys): return try x * pairs(x).unsqueeze(1)
        default: return x
        }
    }

    private func factors(_ like: Tensor) throws(DyadError) -> Tensor { try log.to(like.dtype).exp() }

    /// `[keyValueHeads, d]`: the two channels of a rotary pair share a factor.
    private func pairs(_ like: Tensor) throws(DyadError) -> Tensor {
        let s = try factors(like)
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

/// Learned rotations R1 (of the residual stream) or R2 (of one layer's values), on the orthogonal manifold by the Cayley
/// transform R = (I − A)(I + A)⁻¹, A = P − Pᵀ with P from 0 (Quant.npu, arXiv 2605.20295). They come on top of what
/// is folded already: the start is the identity.
final class LearnableRotation: LearnableTransform {
    private let generator: Tensor
    /// nil for R1.
    private let layer: Int?
    private let configuration: DecoderConfiguration
    /// The rotation of the current values of the parameters, for one forward pass.
    private var cached: Tensor?

    var parameters: [LearnableParameter] { [LearnableParameter(kind: .rotations, tensor: generator)] }

    /// R1 for a nil layer, else the R2s of that layer.
    init(layer: Int?, configuration: DecoderConfiguration) throws(DyadError) {
        (self.layer, self.configuration) = (layer, configuration)
        let size = configuration.headDimension
        generator = try Tensor.zeros(
            layer == nil
                ? [1, configuration.hiddenSize, configuration.hiddenSize]
                : [configuration.keyValueHeadCount, size, size]
        ).requiresGrad(true)
    }

    /// `[1 or keyValueHeads, n, n]`, differentiable; made once until ``forget()``.
    private func rotation() throws(DyadError) -> Tensor {
        if let cached { return cached }
        let wide = try generator.to(.float64)
        let skew = try wide - wide.transpose()
        let identity = try Tensor.eye(wide.size(-1), dtype: .float64)
        // (I + A) R = (I − A): the two commute.
        let made = try (identity + skew).solve(identity - skew)
        cached = made
        return made
    }

    /// Starts a pass with changed parameters.
    func forget() { cached = nil }

    /// max |RᵀR − I|.
    func orthogonalityError() throws(DyadError) -> Double {
        try withNoGrad { () throws(DyadError) in
            forget()
            defer { forget() }
            let r = try rotation()
            return try (r.transpose().matmul(r) - Tensor.eye(r.size(-1), dtype: .float64)).abs().max().item()
        }
    }

    /// R1 on activations: x·R, or x·Rᵀ for what leaves the network.
    func rotate(_ x: Tensor, inverse: Bool = false) throws(DyadError) -> Tensor {
        let matrix = try rotation().to(x.dtype).squeeze(0)
        return try x.matmul(inverse ? matrix.transpose() : matrix)
    }

    func apply(_ key: WeightKey, _ w: Tensor) throws(DyadError) -> Tensor {
        if layer == nil { return try rotateResidual(key, w) }
        guard key.layer == layer else { return w }
        let (groups, size) = (configuration.keyValueHeadCount, configuration.headDimension)
        let share = configuration.headCount / groups
        switch key.weight {
        case .vWeight:
            // Rᵀ·W for the rows of each head.
            return try rotation().to(w.dtype).transpose().matmul(w.reshape([groups, size, -1])).reshape(w.shape)
        case .vBias:
            return try w.reshape([groups, 1, size]).matmul(rotation().to(w.dtype)).reshape([-1])
        case .oWeight:
            let columns = try w.reshape([-1, groups, share, size]).permute([1, 0, 2, 3]).reshape([groups, -1, size])
            let hidden = try w.size(0)
            return try columns.matmul(rotation().to(w.dtype)).reshape([groups, hidden, share, size])
                .permute([1, 0, 2, 3]).reshape(w.shape)
        default: return w
        }
    }

    private func rotateResidual(_ key: WeightKey, _ w: Tensor) throws(DyadError) -> Tensor {
        switch key.weight {
        case .embedding, .qWeight, .kWeight, .vWeight, .gateWeight, .upWeight, .headWeight:
            return try w.matmul(rotation().to(w.dtype).squeeze(0))
        case .oWeight, .downWeight: return try rotation().to(w.dtype).squeeze(0).transpose().matmul(w)
        case .oBias, .downBias: return try w.unsqueeze(0).matmul(rotation().to(w.dtype).squeeze(0)).squeeze(0)
        default: return w
        }
    }

    func apply(prefix site: SiteKey, _ x: Tensor) throws(DyadError) -> Tensor {
        guard let layer, site.layer == layer, site.site == .prefixValues else { return x }
        return try x.matmul(rotation().to(x.dtype))
    }
}
