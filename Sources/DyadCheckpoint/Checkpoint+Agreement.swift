import DyadFormats

/// Whether the configuration and the stored tensors are of one model. Where they contradict each other, the error names
/// the tensor and the field; the one contradiction that transformers resolves is resolved as there.
struct Agreement {
    let configuration: DecoderConfiguration
    let store: any WeightStore

    /// The configuration with ``DecoderConfiguration/tieWordEmbeddings`` as the weights have it: a stored head that is
    /// not the embedding counts, whatever `tie_word_embeddings` says. Compares the two once where both are stored.
    static func resolvingHead(
        _ configuration: DecoderConfiguration, _ store: any WeightStore
    ) throws(DyadError) -> DecoderConfiguration {
        let (head, embedding) = ("lm_head.weight", "model.embed_tokens.weight")
        guard configuration.tieWordEmbeddings, let shape = try store.shape(of: head) else { return configuration }
        if shape == (try store.shape(of: embedding)), try areEqual(head, embedding, in: store) { return configuration }
        var resolved = configuration
        resolved.tieWordEmbeddings = false
        return resolved
    }

    private static func areEqual(_ one: String, _ other: String, in store: any WeightStore) throws(DyadError) -> Bool {
        guard let first = try store.view(one), let second = try store.view(other), first.type == second.type else {
            return try store.floats(one) == store.floats(other)
        }
        return try first.hasSameBytes(as: second)
    }

    /// Checks every tensor that the configuration asks for, and every stored one that it has no place for.
    func check(_ expected: [(name: String, shape: [Int])]) throws(DyadError) {
        for (name, shape) in expected {
            guard let found = try store.shape(of: name) else { throw missing(name, shape) }
            guard found == shape else {
                throw DyadError(
                    .mismatch, file: store.file(of: name), subject: name, found: "shape \(found)",
                    expected: "\(shape) by the configuration's \(fields(of: name))",
                    remedy: "Take configuration and weights from one revision of the model, or correct the field.")
            }
        }
        let known = Set(expected.compactMap { store.storedName(of: $0.name) })
        for name in store.names where !known.contains(name) && store.isPartOfModel(name) {
            // A bias of zeros changes nothing.
            if name.hasSuffix(".bias"), try store.isZero(name) { continue }
            throw DyadError(
                .mismatch, file: store.fileOfStored(name), subject: name,
                found: "a tensor that the model has no place for",
                expected: store.field(reason(name)),
                remedy: "Correct that field, or remove the tensor: transformers would leave it out.")
        }
    }

    private func missing(_ name: String, _ shape: [Int]) -> DyadError {
        var (found, expected) = ("no tensor of this name", "one of shape \(shape)")
        var remedy = "The checkpoint is incomplete: download it again."
        if let layer = Self.layer(of: name), !store.names.contains(where: { store.layer(of: $0) == layer }) {
            found = "no tensor of layer \(layer)"
            expected = store.field("num_hidden_layers \(configuration.layerCount)") + " layers"
            remedy = "Correct that field, or download the weights that are missing."
        } else if name == "lm_head.weight" {
            expected += ", for tie_word_embeddings is false"
            remedy = "Set that field to true if the head is the embedding; otherwise download the weights again."
        } else if name.hasSuffix("proj.bias") {
            expected += ", for the configuration has biases there"
            remedy = "Correct attention_bias, mlp_bias or use_qkv_bias, or download the weights that are missing."
        }
        return DyadError(
            .malformed, file: store.file(of: name), subject: name, found: found, expected: expected, remedy: remedy)
    }

    /// What of the configuration leaves no place for a stored tensor.
    private func reason(_ name: String) -> String {
        if let layer = store.layer(of: name), layer >= configuration.layerCount {
            return "num_hidden_layers above \(layer), found \(configuration.layerCount)"
        }
        if name.hasSuffix(".bias") {
            return "a configuration with biases there (attention_bias, mlp_bias, use_qkv_bias)"
        }
        return "only tensors of a \(configuration.family) model"
    }

    static func layer(of name: String) -> Int? {
        guard name.hasPrefix("model.layers.") else { return nil }
        return name.dropFirst("model.layers.".count).split(separator: ".").first.flatMap { Int($0) }
    }

    private func fields(of name: String) -> String {
        let rows = [
            "embed_tokens": "vocab_size", "lm_head": "vocab_size", "q_proj": "num_attention_heads and head_dim",
            "k_proj": "num_key_value_heads and head_dim", "v_proj": "num_key_value_heads and head_dim",
            "q_norm": "head_dim", "k_norm": "head_dim", "gate_proj": "intermediate_size",
            "up_proj": "intermediate_size",
        ]
        let columns = ["o_proj": "num_attention_heads and head_dim", "down_proj": "intermediate_size"]
        let part = String(name.split(separator: ".").dropLast().last ?? "")
        if let field = columns[part] { return store.field("hidden_size, \(field)") }
        guard let field = rows[part] else { return store.field("hidden_size") }
        return store.field(part.hasSuffix("norm") || name.hasSuffix("bias") ? field : "\(field), hidden_size")
    }
}
