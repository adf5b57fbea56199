/// The name of one activation tensor of a decoder: where quantisers, observers and learnable transforms attach.
///
/// b: batch, t: tokens of this call, d: head dimension, p: prefix length, context: p + cached tokens + t.
public struct SiteKey: Hashable, Sendable {
    /// The places, in the order of the forward pass.
    public enum Site: Int, CaseIterable, Sendable {
        /// `[b, t, hidden]`: the input of block 0, embedding scale included.
        case embeddingOutput
        /// `[b, t, hidden]`: the input of block l ≥ 1.
        case residual
        /// `[b, t, hidden]`: what q, k and v (and with a shared norm the feed-forward part) read.
        case attentionNormOutput
        /// `[b, t, heads · d]`
        case qOutput
        /// `[b, t, keyValueHeads · d]`
        case kOutput
        /// `[b, t, keyValueHeads · d]`: what the cache of values holds.
        case vOutput
        /// `[b, t, heads · d]`, only with query and key norms.
        case qNormOutput
        /// `[b, t, keyValueHeads · d]`, only with query and key norms.
        case kNormOutput
        /// `[b, t, heads · d]`
        case qRotated
        /// `[b, t, keyValueHeads · d]`: what the cache of keys holds.
        case kRotated
        /// `[1, keyValueHeads, p, d]`: constants, to be rounded with ``kRotated``'s encoding and not observed.
        case prefixKeys
        /// `[1, keyValueHeads, p, d]`: constants, to be rounded with ``vOutput``'s encoding and not observed.
        case prefixValues
        /// `[b, heads, t, context]`, scaled, prefix columns first. Columns that the token may not see hold 0, which
        /// every encoding represents exactly and every range contains, so nobody needs the mask.
        case scores
        /// `[b, heads, t, context]`, softmax form only; 0 in invisible columns.
        case probabilities
        /// `[b, heads, t, context − p]`, late form only: exp(score − row maximum) of the token columns, in [0, 1];
        /// 0 in invisible columns.
        case exponentials
        /// `[b, heads, t, p]`, late form with a prefix: the same of the prefix columns, which may exceed 1.
        case prefixWeights
        /// `[b, t, heads · d]`: what o_proj reads.
        case attentionOutput
        /// `[b, t, hidden]`
        case oOutput
        /// `[b, t, hidden]`, only with post-norms.
        case postAttentionNormOutput
        /// `[b, t, hidden]`: block input + attention.
        case attentionResidual
        /// `[b, t, hidden]`, not with a shared norm.
        case feedForwardNormOutput
        /// `[b, t, intermediate]`, only gated.
        case gateOutput
        /// `[b, t, intermediate]`
        case upOutput
        /// `[b, t, intermediate]`: activation of the gate, or of up where there is no gate.
        case activationOutput
        /// `[b, t, intermediate]`, only gated: activation · up.
        case product
        /// `[b, t, intermediate]`, only with an online rotation: what down_proj then reads.
        case downInput
        /// `[b, t, hidden]`
        case downOutput
        /// `[b, t, hidden]`, only with post-norms.
        case postFeedForwardNormOutput
        /// `[b, t, hidden]`: the output of the last block.
        case finalResidual
        /// `[b, t, hidden]`: what the head reads.
        case finalNormOutput
        /// `[b, t, vocabulary]`: of the head, before they are capped.
        case logits

        /// Whether every layer has one (if the model has it at all).
        public var isInBlock: Bool {
            switch self {
            case .embeddingOutput, .finalResidual, .finalNormOutput, .logits: false
            default: true
            }
        }

        /// The name inside its layer, or in the model.
        var stem: String {
            switch self {
            case .embeddingOutput: "embed_tokens.output"
            case .residual: "residual"
            case .attentionNormOutput: "input_layernorm.output"
            case .qOutput: "self_attn.q_proj.output"
            case .kOutput: "self_attn.k_proj.output"
            case .vOutput: "self_attn.v_proj.output"
            case .qNormOutput: "self_attn.q_norm.output"
            case .kNormOutput: "self_attn.k_norm.output"
            case .qRotated: "self_attn.q_rotated"
            case .kRotated: "self_attn.k_rotated"
            case .prefixKeys: "self_attn.prefix_keys"
            case .prefixValues: "self_attn.prefix_values"
            case .scores: "self_attn.scores"
            case .probabilities: "self_attn.probabilities"
            case .exponentials: "self_attn.exponentials"
            case .prefixWeights: "self_attn.prefix_weights"
            case .attentionOutput: "self_attn.output"
            case .oOutput: "self_attn.o_proj.output"
            case .postAttentionNormOutput: "post_self_attn_layernorm.output"
            case .attentionResidual: "attention_residual"
            case .feedForwardNormOutput: "post_attention_layernorm.output"
            case .gateOutput: "mlp.gate_proj.output"
            case .upOutput: "mlp.up_proj.output"
            case .activationOutput: "mlp.activation"
            case .product: "mlp.product"
            case .downInput: "mlp.down_proj.input"
            case .downOutput: "mlp.down_proj.output"
            case .postFeedForwardNormOutput: "post_mlp_layernorm.output"
            case .finalResidual: "final_residual"
            case .finalNormOutput: "norm.output"
            case .logits: "logits"
            }
        }
    }

    /// The place.
    public var site: Site
    /// The layer, from 0; nil outside the blocks.
    public var layer: Int?

    /// Creates a key.
    public init(_ site: Site, layer: Int? = nil) {
        self.site = site
        self.layer = layer
    }

    /// The name of the tensor in the integer graph, for example `layers.3.mlp.down_proj.output`.
    public var name: String {
        guard let layer else { return site.stem }
        return "layers.\(layer).\(site.stem)"
    }

    /// Every site of a decoder of so many layers, whether it has it or not.
    public static func all(layers: Int) -> [SiteKey] {
        Site.allCases.flatMap { site in
            site.isInBlock ? (0..<layers).map { SiteKey(site, layer: $0) } : [SiteKey(site)]
        }
    }

    /// The input of block `layer`: the embedding's output, a residual, or past the last block the final residual.
    public static func blockInput(_ layer: Int, layerCount: Int) -> SiteKey {
        if layer == layerCount { return SiteKey(.finalResidual) }
        return layer == 0 ? SiteKey(.embeddingOutput) : SiteKey(.residual, layer: layer)
    }
}

extension SiteKey: Comparable {
    /// In the order of the forward pass.
    public static func < (a: SiteKey, b: SiteKey) -> Bool { a.order < b.order }

    private var order: (Int, Int, Int) {
        if let layer { return (1, layer, site.rawValue) }
        return (site == .embeddingOutput ? 0 : 2, 0, site.rawValue)
    }
}

extension SiteKey: CustomStringConvertible {
    /// ``name``
    public var description: String { name }
}
