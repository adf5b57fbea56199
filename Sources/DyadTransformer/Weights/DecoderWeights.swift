import DyadCheckpoint
import DyadFormats
import DyadTensor

/// All weights of a decoder. Tensors are never changed in place: a transform replaces them.
public struct DecoderWeights: Sendable {
    /// `[vocabulary, hidden]`
    public var embedding: Tensor
    /// One per layer.
    public var blocks: [BlockWeights]
    /// Before the head.
    public var finalNorm: NormalizationWeights
    /// `[vocabulary, hidden]`; nil when the embedding serves as the head (tied).
    public var head: LinearWeights?

    /// Creates the weights.
    public init(embedding: Tensor, blocks: [BlockWeights], finalNorm: NormalizationWeights, head: LinearWeights?) {
        self.embedding = embedding
        self.blocks = blocks
        self.finalNorm = finalNorm
        self.head = head
    }

    /// The head, or the embedding where it serves as one.
    public var effectiveHead: LinearWeights { head ?? LinearWeights(weight: embedding) }

    /// Gives the head a matrix of its own, equal to the embedding until one of them is transformed.
    public mutating func untieHead() {
        if head == nil { head = LinearWeights(weight: embedding) }
    }

    /// The tensor with that key; nil where the model has none. Setting as in ``BlockWeights``.
    public subscript(_ key: WeightKey) -> Tensor? {
        get {
            if let layer = key.layer { return blocks.indices.contains(layer) ? blocks[layer][key.weight] : nil }
            return switch key.weight {
            case .embedding: embedding
            case .finalNormGain: finalNorm.gain
            case .finalNormBias: finalNorm.bias
            case .headWeight: head?.weight
            case .headBias: head?.bias
            default: nil
            }
        }
        set {
            if let layer = key.layer {
                blocks[layer][key.weight] = newValue
                return
            }
            switch (key.weight, newValue) {
            case (.embedding, let value?): embedding = value
            case (.finalNormGain, _): finalNorm.gain = newValue
            case (.finalNormBias, _): finalNorm.bias = newValue
            case (.headWeight, nil): head = nil
            case (.headWeight, let value?): head = LinearWeights(weight: value, bias: head?.bias)
            case (.headBias, _): head?.bias = newValue
            default: preconditionFailure("\(key.name) cannot be set")
            }
        }
    }

    /// The keys of all tensors there are, in the order of the forward pass.
    public var keys: [WeightKey] {
        let outside = WeightKey.Weight.allCases.filter { !$0.isInBlock }.map { WeightKey($0) }
        let inside = blocks.indices.flatMap { layer in
            WeightKey.Weight.allCases.filter(\.isInBlock).map { WeightKey($0, layer: layer) }
        }
        return (outside.prefix(1) + inside + outside.dropFirst()).filter { self[$0] != nil }
    }
}

extension DecoderWeights {
    /// Assembles weights from a source of tensors, asked once for every key that may exist.
    ///
    /// Throws `.mismatch` when a matrix is missing that every decoder has.
    public init(layerCount: Int, tensor: (WeightKey) throws -> Tensor?) throws {
        func required(_ key: WeightKey) throws -> Tensor {
            guard let found = try tensor(key) else {
                throw DyadError(
                    .mismatch, subject: key.checkpointName, found: "no such tensor", expected: "a weight matrix",
                    remedy: "Check that the checkpoint is complete.")
            }
            return found
        }
        let blocks = try (0..<layerCount).map { layer in
            func key(_ weight: WeightKey.Weight) -> WeightKey { WeightKey(weight, layer: layer) }
            func linear(_ weight: WeightKey.Weight) throws -> LinearWeights {
                LinearWeights(weight: try required(key(weight)))
            }
            var block = BlockWeights(
                qProj: try linear(.qWeight), kProj: try linear(.kWeight), vProj: try linear(.vWeight),
                oProj: try linear(.oWeight),
                gateProj: try tensor(key(.gateWeight)).map { LinearWeights(weight: $0) },
                upProj: try linear(.upWeight), downProj: try linear(.downWeight))
            func norm(_ gain: WeightKey.Weight, _ bias: WeightKey.Weight? = nil) throws -> NormalizationWeights? {
                guard let found = try tensor(key(gain)) else { return nil }
                return NormalizationWeights(gain: found, bias: try bias.flatMap { try tensor(key($0)) })
            }
            block.inputNorm = try norm(.inputNormGain, .inputNormBias)
            block.qNorm = try norm(.qNormGain)
            block.kNorm = try norm(.kNormGain)
            block.postAttentionNorm = try norm(.postAttentionNormGain, .postAttentionNormBias)
            block.feedForwardNorm = try norm(.feedForwardNormGain, .feedForwardNormBias)
            block.postFeedForwardNorm = try norm(.postFeedForwardNormGain, .postFeedForwardNormBias)
            for weight: WeightKey.Weight in [.qBias, .kBias, .vBias, .oBias, .gateBias, .upBias, .downBias] {
                if let found = try tensor(key(weight)) { block[weight] = found }
            }
            return block
        }
        self.init(
            embedding: try required(WeightKey(.embedding)), blocks: blocks,
            finalNorm: NormalizationWeights(
                gain: try tensor(WeightKey(.finalNormGain)), bias: try tensor(WeightKey(.finalNormBias))),
            head: try tensor(WeightKey(.headWeight)).map {
                LinearWeights(weight: $0, bias: try tensor(WeightKey(.headBias)))
            })
    }
}
