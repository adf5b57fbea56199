/// The name of one weight of a decoder: which role it has, and in which layer.
public struct WeightKey: Hashable, Sendable {
    /// The roles. The raw value is the name inside a layer (or of the whole model), as in Hugging Face's Llama.
    public enum Weight: String, CaseIterable, Sendable {
        case embedding = "embed_tokens.weight"
        case inputNormGain = "input_layernorm.weight"
        case inputNormBias = "input_layernorm.bias"
        case qWeight = "self_attn.q_proj.weight"
        case qBias = "self_attn.q_proj.bias"
        case kWeight = "self_attn.k_proj.weight"
        case kBias = "self_attn.k_proj.bias"
        case vWeight = "self_attn.v_proj.weight"
        case vBias = "self_attn.v_proj.bias"
        case qNormGain = "self_attn.q_norm.weight"
        case kNormGain = "self_attn.k_norm.weight"
        case oWeight = "self_attn.o_proj.weight"
        case oBias = "self_attn.o_proj.bias"
        case postAttentionNormGain = "post_self_attn_layernorm.weight"
        case postAttentionNormBias = "post_self_attn_layernorm.bias"
        case feedForwardNormGain = "post_attention_layernorm.weight"
        case feedForwardNormBias = "post_attention_layernorm.bias"
        case gateWeight = "mlp.gate_proj.weight"
        case gateBias = "mlp.gate_proj.bias"
        case upWeight = "mlp.up_proj.weight"
        case upBias = "mlp.up_proj.bias"
        case downWeight = "mlp.down_proj.weight"
        case downBias = "mlp.down_proj.bias"
        case postFeedForwardNormGain = "post_mlp_layernorm.weight"
        case postFeedForwardNormBias = "post_mlp_layernorm.bias"
        case finalNormGain = "norm.weight"
        case finalNormBias = "norm.bias"
        case headWeight = "lm_head.weight"
        case headBias = "lm_head.bias"

        /// The bias of the linear whose weight this is; nil for what is none.
        public var bias: Weight? {
            switch self {
            case .qWeight: .qBias
            case .kWeight: .kBias
            case .vWeight: .vBias
            case .oWeight: .oBias
            case .gateWeight: .gateBias
            case .upWeight: .upBias
            case .downWeight: .downBias
            case .headWeight: .headBias
            default: nil
            }
        }

        /// Whether every layer has one (if the model has it at all), rather than the model as a whole.
        public var isInBlock: Bool {
            switch self {
            case .embedding, .finalNormGain, .finalNormBias, .headWeight, .headBias: false
            default: true
            }
        }
    }

    /// The role.
    public var weight: Weight
    /// The layer, from 0; nil outside the blocks.
    public var layer: Int?

    /// Creates a key.
    public init(_ weight: Weight, layer: Int? = nil) {
        self.weight = weight
        self.layer = layer
    }

    /// For example `layers.3.self_attn.q_proj.weight`.
    public var name: String {
        guard let layer else { return weight.rawValue }
        return "layers.\(layer).\(weight.rawValue)"
    }

    /// The module it belongs to, as a program's operations are named: `layers.3.self_attn.q_proj`, `model.norm`, `lm_head`.
    public var module: String {
        let full = layer == nil ? checkpointName : name
        return String(full.prefix(upTo: full.lastIndex(of: ".") ?? full.endIndex))
    }

    /// The canonical name in a checkpoint: `model.layers.3.self_attn.q_proj.weight`, `lm_head.weight`.
    public var checkpointName: String {
        switch weight {
        case .headWeight, .headBias: name
        default: "model." + name
        }
    }

    /// The key of a checkpoint's canonical tensor name; nil for a name that is none.
    public init?(checkpointName: String) {
        var rest = Substring(checkpointName)
        if rest.hasPrefix("model.") { rest = rest.dropFirst("model.".count) }
        var layer: Int?
        if rest.hasPrefix("layers.") {
            let parts = rest.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, let index = Int(parts[1]), index >= 0 else { return nil }
            layer = index
            rest = parts[2]
        }
        guard let weight = Weight(rawValue: String(rest)), weight.isInBlock == (layer != nil) else { return nil }
        self.init(weight, layer: layer)
    }
}
