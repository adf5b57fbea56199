import DyadCheckpoint
import DyadTensor
import DyadTransformer
import Testing

/// x with factors from 1 down to ½ along the last axis: not a mere scale, to which a norm would be blind.
private func tilted(_ x: Tensor) throws -> Tensor {
    try x * Tensor.linspace(from: 1, to: 0.5, count: x.size(-1))
}

@Suite("Sites", .needsTorch)
struct SiteTests {
    static let tokens: [[Int32]] = [[5, 9, 3, 30, 17]]

    private func record(_ name: String, _ set: (Decoder) throws -> Void = { _ in }) throws -> Recorder {
        let decoder = try Decoder(checkpoint: checkpoint(name))
        try set(decoder)
        let recorder = Recorder()
        _ = try decoder.forward(Self.tokens, visitor: recorder)
        return recorder
    }

    @Test("are visited once each, in the order in which keys compare")
    func order() throws {
        let recorder = try record("qwen3") {
            $0.prefix = try $0.computePrefix([1, 2])
            $0.attentionForm = .lateDivision
            $0.onlineRotation = try OnlineRotation(base: Tensor([1.0], shape: [1, 1]), power: 8)
        }
        let keys = recorder.seen.map(\.key)
        #expect(keys == keys.sorted())
        #expect(Set(keys).count == keys.count)
        #expect(Set(keys.map(\.name)).count == keys.count)
        let absent: Set<SiteKey.Site> = [.probabilities, .postAttentionNormOutput, .postFeedForwardNormOutput]
        #expect(Set(keys.map(\.site)) == Set(SiteKey.Site.allCases).subtracting(absent))
        #expect(keys.first == SiteKey.blockInput(0, layerCount: 2))
        #expect(keys.contains(SiteKey.blockInput(1, layerCount: 2)))
        #expect(keys.contains(SiteKey.blockInput(2, layerCount: 2)))
    }

    @Test("have the shapes that the documentation gives")
    func shapes() throws {
        // hidden 16, intermediate 24, 4 heads of 8, 2 key/value heads, vocabulary 32
        let recorder = try record("llama-head-dim") {
            $0.prefix = try $0.computePrefix([1, 2])
            $0.attentionForm = .lateDivision
        }
        let shapes = Dictionary(uniqueKeysWithValues: recorder.seen.map { ($0.key.name, $0.tensor.shape) })
        #expect(shapes["embed_tokens.output"] == [1, 5, 16])
        #expect(shapes["layers.1.residual"] == [1, 5, 16])
        #expect(shapes["layers.0.self_attn.q_proj.output"] == [1, 5, 32])
        #expect(shapes["layers.0.self_attn.k_rotated"] == [1, 5, 16])
        #expect(shapes["layers.0.self_attn.prefix_keys"] == [1, 2, 2, 8])
        #expect(shapes["layers.0.self_attn.scores"] == [1, 4, 5, 7])
        #expect(shapes["layers.0.self_attn.exponentials"] == [1, 4, 5, 5])
        #expect(shapes["layers.0.self_attn.prefix_weights"] == [1, 4, 5, 2])
        #expect(shapes["layers.0.self_attn.output"] == [1, 5, 32])
        #expect(shapes["layers.0.mlp.product"] == [1, 5, 24])
        #expect(shapes["final_residual"] == [1, 5, 16])
        #expect(shapes["logits"] == [1, 5, 32])
    }

    @Test("show 0 in columns that a token may not see", arguments: AttentionForm.allCases)
    func invisible(_ form: AttentionForm) throws {
        let recorder = try record("llama-gqa-untied") { $0.attentionForm = form }
        var checked = 0
        for (key, tensor) in recorder.seen where [.scores, .probabilities, .exponentials].contains(key.site) {
            #expect(try tensor.triu(1).abs().max().item() == 0)
            #expect(try tensor.tril().abs().max().item() > 0)
            checked += 1
        }
        #expect(checked == 4)
    }

