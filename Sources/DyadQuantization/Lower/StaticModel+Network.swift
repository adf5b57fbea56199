import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer

extension StaticModel {
    /// The network as lowering takes it.
    ///
    /// - Parameters:
    ///   - folded: the float model after all transforms: its biases, gains and prefix.
    ///   - network: its integers.
    ///   - context: token positions that the program must hold, without the prefix.
    init(_ folded: Decoder, _ network: QuantizedNetwork, _ plan: NetworkPlan, context: Int) throws {
        var weights = folded.weights
        for (key, values) in network.vectors { weights[key] = try Tensor(values) }
        func quantized(_ weight: WeightKey.Weight, _ layer: Int? = nil) throws(DyadError) -> QuantizedWeight {
            let key = WeightKey(weight, layer: layer)
            guard let weight = network.weights[key] else {
                throw DyadError(
                    .failed, subject: key.name, found: "no integer weight", expected: "one from calibration",
                    remedy: "This is a defect of Dyad: report it with the model.")
            }
            return weight
        }
        let configuration = folded.configuration
        func norm(_ norm: NormalizationWeights?) throws -> StaticModel.Norm? {
            try norm.map {
                StaticModel.Norm(gain: try $0.gain?.toArray(Float.self), bias: try $0.bias?.toArray(Float.self))
            }
        }
        var blocks: [StaticModel.Block] = []
        for (layer, block) in weights.blocks.enumerated() {
            guard let attentionNorm = try norm(block.inputNorm) else {
                throw DyadError(
                    .unsupported, subject: "layers.\(layer)", found: "no norm before attention",
                    expected: "a pre-norm decoder", remedy: "Choose another model: this family cannot be lowered yet.")
            }
            func linear(_ part: LinearWeights, _ weight: WeightKey.Weight) throws -> StaticModel.Linear {
                StaticModel.Linear(weight: try quantized(weight, layer), bias: try part.bias?.toArray(Float.self))
            }
            blocks.append(
                StaticModel.Block(
                    attentionNorm: attentionNorm,
                    feedForwardNorm: try norm(block.feedForwardNorm),
                    postAttentionNorm: try norm(block.postAttentionNorm),
                    postFeedForwardNorm: try norm(block.postFeedForwardNorm),
                    query: try linear(block.qProj, .qWeight), key: try linear(block.kProj, .kWeight),
                    value: try linear(block.vProj, .vWeight), output: try linear(block.oProj, .oWeight),
                    gate: try block.gateProj.map { try linear($0, .gateWeight) },
                    up: try linear(block.upProj, .upWeight), down: try linear(block.downProj, .downWeight),
                    queryNorm: try norm(block.qNorm), keyNorm: try norm(block.kNorm),
                    prefixKeys: try folded.prefix?.blocks[layer].keys.toArray(Float.self) ?? [],
                    prefixValues: try folded.prefix?.blocks[layer].values.toArray(Float.self) ?? []))
        }
        let prefix = folded.prefix?.tokens ?? []
        var embedding = try quantized(.embedding)
        embedding.scales = embedding.scales.map { $0 * configuration.embeddingScale }
        self.init(
            configuration: configuration, maximumContext: context + prefix.count, prefixTokens: prefix,
            embedding: embedding,
            head: StaticModel.Linear(
                weight: try quantized(.headWeight), bias: try weights.head?.bias?.toArray(Float.self)),
            finalNorm: try norm(weights.finalNorm) ?? StaticModel.Norm(), blocks: blocks,
            encodings: network.encodings, types: network.types,
            plan: plan,
            hadamard: plan.hasOnlineRotation ? BlockHadamard(width: configuration.intermediateSize) : nil)
    }
}
