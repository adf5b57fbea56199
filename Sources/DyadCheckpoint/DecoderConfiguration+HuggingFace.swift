import DyadFormats
import enum DyadGraph.ActivationFunction

/// The largest values that are believed. Real models stay far below; beyond them products could overflow.
enum Limits {
    static let vocabulary = 1...(1 << 24)
    static let width = 1...(1 << 20)
    static let layers = 1...4096
    static let heads = 1...(1 << 14)
    static let headDimension = 2...(1 << 14)
    static let positions = 1...(1 << 30)
}

extension DecoderConfiguration {
    /// Reads config.json.
    /// - Throws: ``DyadError``: `unsupported` for a family or a setting that Dyad does not know, `malformed` for a
    ///   field that is missing or of the wrong kind.
    init(huggingFace config: JSONField) throws(DyadError) {
        let family = try Self.family(of: config)
        try Self.refuseUnknown(config)
        let hidden = try config.member("hidden_size").integer(in: Limits.width)
        let heads = try config.member("num_attention_heads").integer(in: Limits.heads)
        let keyValueHeads = try Self.keyValueHeads(config, family, heads: heads)
        let headDimension: Int
        if let field = try config.optional("head_dim") {
            headDimension = try field.integer(in: Limits.headDimension)
        } else {
            guard family.headDimension != nil || hidden % heads == 0 else {
                throw try config.member("num_attention_heads").failure(
                    .mismatch, found: "\(heads)", expected: "a divisor of the hidden_size \(hidden), or a head_dim",
                    remedy: "Correct one of these fields: the weights say which is right.")
            }
            headDimension = family.headDimension ?? hidden / heads
        }
        let epsilon = try config.optional(family.epsilon.field)?.double() ?? family.epsilon.absent
        self.init(
            family: family.modelType,
            vocabularySize: try config.member("vocab_size").integer(in: Limits.vocabulary),
            hiddenSize: hidden,
            intermediateSize: try config.member("intermediate_size").integer(in: Limits.width),
            layerCount: try config.member("num_hidden_layers").integer(in: Limits.layers),
            headCount: heads, keyValueHeadCount: keyValueHeads, headDimension: headDimension,
            normKind: family.normKind, normAddsOne: family.normAddsOne, normEpsilon: epsilon,
            maximumPositions: try config.optional("max_position_embeddings")?.integer(in: Limits.positions)
                ?? family.positions)
        try readBiases(config, family)
        activation = try Self.activation(config, family)
        try readRotation(config, family)
        tieWordEmbeddings = try config.optional("tie_word_embeddings")?.bool() ?? family.tiesByDefault
        embeddingScale = family.scalesEmbedding ? Float(hidden).squareRoot() : 1
        queryKeyNorm = family.queryKeyNorm
        if family.mayBeParallel { parallelResidual = try config.optional("use_parallel_residual")?.bool() ?? false }
        sharedNorm = parallelResidual
        try readWindow(config, family)
        try validate(file: config.file)
    }

    private static func family(of config: JSONField) throws(DyadError) -> Family {
        let field = try config.member("model_type")
        let name = try field.string()
        guard let family = Family.table.first(where: { $0.modelType == name }) else {
            throw field.failure(
                .unsupported, found: "\"\(name)\"",
                expected: "one of " + Family.table.map { $0.modelType }.joined(separator: ", "),
                remedy: "Dyad does not know this model family yet.")
        }
        return family
    }

    private static func refuseUnknown(_ config: JSONField) throws(DyadError) {
        for (name, neutral) in Family.refusedFields {
            guard let field = try config.optional(name) else { continue }
            let isNeutral = neutral.contains { value in
                switch value {
                case .bool(let flag): field.value.bool == flag
                case .number(let number): field.value.double == number
                }
            }
            guard isNeutral else {
                throw field.failure(
                    .unsupported, found: "a setting Dyad does not handle", expected: "no such setting",
                    remedy: "Use a model without it.")
            }
        }
    }

    /// A number that config.json leaves out is the family's; null is one for every query head.
    private static func keyValueHeads(_ config: JSONField, _ family: Family, heads: Int) throws(DyadError) -> Int {
        if let field = try config.optional("num_key_value_heads") { return try field.integer(in: Limits.heads) }
        guard try config.object()["num_key_value_heads"] == nil, let absent = family.keyValueHeads else { return heads }
        guard heads % absent == 0 else {
            throw JSONField(.null, file: config.file, path: "num_key_value_heads").failure(
                .mismatch, found: "no such field, and \(heads) num_attention_heads",
                expected: "a multiple of \(absent), which \(family.modelType) has where config.json is silent",
                remedy: "Write num_key_value_heads into config.json.")
        }
        return absent
    }

    private mutating func readBiases(_ config: JSONField, _ family: Family) throws(DyadError) {
        switch family.attentionBias {
        case .never: break
        case .always: attentionBias = true
        case .everywhere(let field):
            attentionBias = try config.optional(field)?.bool() ?? false
            attentionOutputBias = attentionBias
        case .inputs(let field): attentionBias = try config.optional(field)?.bool() ?? false
        }
        if family.mayHaveMLPBias { mlpBias = try config.optional("mlp_bias")?.bool() ?? false }
    }

    private static func activation(_ config: JSONField, _ family: Family) throws(DyadError) -> ActivationFunction {
        guard let field = try config.optional("hidden_act") else { return family.activation }
        let name = try field.string()
        // Gemma's first files say "gelu" and mean the tanh form.
        if name == "gelu", family.activation == .geluTanh { return .geluTanh }
        guard let activation = Family.activations[name] else {
            throw field.failure(
                .unsupported, found: "\"\(name)\"",
                expected: "one of " + Family.activations.keys.sorted().joined(separator: ", "),
                remedy: "Dyad does not know this activation yet.")
        }
        return activation
    }
}
