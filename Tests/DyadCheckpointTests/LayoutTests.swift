import DyadCheckpoint
import DyadFormats
import Testing

/// The same tiny model in every layout that Dyad reads.
@Suite struct LayoutTests {
    static let config: JSONValue = [
        "model_type": "llama", "vocab_size": 8, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16, "rms_norm_eps": 0.00001,
        "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": [2, 3],
    ]

    static let shapes: [(String, [Int])] = {
        var shapes: [(String, [Int])] = [("model.embed_tokens.weight", [8, 8])]
        for layer in 0..<2 {
            let prefix = "model.layers.\(layer)."
            shapes += [
                (prefix + "input_layernorm.weight", [8]), (prefix + "self_attn.q_proj.weight", [8, 8]),
                (prefix + "self_attn.k_proj.weight", [4, 8]), (prefix + "self_attn.v_proj.weight", [4, 8]),
                (prefix + "self_attn.o_proj.weight", [8, 8]), (prefix + "post_attention_layernorm.weight", [8]),
                (prefix + "mlp.gate_proj.weight", [12, 8]), (prefix + "mlp.up_proj.weight", [12, 8]),
                (prefix + "mlp.down_proj.weight", [8, 12]),
            ]
        }
        return shapes + [("model.norm.weight", [8]), ("lm_head.weight", [8, 8])]
    }()

    /// Distinct numbers for every element of every tensor.
    static func values(_ index: Int) -> [Float] {
        (0..<shapes[index].1.reduce(1, *)).map { Float(index * 1000 + $0) }
    }

    static func tensors(_ indices: [Int]) -> [SafetensorsWriter.Tensor] {
        indices.map { .init(shapes[$0].0, .float32, shapes[$0].1, values($0)) }
    }

    private func check(_ checkpoint: Checkpoint) throws {
        #expect(checkpoint.tensorNames == Self.shapes.map { $0.0 })
        for (index, (name, shape)) in Self.shapes.enumerated() {
            #expect(try checkpoint.floats(name) == Self.values(index), "\(name)")
            #expect(try checkpoint.shape(of: name) == shape)
        }
        #expect(throws: DyadError.self) { try checkpoint.floats("model.layers.2.input_layernorm.weight") }
    }

    @Test func aSingleFile() throws {
        try withFolder { folder in
            try AtomicFile.write(folder + "/config.json", text: Self.config.text())
            try SafetensorsWriter.write(folder + "/model.safetensors", Self.tensors(Array(Self.shapes.indices)))
            let checkpoint = try Checkpoint.open(folder)
            try check(checkpoint)
            let view = try #require(try checkpoint.view("lm_head.weight"))
            #expect(try view.floats() == Self.values(Self.shapes.count - 1) && view.type == .float32)
            #expect(throws: DyadError.self) { try checkpoint.tokenizerSource }
            try AtomicFile.write(folder + "/tokenizer.json", text: "{}")
            guard case .folder(folder) = try checkpoint.tokenizerSource else {
                Issue.record("the folder has a tokenizer")
                return
            }
        }
    }

    @Test func shardsWithAnIndex() throws {
        try withFolder { folder in
            try AtomicFile.write(folder + "/config.json", text: Self.config.text())
            var map = JSONObject()
            for shard in 0..<3 {
                let name = "model-0000\(shard + 1)-of-00003.safetensors"
                let indices = Self.shapes.indices.filter { $0 % 3 == shard }
                try SafetensorsWriter.write("\(folder)/\(name)", Self.tensors(indices))
                for index in indices { map[Self.shapes[index].0] = .string(name) }
            }
            let index: JSONValue = ["metadata": ["total_size": 1], "weight_map": .object(map)]
            try AtomicFile.write(folder + "/model.safetensors.index.json", text: index.text())
            try check(try Checkpoint.open(folder))
        }
    }

    /// Two shards; the index says what `map` does.
    private func withShards(
        _ first: [SafetensorsWriter.Tensor], _ second: [SafetensorsWriter.Tensor]?, map: [String: String],
        _ body: (String) throws -> Void
    ) throws {
        try withFolder { folder in
            try AtomicFile.write(folder + "/config.json", text: Self.config.text())
            try SafetensorsWriter.write(folder + "/a.safetensors", first)
            if let second { try SafetensorsWriter.write(folder + "/b.safetensors", second) }
            var members = JSONObject()
            for (name, shard) in map.sorted(by: { $0.key < $1.key }) { members[name] = .string(shard) }
            let index: JSONValue = ["weight_map": .object(members)]
            try AtomicFile.write(folder + "/model.safetensors.index.json", text: index.text())
            try body(folder)
        }
    }

