extension DecoderConfiguration {
    /// The canonical names and shapes (outermost dimension first) of every tensor a model of this configuration
    /// consists of, in the order of the forward pass. The names are those of Hugging Face's Llama.
    public func tensorShapes() -> [(name: String, shape: [Int])] {
        var tensors: [(name: String, shape: [Int])] = []
        func norm(_ name: String, _ width: Int) {
            tensors.append((name + ".weight", [width]))
            if normKind == .layer { tensors.append((name + ".bias", [width])) }
        }
        func linear(_ name: String, _ outputs: Int, _ inputs: Int, bias: Bool) {
            tensors.append((name + ".weight", [outputs, inputs]))
            if bias { tensors.append((name + ".bias", [outputs])) }
        }
        tensors.append(("model.embed_tokens.weight", [vocabularySize, hiddenSize]))
        for layer in 0..<layerCount {
            let prefix = "model.layers.\(layer)."
            norm(prefix + "input_layernorm", hiddenSize)
            linear(prefix + "self_attn.q_proj", queryWidth, hiddenSize, bias: attentionBias)
            linear(prefix + "self_attn.k_proj", keyValueWidth, hiddenSize, bias: attentionBias)
            linear(prefix + "self_attn.v_proj", keyValueWidth, hiddenSize, bias: attentionBias)
            if queryKeyNorm {
                tensors.append((prefix + "self_attn.q_norm.weight", [headDimension]))
                tensors.append((prefix + "self_attn.k_norm.weight", [headDimension]))
            }
            linear(prefix + "self_attn.o_proj", hiddenSize, queryWidth, bias: attentionOutputBias)
            if postNorms { norm(prefix + "post_self_attn_layernorm", hiddenSize) }
            if !sharedNorm { norm(prefix + "post_attention_layernorm", hiddenSize) }
            if gated { linear(prefix + "mlp.gate_proj", intermediateSize, hiddenSize, bias: mlpBias) }
            linear(prefix + "mlp.up_proj", intermediateSize, hiddenSize, bias: mlpBias)
            linear(prefix + "mlp.down_proj", hiddenSize, intermediateSize, bias: mlpBias)
            if postNorms { norm(prefix + "post_mlp_layernorm", hiddenSize) }
        }
        norm("model.norm", hiddenSize)
        if !tieWordEmbeddings { tensors.append(("lm_head.weight", [vocabularySize, hiddenSize])) }
        return tensors
    }
}
