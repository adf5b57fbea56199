import DyadFormats

extension DecoderConfiguration {
    /// Reads a GGUF file's metadata. Which biases there are and whether the head is tied follows from which tensors
    /// there are, for GGUF does not say it otherwise.
    /// - Throws: ``DyadError``: `unsupported` for an architecture or a setting that Dyad does not know, `malformed`
    ///   for a value that is missing or of the wrong kind.
    init(gguf file: GGUFFile) throws(DyadError) {
        let family = try Family(gguf: file)
        let keys = Keys(file: file, architecture: family.architecture ?? "")
        try keys.refuseUnknown()
        let hidden = try keys.require("embedding_length", in: Limits.width)
        let heads = try keys.require("attention.head_count", in: Limits.heads)
        let embedding = try file.tensor("token_embd.weight")
        let epsilonKey =
            family.normKind == .rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon"
        self.init(
            family: family.modelType,
            vocabularySize: try keys.optional("vocab_size", in: Limits.vocabulary) ?? embedding.shape.first ?? 0,
            hiddenSize: hidden,
            intermediateSize: try keys.require("feed_forward_length", in: Limits.width),
            layerCount: try keys.require("block_count", in: Limits.layers),
            headCount: heads,
            keyValueHeadCount: try keys.optional("attention.head_count_kv", in: Limits.heads) ?? heads,
            headDimension: try keys.optional("attention.key_length", in: Limits.headDimension) ?? hidden / heads,
            normKind: family.normKind, normEpsilon: try keys.require(number: epsilonKey),
            maximumPositions: try keys.require("context_length", in: Limits.positions))
        attentionBias = file.contains("blk.0.attn_q.bias")
        attentionOutputBias = file.contains("blk.0.attn_output.bias")
        mlpBias = file.contains("blk.0.ffn_up.bias")
        gated = file.contains("blk.0.ffn_gate.weight")
        activation = family.activation
        tieWordEmbeddings = !file.contains("output.weight")
        embeddingScale = family.scalesEmbedding ? Float(hidden).squareRoot() : 1
        queryKeyNorm = family.queryKeyNorm
        if family.mayBeParallel {
            // Without the key, as llama.cpp: side by side where the MLP has no norm of its own.
            let stored = file.contains("blk.0.ffn_norm.weight")
            parallelResidual = try file.bool(keys.name("use_parallel_residual")) ?? !stored
        }
        sharedNorm = parallelResidual
        try readRotation(keys, family)
        // A window makes no difference to texts that it holds.
        if let window = try keys.optional("attention.sliding_window", in: 0...Int.max), window > 0 {
            maximumPositions = min(maximumPositions, window)
        }
        try validate(file: file.file.path)
        try keys.checkVocabulary(rows: embedding.shape.first ?? 0)
    }

    fileprivate mutating func readRotation(_ keys: Keys, _ family: Family) throws(DyadError) {
        let file = keys.file
        ropeTheta = try file.double(keys.name("rope.freq_base")) ?? 10_000
        if let dimension = try keys.optional("rope.dimension_count", in: Limits.headDimension) {
            rotaryFraction = Double(dimension) / Double(headDimension)
            guard rotaryDimension == dimension else {
                throw keys.unsupported("rope.dimension_count", "\(dimension)", "the head's \(headDimension)")
            }
        }
        if family.interleavedInGGUF, rotaryDimension != headDimension {
            throw keys.unsupported("rope.dimension_count", "\(rotaryDimension)", "the head's \(headDimension)")
        }
        try readScaling(keys)
    }

    /// As llama.cpp: without a type the scaling is linear, `rope.scale_linear` is the old name of its factor, and the
    /// factors of `rope_freqs.weight` come on top of it.
    private mutating func readScaling(_ keys: Keys) throws(DyadError) {
        let file = keys.file
        let type = try file.string(keys.name("rope.scaling.type")) ?? "linear"
        guard type == "none" || type == "linear" else {
            throw keys.unsupported("rope.scaling.type", "\"\(type)\"", "none or linear")
        }
        var factor = 0.0
        for key in ["rope.scale_linear", "rope.scaling.factor"] {
            guard let value = try file.double(keys.name(key)) else { continue }
            guard value >= 0 else { throw keys.unsupported(key, "\(value)", "a number above 0") }
            factor = value
        }
        if factor == 0 || type == "none" { factor = 1 }
        if file.contains("rope_freqs.weight") {
            let factors = try file.tensor("rope_freqs.weight").floats()
            ropeScaling = .divided(by: factors.map { $0 * Float(factor) })
        } else if factor != 1 {
            ropeScaling = .linear(factor: factor)
        }
    }
}

