import DyadFormats

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
    /// - Parameters:
    ///   - config: the document.
    ///   - generation: generation_config.json, whose end-of-sequence ids go first.
    /// - Throws: ``DyadError``: `unsupported` for a family or a setting that Dyad does not know, `malformed` for a
    ///   field that is missing or of the wrong kind.
    init(huggingFace config: JSONField, generation: JSONField?) throws(DyadError) {
        let family = try Self.family(of: config)
        try Self.refuseUnknown(config)
        let hidden = try config.member("hidden_size").integer(in: Limits.width)
        let heads = try config.member("num_attention_heads").integer(in: Limits.heads)
        let keyValueHeads = try config.optional("num_key_value_heads")?.integer(in: Limits.heads) ?? heads
        let headDimension: Int
        if let field = try config.optional("head_dim") {
            headDimension = try field.integer(in: Limits.headDimension)
        } else {
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
            maximumPositions: try config.member("max_position_embeddings").integer(in: Limits.positions))
        try readBiases(config, family)
        activation = try Self.activation(config, family)
        try readRotation(config, family)
        tieWordEmbeddings = try config.optional("tie_word_embeddings")?.bool() ?? family.tiesByDefault
        embeddingScale = family.scalesEmbedding ? Float(hidden).squareRoot() : 1
        queryKeyNorm = family.queryKeyNorm
        parallelResidual = try config.optional("use_parallel_residual")?.bool() ?? false
        sharedNorm = parallelResidual
        try refuseSlidingWindow(config, family)
        beginningOfSequence = try Self.ids(config, "bos_token_id")
        endOfSequence = try Self.ids(config, "eos_token_id")
        if let generation {
            let stops = try Self.ids(generation, "eos_token_id")
            endOfSequence = stops + endOfSequence.filter { !stops.contains($0) }
        }
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
        guard let layers = try config.optional("layer_types") else { return }
        for layer in try layers.elements() {
            let type = try layer.string()
            guard type == "full_attention" else {
                throw layer.failure(
                    .unsupported, found: "\"\(type)\"", expected: "full_attention", remedy: "Use a model without it.")
            }
        }
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

    private static func activation(_ config: JSONField, _ family: Family) throws(DyadError) -> Activation {
        if let activation = family.activation { return activation }
        guard let field = try config.optional("hidden_act") else { return .silu }
        let name = try field.string()
        guard let activation = Family.activations[name] else {
            throw field.failure(
                .unsupported, found: "\"\(name)\"",
                expected: "one of " + Family.activations.keys.sorted().joined(separator: ", "),
                remedy: "Dyad does not know this activation yet.")
        }
        return activation
    }

    /// Both layouts: `rope_theta` and `rope_scaling` at the root, or all of it in `rope_parameters` (transformers 5).
    private mutating func readRotation(_ config: JSONField, _ family: Family) throws(DyadError) {
        let parameters = try config.optional("rope_parameters")
        let places = parameters.map { [$0, config] } ?? [config]
        if let theta = try Self.first("rope_theta", of: places) { ropeTheta = try theta.double() }
        let fraction = try Self.first("partial_rotary_factor", of: places)
        rotaryFraction = try fraction?.double() ?? family.rotaryFraction
        var scaling = parameters
        if scaling == nil { scaling = try config.optional("rope_scaling") }
        guard let scaling else { return }
        var type = try scaling.optional("rope_type")
        if type == nil { type = try scaling.optional("type") }
        guard let field = type else { return }
        try readScaling(try field.string(), field, scaling)
    }

    private static func first(_ name: String, of places: [JSONField]) throws(DyadError) -> JSONField? {
        for place in places {
            if let field = try place.optional(name) { return field }
        }
        return nil
    }

    private mutating func readScaling(_ type: String, _ field: JSONField, _ scaling: JSONField) throws(DyadError) {
        switch type {
        case "default": break
        case "linear": ropeScaling = .linear(factor: try Self.positive(scaling.member("factor")))
        case "llama3":
            ropeScaling = .llama3(
                factor: try Self.positive(scaling.member("factor")),
                lowFrequencyFactor: try Self.positive(scaling.member("low_freq_factor")),
                highFrequencyFactor: try Self.positive(scaling.member("high_freq_factor")),
                originalPositions: try scaling.member("original_max_position_embeddings").integer(in: Limits.positions))
        default:
            throw field.failure(
                .unsupported, found: "\"\(type)\"", expected: "default, linear or llama3",
                remedy: "Dyad does not know this scaling of rotary positions yet.")
        }
    }

    private static func positive(_ field: JSONField) throws(DyadError) -> Double {
        let value = try field.double()
        guard value > 0 else { throw field.failure(.malformed, found: "\(value)", expected: "a number above 0") }
        return value
    }

    private func refuseSlidingWindow(_ config: JSONField, _ family: Family) throws(DyadError) {
        guard let field = try config.optional("sliding_window") else { return }
        if family.slidingWindowIsOptional, try config.optional("use_sliding_window")?.bool() != true { return }
        let window = try field.integer()
        guard window >= maximumPositions else {
            throw field.failure(
                .unsupported, found: "a window of \(window) positions",
                expected: "none, or one of all \(maximumPositions)", remedy: "Use a model without it.")
        }
    }

    /// No id, one or several.
    private static func ids(_ config: JSONField, _ name: String) throws(DyadError) -> [Int] {
        guard let field = try config.optional(name) else { return [] }
        guard case .array = field.value else { return [try field.integer(in: 0...Limits.vocabulary.upperBound)] }
        var ids: [Int] = []
        for element in try field.elements() { ids.append(try element.integer(in: 0...Limits.vocabulary.upperBound)) }
        return ids
    }
}
