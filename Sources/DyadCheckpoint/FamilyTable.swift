import enum DyadGraph.ActivationFunction

/// What a model family fixes without saying so in its files. The only place of Dyad where a family's name decides
/// anything: a new family is a new row, and a new switch of ``DecoderConfiguration`` if it needs one.
struct Family: Sendable {
    /// Where the biases of the attention come from in config.json.
    enum AttentionBias: Sendable {
        /// None at all.
        case never
        /// On q, k and v, always.
        case always
        /// On q, k, v and o if this field is true.
        case everywhere(field: String)
        /// On q, k and v if this field is true.
        case inputs(field: String)
    }

    /// Whether layers see only the last positions.
    enum Window: Sendable {
        /// The family's code does not ask.
        case never
        /// All layers, unless the field is null; `absent` where it is not there.
        case always(absent: Int)
        /// If `use_sliding_window` is true, the layers that `layer_types` names, or those from `max_window_layers` on.
        case optional(absent: Int, firstLayer: Int)
    }

    /// `model_type` of config.json.
    let modelType: String
    /// `general.architecture` of a GGUF file; nil where GGUF has no such family.
    let architecture: String?
    /// Whether the GGUF file has the rows of q and k in interleaved order.
    var interleavedInGGUF = false
    var normKind: DecoderConfiguration.NormKind = .rms
    /// The field of config.json that holds ε, and its value where the field is absent.
    var epsilon: (field: String, absent: Double) = ("rms_norm_eps", 1e-6)
    /// Whether config.json's weights are w − 1. (GGUF files hold w.)
    var normAddsOne = false
    var attentionBias: AttentionBias = .everywhere(field: "attention_bias")
    /// Whether config.json may switch on biases in the MLP.
    var mayHaveMLPBias = false
    /// The activation where config.json is silent.
    var activation: ActivationFunction = .silu
    /// The key and value heads where config.json is silent; nil for one for every query head.
    var keyValueHeads: Int?
    /// The most positions where config.json is silent.
    var positions: Int
    /// The width of a head where config.json is silent; nil for hiddenSize / headCount.
    var headDimension: Int?
    /// The rotating part of a head where config.json is silent.
    var rotaryFraction: Double = 1
    /// Whether a part of each head may rotate.
    var rotatesInPart = false
    /// Whether attention and MLP may stand side by side.
    var mayBeParallel = false
    var tiesByDefault = false
    /// Whether embeddings are multiplied by sqrt(hiddenSize).
    var scalesEmbedding = false
    var queryKeyNorm = false
    /// What `sliding_window` means.
    var window = Window.never
}

extension Family {
    /// Every family that Dyad maps. All have the tensor names of Hugging Face's Llama.
    static let table: [Family] = [
        Family(
            modelType: "llama", architecture: "llama", interleavedInGGUF: true, mayHaveMLPBias: true, positions: 2048),
        Family(
            modelType: "mistral", architecture: nil, attentionBias: .never, keyValueHeads: 8, positions: 131_072,
            window: .always(absent: 4096)),
        Family(
            modelType: "qwen2", architecture: "qwen2", attentionBias: .always, keyValueHeads: 32, positions: 32_768,
            window: .optional(absent: 4096, firstLayer: 28)),
        Family(
            modelType: "qwen3", architecture: "qwen3", keyValueHeads: 32, positions: 32_768, headDimension: 128,
            queryKeyNorm: true, window: .optional(absent: 4096, firstLayer: 28)),
        Family(
            modelType: "gemma", architecture: "gemma", normAddsOne: true, activation: .geluTanh, keyValueHeads: 16,
            positions: 8192, headDimension: 256, tiesByDefault: true, scalesEmbedding: true),
        Family(
            modelType: "stablelm", architecture: "stablelm", normKind: .layer, epsilon: ("layer_norm_eps", 1e-5),
            attentionBias: .inputs(field: "use_qkv_bias"), keyValueHeads: 32, positions: 4096, rotaryFraction: 0.25,
            rotatesInPart: true, mayBeParallel: true),
    ]

    /// config.json's names of activations.
    static let activations: [String: ActivationFunction] = [
        "silu": .silu, "swish": .silu, "gelu": .gelu, "gelu_new": .geluTanh, "gelu_pytorch_tanh": .geluTanh,
        "gelu_fast": .geluTanh, "gelu_python": .gelu, "gelu_python_tanh": .geluTanh, "gelu_accurate": .geluTanh,
        "relu": .relu,
    ]

    /// Fields of config.json that change what a model computes in a way Dyad does not know, with the values that
    /// leave it unchanged; absent and null always do.
    static let refusedFields: [(field: String, neutral: [JSONNeutral])] = [
        ("quantization_config", []), ("attn_logit_softcapping", []), ("final_logit_softcapping", []),
        ("num_local_experts", [.number(0), .number(1)]), ("num_experts", [.number(0), .number(1)]),
        ("qk_layernorm", [.bool(false)]), ("rope_interleaved", [.bool(false)]),
        ("residual_multiplier", [.number(1)]), ("embedding_multiplier", [.number(1)]),
        ("logits_scaling", [.number(1)]), ("attention_multiplier", []), ("is_encoder_decoder", [.bool(false)]),
        ("add_cross_attention", [.bool(false)]), ("is_causal", [.bool(true)]),
        ("use_bidirectional_attention", [.bool(false)]),
    ]

    /// A value that has no effect.
    enum JSONNeutral: Sendable {
        case bool(Bool)
        case number(Double)
    }

    /// GGUF's tensor names outside the layers, and their canonical ones.
    static let ggufGlobalNames: [String: String] = [
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    ]

    /// GGUF's tensor names within a layer, by canonical ones.
    static let ggufLayerNames: [String: String] = [
        "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    ]

    /// The GGUF name of a canonical tensor; nil where GGUF has none.
    static func ggufName(of canonical: String) -> String? {
        guard let dot = canonical.lastIndex(of: ".") else { return nil }
        let (stem, kind) = (String(canonical[..<dot]), canonical[dot...])
        if let name = ggufGlobalNames[stem] { return name + kind }
        let prefix = "model.layers."
        guard stem.hasPrefix(prefix) else { return nil }
        let parts = stem.dropFirst(prefix.count).split(separator: ".", maxSplits: 1)
        guard parts.count == 2, let name = ggufLayerNames[String(parts[1])] else { return nil }
        return "blk.\(parts[0]).\(name)\(kind)"
    }
}
