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
    /// The only layer whose weights it changes; nil where it changes all.
    var layer: Int? { get }
    /// The transform that the parameters stand for at present, computed in `type`; differentiable in them.
    func current(_ type: DType) throws(DyadError) -> any EquivalentTransform
}

extension LearnableTransform {
    /// The transformed weight.
    func apply(_ key: WeightKey, _ w: Tensor) throws(DyadError) -> Tensor {
        layer == nil || layer == key.layer ? try current(w.dtype).apply(key, w) : w
    }

    /// The transformed prefix keys or values, `[1, keyValueHeads, p, d]`.
    func apply(prefix site: SiteKey, _ x: Tensor) throws(DyadError) -> Tensor {
        layer == nil || layer == site.layer ? try current(x.dtype).apply(prefix: site, x) : x
    }
}

/// Learned channel scalings. s = eᵗ with t from 0, which needs none of the guards against s ≤ 0 of the raw form.
final class LearnableScaling: LearnableTransform {
    private let start: ChannelScaling
    private let log: Tensor

    var parameters: [LearnableParameter] { [LearnableParameter(kind: .scalings, tensor: log)] }
    var layer: Int? { start.layer }

    init(
        _ pair: Recipe.Smoothing.Site, isFeedForward: Bool = false, layer: Int, configuration: DecoderConfiguration
    ) throws(DyadError) {
        log = try Tensor.zeros(ChannelScaling.shape(pair, configuration)).requiresGrad(true)
        start = ChannelScaling(
            pair: pair, isFeedForward: isFeedForward, layer: layer, configuration: configuration, factors: log)
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

    func current(_ type: DType) throws(DyadError) -> any EquivalentTransform {
        var scaling = start
        scaling.factors = try log.to(type).exp()
        return scaling
    }
}

/// Learned rotations R1 (of the residual stream) or R2 (of one layer's values), on the orthogonal manifold by the Cayley
/// transform R = (I − A)(I + A)⁻¹, A = P − Pᵀ with P from 0 (Quant.npu, arXiv 2605.20295). They come on top of what
/// is folded already: the start is the identity.
final class LearnableRotation: LearnableTransform {
    private let generator: Tensor
    /// nil for R1.
    let layer: Int?
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

    func current(_ type: DType) throws(DyadError) -> any EquivalentTransform {
        let rotation = try rotation().to(type)
        guard let layer else { return ResidualRotation(matrix: try rotation.squeeze(0)) }
        return ValueRotation(layer: layer, configuration: configuration, matrices: rotation)
    }
}