    @Test("exponentials reach exactly 1 in every row, and never more")
    func exponentials() throws {
        let recorder = try record("llama-gqa-untied") { $0.attentionForm = .lateDivision }
        for (key, tensor) in recorder.seen where key.site == .exponentials {
            #expect(try difference(tensor.amax([-1]), tensor.amax([-1]).onesLike()) == 0)
        }
    }

    @Test("hand what the visitor returns to the rest of the network")
    func replaced() throws {
        let decoder = try Decoder(checkpoint: checkpoint("llama-gqa-untied"))
        let plain = try decoder.forward(Self.tokens)
        let sites = Set(try record("llama-gqa-untied").seen.map(\.key))
        for key in sites {
            let recorder = Recorder()
            recorder.change = { $0 == key ? try tilted($1) : $1 }
            let moved = try difference(decoder.forward(Self.tokens, visitor: recorder), plain)
            #expect(moved > 1e-3, "\(key)")
        }
    }

    @Test("let every weight be replaced, by its own key", arguments: ["llama-mqa-tied-biases", "qwen3", "stablelm"])
    func weights(_ name: String) throws {
        let decoder = try Decoder(checkpoint: checkpoint(name))
        let recorder = Recorder()
        let plain = try decoder.forward(Self.tokens, visitor: recorder)
        let keys = decoder.weights.keys + (decoder.weights.head == nil ? [WeightKey(.headWeight)] : [])
        #expect(Set(recorder.weights) == Set(keys))
        #expect(recorder.weights.count == keys.count)
        for key in keys {
            let tilting = Recorder()
            tilting.changeWeight = { $0 == key ? try tilted($1) : $1 }
            let moved = try difference(decoder.forward(Self.tokens, visitor: tilting), plain)
            #expect(moved > 1e-5, "\(key.name)")
            // The same through the weights themselves, except for a tied head.
            guard let tensor = decoder.weights[key] else { continue }
            let changed = try decoder.copy()
            changed.weights[key] = try tilted(tensor)
            guard !(key.weight == .embedding && decoder.weights.head == nil) else { continue }
            #expect(
                try difference(changed.forward(Self.tokens), decoder.forward(Self.tokens, visitor: tilting)) < 1e-5)
        }
    }

    @Test("let gradients flow to what a visitor puts in", arguments: AttentionForm.allCases)
    func gradients(_ form: AttentionForm) throws {
        let decoder = try Decoder(checkpoint: checkpoint("llama-gqa-untied"))
        decoder.attentionForm = form
        decoder.prefix = try decoder.computePrefix([1])
        let scale = try Tensor([1] as [Float]).requiresGrad(true)
        let recorder = Recorder()
        recorder.change = { $0 == SiteKey(.kRotated, layer: 0) ? try $1 * scale : $1 }
        let loss = try decoder.forward(Self.tokens, visitor: recorder).square().mean()
        try loss.backward()
        let gradient = try #require(try scale.grad()).item()

        func value(_ factor: Double) throws -> Double {
            let recorder = Recorder()
            recorder.change = { $0 == SiteKey(.kRotated, layer: 0) ? try $1 * factor : $1 }
            return try decoder.forward(Self.tokens, visitor: recorder).to(.float64).square().mean().item()
        }
        let numeric = try (value(1.01) - value(0.99)) / 0.02
        #expect(abs(gradient - numeric) < 0.02 * abs(numeric) + 1e-4)
    }

    @Test("and weights have names that lead back to their keys")
    func names() throws {
        for weight in WeightKey.Weight.allCases {
            let key = WeightKey(weight, layer: weight.isInBlock ? 7 : nil)
            #expect(WeightKey(checkpointName: key.checkpointName) == key)
        }
        #expect(WeightKey(checkpointName: "model.layers.x.self_attn.q_proj.weight") == nil)
        #expect(WeightKey(checkpointName: "model.self_attn.q_proj.weight") == nil)
        #expect(SiteKey(.downOutput, layer: 3).name == "layers.3.mlp.down_proj.output")
    }
}