    @Test func theIndexSaysWhichShardsThereAreAndNotWhatIsInThem() throws {
        let (all, half) = (Array(Self.shapes.indices), Self.shapes.count / 2)
        let (first, second) = (Self.tensors(Array(all[..<half])), Self.tensors(Array(all[half...])))
        // Tensors that the index leaves out, or expects in the other shard, count where they are.
        var map = [Self.shapes[0].0: "a.safetensors", Self.shapes[half].0: "b.safetensors"]
        try withShards(first, second, map: map) { try check(try Checkpoint.open($0)) }
        map[Self.shapes[1].0] = "b.safetensors"
        try withShards(first, second, map: map) { try check(try Checkpoint.open($0)) }
        // The same tensor twice is no contradiction.
        try withShards(Self.tensors(all), second, map: map) { try check(try Checkpoint.open($0)) }
    }

    @Test func whatIndexAndShardsContradictIsRefusedByName() throws {
        let all = Array(Self.shapes.indices)
        let name = Self.shapes[0].0
        let map = [name: "a.safetensors", Self.shapes[1].0: "b.safetensors"]
        func refused(
            _ second: [SafetensorsWriter.Tensor]?, map: [String: String], _ reason: DyadError.Reason, _ parts: String...
        ) throws {
            try withShards(Self.tensors(all), second, map: map) { folder in
                let error = #expect(throws: DyadError.self) { _ = try Checkpoint.open(folder) }
                #expect(error?.reason == reason)
                for part in parts { #expect("\(error.map { "\($0)" } ?? "")".contains(part), "\(part)") }
            }
        }
        let other = SafetensorsWriter.Tensor(name, .float32, Self.shapes[0].1, Self.values(0).map { $0 + 1 })
        try refused([other], map: map, .mismatch, name, "a.safetensors", "b.safetensors")
        try refused(nil, map: map, .missing, "b.safetensors", "model.safetensors.index.json", Self.shapes[1].0)
        try refused(nil, map: [:], .malformed, "weight_map", "no tensor")
        try refused(nil, map: ["more.weight": "a.safetensors"], .mismatch, "more.weight", "a.safetensors")
    }

    /// As llama.cpp's converter stores q and k: the halves of a head interleaved.
    private func interleaved(_ values: [Float], heads: Int, columns: Int) -> [Float] {
        let dimension = values.count / columns / heads
        var result: [Float] = []
        for head in 0..<heads {
            for row in 0..<dimension {
                let source = head * dimension + row % 2 * (dimension / 2) + row / 2
                result += values[source * columns..<(source + 1) * columns]
            }
        }
        return result
    }

    @Test func aGGUFFile() throws {
        try withFolder { folder in
            let path = folder + "/model.gguf"
            let names = [
                "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
                "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
                "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
            ]
            let tensors = Self.shapes.enumerated().map { index, entry -> GGUFWriter.Tensor in
                var (name, values) = (entry.0, Self.values(index))
                if name.contains("q_proj") { values = interleaved(values, heads: 2, columns: 8) }
                if name.contains("k_proj") { values = interleaved(values, heads: 1, columns: 8) }
                for (canonical, stored) in names {
                    name = name.replacing("." + canonical + ".", with: "." + stored + ".")
                }
                name = name.replacing("model.layers.", with: "blk.").replacing("model.embed_tokens", with: "token_embd")
                name = name.replacing("model.norm", with: "output_norm").replacing("lm_head", with: "output")
                return .init(name, .f32, entry.1, values)
            }
            let metadata: [(key: String, value: GGUFValue)] = [
                ("general.architecture", .string("llama")), ("llama.context_length", .uint32(16)),
                ("llama.embedding_length", .uint32(8)), ("llama.block_count", .uint32(2)),
                ("llama.feed_forward_length", .uint32(12)), ("llama.attention.head_count", .uint32(2)),
                ("llama.attention.head_count_kv", .uint32(1)),
                ("llama.attention.layer_norm_rms_epsilon", .float32(1e-5)),
                ("tokenizer.ggml.eos_token_id", .uint32(2)), ("tokenizer.ggml.eot_token_id", .uint32(3)),
            ]
            try GGUFWriter.write(path, metadata: metadata, tensors: tensors)
            let checkpoint = try Checkpoint.open(path)
            try check(checkpoint)
            #expect(checkpoint.configuration.vocabularySize == 8)
            #expect(try checkpoint.view("model.layers.0.self_attn.q_proj.weight") == nil)
            #expect(try checkpoint.view("model.layers.0.self_attn.v_proj.weight")?.floats() == Self.values(4))
        }
    }

    @Test func theFingerprintChangesWithTheConfigurationAndWithEveryWeight() throws {
        try withFolder { folder in
            let weights = folder + "/model.safetensors"
            func fingerprint(_ config: JSONValue) throws -> String {
                try AtomicFile.write(folder + "/config.json", text: config.text())
                return try Checkpoint.open(folder).fingerprint()
            }
            try SafetensorsWriter.write(weights, Self.tensors(Array(Self.shapes.indices)))
            let first = try fingerprint(Self.config)
            #expect(try first.count == 64 && first == fingerprint(Self.config))
            var object = try #require(Self.config.object)
            object["rope_theta"] = 20000
            #expect(try fingerprint(.object(object)) != first)
            var bytes = try load(weights)
            bytes[bytes.count - 1] ^= 1
            try save(bytes, weights)
            #expect(try fingerprint(Self.config) != first)
        }
    }
}
