import DyadFormats
import Testing

@testable import DyadCheckpoint

/// config.json whose fields contradict each other or are missing, against transformers
/// (scripts/fixtures/configurations.py).
@Suite struct ConfigurationTests {
    @Test func contradictionsAreResolvedAsTransformersDoesOrRefusedByName() throws {
        let document = try JSONField(
            JSONValue.read(fixtures + "/configurations.json", allowsNonFinite: true), file: nil)
        let cases = try document.member("cases").elements()
        #expect(cases.count > 300)
        for element in cases {
            let config = try element.member("config")
            let root = JSONField(config.value, file: "config.json")
            let note = Comment(rawValue: config.value.text())
            if let refused = try element.optional("refused") {
                let error = #expect(throws: DyadError.self, note) { try DecoderConfiguration(huggingFace: root) }
                #expect(error?.subject == (try refused.string()) && error?.file == "config.json", note)
                continue
            }
            let read = try DecoderConfiguration(huggingFace: root)
            let expected = try element.member("read")
            #expect(read.headDimension == (try expected.member("head_dim").integer()), note)
            #expect(read.keyValueHeadCount == (try expected.member("kv_heads").integer()), note)
            #expect(read.maximumPositions == (try expected.member("positions").integer()), note)
            #expect(read.tieWordEmbeddings == (try expected.member("tie").bool()), note)
            #expect(read.ropeTheta == (try expected.member("theta").double()), note)
            #expect(read.rotaryFraction == (try expected.member("fraction").double()), note)
            #expect(read.activation == Family.activations[try expected.member("act").string()], note)
            let rope = Array(try expected.member("rope").elements())
            #expect(read.ropeScaling == (try scaling(rope)), note)
        }
    }

    private func scaling(_ rope: [JSONField]) throws -> DecoderConfiguration.RopeScaling {
        switch try rope[0].string() {
        case "default": .none
        case "linear": .linear(factor: try rope[1].double())
        default:
            .llama3(
                factor: try rope[1].double(), lowFrequencyFactor: try rope[2].double(),
                highFrequencyFactor: try rope[3].double(), originalPositions: try rope[4].integer())
        }
    }
}

/// Weights and configuration that are not of one model.
@Suite struct AgreementTests {
    private func open(
        _ changes: [(String, JSONValue)] = [], without dropped: [String] = [],
        with added: [(String, [Int], Float)] = [], _ body: (Result<Checkpoint, DyadError>) throws -> Void
    ) throws {
        try withFolder { folder in
            var config = try #require(LayoutTests.config.object)
            for (key, value) in changes { config[key] = value }
            try AtomicFile.write(folder + "/config.json", text: JSONValue.object(config).text())
            let stored = LayoutTests.tensors(
                LayoutTests.shapes.indices.filter { !dropped.contains(LayoutTests.shapes[$0].0) })
            let more = added.map { name, shape, value in
                SafetensorsWriter.Tensor(name, .float32, shape, [Float](repeating: value, count: shape.reduce(1, *)))
            }
            try SafetensorsWriter.write(folder + "/model.safetensors", stored + more)
            try body(Result { () throws(DyadError) in try Checkpoint.open(folder) })
        }
    }

    private func refused(
        _ changes: [(String, JSONValue)] = [], without dropped: [String] = [],
        with added: [(String, [Int], Float)] = [], tensor: String, naming field: String
    ) throws {
        try open(changes, without: dropped, with: added) { result in
            guard case .failure(let error) = result else {
                Issue.record("\(tensor) beside \(field) is not refused")
                return
            }
            #expect(error.subject?.hasPrefix(tensor) == true, "\(error)")
            #expect(error.expected.contains(field), "\(error)")
            #expect(error.remedy.contains("download") == (error.reason == .malformed), "\(error)")
        }
    }

    @Test func everyContradictionNamesTensorAndField() throws {
        let layer = "model.layers.1."
        try refused([("num_hidden_layers", 1)], tensor: layer, naming: "num_hidden_layers")
        try refused(
            [("num_hidden_layers", 3)], tensor: "model.layers.2.input_layernorm.weight", naming: "num_hidden_layers 3")
        try refused([("vocab_size", 9)], tensor: "model.embed_tokens.weight", naming: "vocab_size")
        try refused(
            [("intermediate_size", 16)], tensor: "model.layers.0.mlp.gate_proj.weight", naming: "intermediate_size")
        try refused([("head_dim", 8)], tensor: "model.layers.0.self_attn.q_proj.weight", naming: "head_dim")
        try refused(
            [("num_key_value_heads", 2)], tensor: "model.layers.0.self_attn.k_proj.weight",
            naming: "num_key_value_heads")
        try refused([("hidden_size", 16)], tensor: "model.embed_tokens.weight", naming: "hidden_size")
        try refused(
            [("attention_bias", true)], tensor: "model.layers.0.self_attn.q_proj.bias",
            naming: "the configuration has biases")
        let bias = "model.layers.0.self_attn.q_proj.bias"
        try refused(with: [(bias, [8], 1)], tensor: bias, naming: "attention_bias")
        let norm = "model.layers.0.self_attn.q_norm.weight"
        try refused(with: [(norm, [4], 1)], tensor: norm, naming: "llama model")
        try refused(without: ["lm_head.weight"], tensor: "lm_head.weight", naming: "tie_word_embeddings is false")
        try refused(without: [layer + "mlp.up_proj.weight"], tensor: layer + "mlp.up_proj.weight", naming: "shape")
    }

    /// Biases of zeros, buffers of old files and what belongs to no language model change nothing.
    @Test func whatChangesNothingIsLeftOut() throws {
        try open(with: [
            ("model.layers.0.self_attn.q_proj.bias", [8], 0), ("model.layers.0.self_attn.rotary_emb.inv_freq", [2], 1),
            ("v_head.summary.weight", [1, 8], 1),
        ]) { result in
            let names = try result.get().tensorNames
            #expect(names == LayoutTests.shapes.map { $0.0 })
        }
    }

    /// As transformers: only equal matrices are tied.
    @Test func aStoredHeadThatIsNotTheEmbeddingCounts() throws {
        try open([("tie_word_embeddings", true)]) { result in
            let isTied = try result.get().configuration.tieWordEmbeddings
            #expect(!isTied)
        }
        let embedding = LayoutTests.values(0)
        try open([("tie_word_embeddings", true)], without: ["lm_head.weight"]) { result in
            let tied = try result.get()
            #expect(tied.configuration.tieWordEmbeddings && !tied.tensorNames.contains("lm_head.weight"))
        }
        try withFolder { folder in
            var config = try #require(LayoutTests.config.object)
            config["tie_word_embeddings"] = true
            try AtomicFile.write(folder + "/config.json", text: JSONValue.object(config).text())
            let all = LayoutTests.tensors(
                LayoutTests.shapes.indices.filter { LayoutTests.shapes[$0].0 != "lm_head.weight" })
            try SafetensorsWriter.write(
                folder + "/model.safetensors", all + [.init("lm_head.weight", .float32, [8, 8], embedding)])
            #expect(try Checkpoint.open(folder).configuration.tieWordEmbeddings)
        }
    }
}
