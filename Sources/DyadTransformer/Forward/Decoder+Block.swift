import DyadCheckpoint
import DyadFormats
import enum DyadGraph.ActivationFunction
import DyadTensor

extension Decoder {
    /// One block: `[batch, tokens, hidden]` to the same.
    ///
    /// The block visits its own input (``SiteKey/blockInput(_:layerCount:)``), so hidden states stored between two
    /// blocks are the plain sums, and everything that a block needs to be calibrated is seen inside this call.
    /// Without a cache the tokens stand at positions p, p + 1, ... (p: prefix length); with one, after what it holds.
    public func blockForward(
        _ layer: Int, _ hidden: Tensor, cache: KeyValueCache? = nil, visitor: (any SiteVisitor)? = nil
    ) throws -> Tensor {
        let pass = Pass(layer: layer, visitor: visitor)
        let weights = weights.blocks[layer]

        let input =
            layer == 0
            ? try Pass(layer: nil, visitor: visitor).site(.embeddingOutput, hidden)
            : try pass.site(.residual, hidden)
        var attentionInput = input
        if let inputNorm = weights.inputNorm {
            attentionInput = try pass.site(
                .attentionNormOutput, try norm(input, inputNorm, .inputNormGain, .inputNormBias, pass))
        }

        var attention = try attend(attentionInput, weights, cache: cache, pass)
        if let postNorm = weights.postAttentionNorm {
            attention = try pass.site(
                .postAttentionNormOutput,
                try norm(attention, postNorm, .postAttentionNormGain, .postAttentionNormBias, pass))
        }
        let residual = try pass.site(.attentionResidual, try input + attention)

        var feedForwardInput = attentionInput
        if let feedForwardNorm = weights.feedForwardNorm {
            feedForwardInput = try pass.site(
                .feedForwardNormOutput,
                try norm(
                    configuration.parallelResidual ? input : residual, feedForwardNorm, .feedForwardNormGain,
                    .feedForwardNormBias, pass))
        }
        var output = try feedForward(feedForwardInput, weights, pass)
        if let postNorm = weights.postFeedForwardNorm {
            output = try pass.site(
                .postFeedForwardNormOutput,
                try norm(output, postNorm, .postFeedForwardNormGain, .postFeedForwardNormBias, pass))
        }
        return try residual + output
    }

    /// down(activation(gate(x)) · up(x)), or down(activation(up(x))) without a gate.
    private func feedForward(_ x: Tensor, _ weights: BlockWeights, _ pass: Pass) throws -> Tensor {
        var inner: Tensor
        if let gateProj = weights.gateProj {
            let gate = try pass.site(.gateOutput, try pass.linear(x, gateProj, .gateWeight, .gateBias))
            let up = try pass.site(.upOutput, try pass.linear(x, weights.upProj, .upWeight, .upBias))
            let activated = try pass.site(.activationOutput, try configuration.activation(gate))
            inner = try pass.site(.product, try activated * up)
        } else {
            let up = try pass.site(.upOutput, try pass.linear(x, weights.upProj, .upWeight, .upBias))
            inner = try pass.site(.activationOutput, try configuration.activation(up))
        }
        if let onlineRotation {
            inner = try pass.site(.downInput, try onlineRotation.apply(inner))
        }
        return try pass.site(.downOutput, try pass.linear(inner, weights.downProj, .downWeight, .downBias))
    }

    /// o_proj(attention(q_proj(x), k_proj(x), v_proj(x))).
    private func attend(
        _ x: Tensor, _ weights: BlockWeights, cache: KeyValueCache?, _ pass: Pass
    ) throws -> Tensor {
        let (batch, tokens) = (try x.size(0), try x.size(1))
        let (heads, keyValueHeads) = (configuration.headCount, configuration.keyValueHeadCount)
        let layer = pass.layer ?? 0
        let start = (prefix?.count ?? 0) + (cache?.length(of: layer) ?? 0)

        var q = try pass.site(.qOutput, try pass.linear(x, weights.qProj, .qWeight, .qBias))
        var k = try pass.site(.kOutput, try pass.linear(x, weights.kProj, .kWeight, .kBias))
        let v = try pass.site(.vOutput, try pass.linear(x, weights.vProj, .vWeight, .vBias))
        if let qNorm = weights.qNorm {
            q = try pass.site(.qNormOutput, try headNorm(q, qNorm, .qNormGain, heads, pass))
        }
        if let kNorm = weights.kNorm {
            k = try pass.site(.kNormOutput, try headNorm(k, kNorm, .kNormGain, keyValueHeads, pass))
        }
        try rotary.extend(to: start + tokens)
        q = try pass.site(.qRotated, try rotary.apply(q, heads: heads, start: start))
        k = try pass.site(.kRotated, try rotary.apply(k, heads: keyValueHeads, start: start))

        var keys = try k.reshape([batch, tokens, keyValueHeads, configuration.headDimension]).transpose(1, 2)
        var values = try v.reshape([batch, tokens, keyValueHeads, configuration.headDimension]).transpose(1, 2)
        if let cache {
            (keys, values) = try cache.append(keys, values, layer: layer)
        }
        if let prefix {
            keys = try prefix.prepend(prefix.blocks[layer].keys, .prefixKeys, to: keys, pass)
            values = try prefix.prepend(prefix.blocks[layer].values, .prefixValues, to: values, pass)
        }
        let attention = Attention(
            form: attentionForm, prefixCount: prefix?.count ?? 0,
            mask: try masks.mask(tokens: tokens, start: start, device: device), configuration: configuration)
        let mixed = try attention.apply(
            try q.reshape([batch, tokens, heads, configuration.headDimension]).transpose(1, 2), keys, values, pass)
        return try pass.site(.oOutput, try pass.linear(mixed, weights.oProj, .oWeight, .oBias))
    }

    /// RMS norm over each head.
    private func headNorm(
        _ x: Tensor, _ w: NormalizationWeights, _ gain: WeightKey.Weight, _ heads: Int, _ pass: Pass
    ) throws -> Tensor {
        let shape = x.shape
        return try x.reshape([shape[0], shape[1], heads, configuration.headDimension])
            .rmsNorm(weight: try pass.optional(gain, w.gain), eps: configuration.normEpsilon).reshape(shape)
    }
}

extension ActivationFunction {
    /// The function of every element.
    public func callAsFunction(_ x: Tensor) throws(DyadError) -> Tensor {
        switch self {
        case .silu: try x.silu()
        case .gelu: try x.gelu(.none)
        case .geluTanh: try x.gelu(.tanh)
        case .relu: try x.relu()
        }
    }
}