extension GGUFLayout {
    /// The rotary frequencies that a file of this layout gives its heads; see
    /// ``DecoderConfiguration/inverseFrequencies()``.
    /// - Throws: ``DyadError``: `unsupported` or `malformed`, naming the key.
    public func inverseFrequencies(in file: GGUFFile, headDimension: Int) throws(DyadError) -> [Double] {
        let family = try Family(gguf: file)
        var configuration = DecoderConfiguration(
            family: family.modelType, vocabularySize: 1, hiddenSize: headDimension, intermediateSize: 1, layerCount: 1,
            headCount: 1, keyValueHeadCount: 1, headDimension: headDimension, normEpsilon: 0, maximumPositions: 1)
        try configuration.readRotation(Keys(file: file, architecture: architecture), family)
        try configuration.validate(file: file.file.path)
        return configuration.inverseFrequencies()
    }
}

extension Family {
    /// The family of a GGUF file.
    init(gguf file: GGUFFile) throws(DyadError) {
        let key = "general.architecture"
        let name = try file.string(key) ?? ""
        guard let family = Family.table.first(where: { $0.architecture == name }) else {
            let known = Family.table.compactMap { $0.architecture }.joined(separator: ", ")
            throw DyadError(
                .unsupported, file: file.file.path, subject: key, found: "\"\(name)\"", expected: "one of " + known,
                remedy: "Dyad does not know this model family yet.")
        }
        self = family
    }
}

/// The metadata of one architecture.
private struct Keys {
    let file: GGUFFile
    let architecture: String

    func name(_ key: String) -> String { "\(architecture).\(key)" }

    func optional(_ key: String, in range: ClosedRange<Int>) throws(DyadError) -> Int? {
        try file.integer(name(key), in: range)
    }

    func require(_ key: String, in range: ClosedRange<Int>) throws(DyadError) -> Int {
        guard let value = try optional(key, in: range) else { throw missing(key) }
        return value
    }

    func require(number key: String) throws(DyadError) -> Double {
        guard let value = try file.double(name(key)) else { throw missing(key) }
        return value
    }

    private func missing(_ key: String) -> DyadError {
        DyadError(
            .malformed, file: file.file.path, subject: name(key), found: "no such key", expected: "a value",
            remedy: "Convert the model again.")
    }

    func unsupported(_ key: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .unsupported, file: file.file.path, subject: name(key), found: found, expected: expected,
            remedy: "Use a model without this setting.")
    }

    /// Each token has its row of the embedding.
    func checkVocabulary(rows: Int) throws(DyadError) {
        let key = "tokenizer.ggml.tokens"
        guard let tokens = try file.array(key)?.count, tokens != rows else { return }
        throw DyadError(
            .mismatch, file: file.file.path, subject: key, found: "\(tokens) tokens",
            expected: "\(rows), the rows of token_embd.weight",
            remedy: "Tokenizer and weights are of different models: convert them again together.")
    }

    /// Settings that change what the model computes in a way Dyad does not know.
    func refuseUnknown() throws(DyadError) {
        for key in ["attn_logit_softcapping", "final_logit_softcapping", "expert_count"] {
            if let value = try file.double(name(key)), value != 0 { throw unsupported(key, "\(value)", "no such key") }
        }
        for key in ["logit_scale", "residual_scale", "embedding_scale", "attention.scale", "rope.scaling.attn_factor"] {
            if let value = try file.double(name(key)), value != 1 { throw unsupported(key, "\(value)", "no such key") }
        }
        let key = "attention.value_length"
        let heads = max(1, try require("attention.head_count", in: Limits.heads))
        let standing = try require("embedding_length", in: Limits.width) / heads
        let query = try file.integer(name("attention.key_length")) ?? standing
        if let value = try file.integer(name(key)), value != query {
            throw unsupported(key, "\(value)", "the key's \(query)")
        }
    }
}
