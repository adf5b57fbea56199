import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer
import Testing

@Suite("The forward pass", .needsTorch)
struct ForwardTests {
    static let models = ["llama-gqa-untied", "llama-mqa-tied-biases", "qwen3", "gemma", "stablelm"]
    static let tokens: [[Int32]] = [[5, 9, 3, 30, 17, 8, 8, 21], [4, 4, 19, 6, 28, 11, 3, 7]]

    @Test("gives the same in one piece and piece by piece through a cache", arguments: models, [1, 3, 8])
    func cache(_ name: String, chunk: Int) throws {
        let decoder = try Decoder(checkpoint: checkpoint(name))
        let whole = try decoder.forward(Self.tokens)
        for visitor in [nil, Onlooker()] as [Onlooker?] {
            let cache = try KeyValueCache(decoder: decoder, batch: 2, capacity: 8)
            var pieces: [Tensor] = []
            for start in stride(from: 0, to: 8, by: chunk) {
                let part = Self.tokens.map { Array($0[start..<min(start + chunk, 8)]) }
                pieces.append(try decoder.forward(part, cache: cache, visitor: visitor))
            }
            #expect(cache.length == 8)
            #expect(try difference(Tensor.cat(pieces, dim: 1), whole) < 1e-5)
        }
    }

    @Test("gives the same with the division before and after P·V", arguments: models)
    func lateDivision(_ name: String) throws {
        let decoder = try Decoder(checkpoint: checkpoint(name))
        for prefix in [[], [1], [2, 13, 7]] as [[Int32]] {
            decoder.prefix = prefix.isEmpty ? nil : try decoder.computePrefix(prefix)
            decoder.attentionForm = .softmax
            let softmax = try decoder.forward(Self.tokens)
            decoder.attentionForm = .lateDivision
            #expect(try difference(decoder.forward(Self.tokens), softmax) < 1e-4)
            #expect(try difference(decoder.forward(Self.tokens, visitor: Onlooker()), softmax) < 1e-4)
        }
    }

    @Test("with a constant prefix equals feeding the prefix' tokens", arguments: models, AttentionForm.allCases)
    func prefix(_ name: String, form: AttentionForm) throws {
        let decoder = try Decoder(checkpoint: checkpoint(name))
        let prefix: [Int32] = [2, 13, 7]
        let fed = try decoder.forward(Self.tokens.map { prefix + $0 }).narrow(1, start: 3, length: 8)
        decoder.prefix = try decoder.computePrefix(prefix)
        decoder.attentionForm = form
        #expect(try difference(decoder.forward(Self.tokens), fed) < 1e-4)

        let cache = try KeyValueCache(decoder: decoder, batch: 2, capacity: 8)
        let first = try decoder.forward(Self.tokens.map { Array($0[..<5]) }, cache: cache)
        let second = try decoder.forward(Self.tokens.map { Array($0[5...]) }, cache: cache)
        #expect(try difference(Tensor.cat([first, second], dim: 1), fed) < 1e-4)
        // Without the prefix the answer is another one.
        decoder.prefix = nil
        #expect(try difference(decoder.forward(Self.tokens), fed) > 1e-2)
    }

    @Test("block by block over stored hidden states is the whole forward pass")
    func streaming() throws {
        let decoder = try Decoder(checkpoint: checkpoint("llama-gqa-untied"))
        var hidden = try decoder.embed(Self.tokens)
        for layer in 0..<decoder.configuration.layerCount { hidden = try decoder.blockForward(layer, hidden) }
        #expect(try decoder.finalLogits(hidden).isEqual(to: decoder.forward(Self.tokens)))
    }

    @Test("keeps the first of several sequences independent of the others")
    func batch() throws {
        let decoder = try Decoder(checkpoint: checkpoint("qwen2"))
        let alone = try decoder.forward([Self.tokens[0]])
        let together = try decoder.forward(Self.tokens).narrow(0, start: 0, length: 1)
        #expect(try difference(alone, together) < 1e-5)
    }

    @Test("never looks ahead")
    func causal() throws {
        let decoder = try Decoder(checkpoint: checkpoint("llama-gqa-untied"))
        var changed = Self.tokens
        changed[0][7] = 12
        let (a, b) = (try decoder.forward(Self.tokens), try decoder.forward(changed))
        #expect(try difference(a.narrow(1, start: 0, length: 7), b.narrow(1, start: 0, length: 7)) < 1e-6)
        #expect(try difference(a, b) > 1e-2)
    }

    @Test("refuses ids outside the vocabulary, ragged batches, a full cache and foreign weights")
    func errors() throws {
        let decoder = try Decoder(checkpoint: checkpoint("llama-gqa-untied"))
        #expect(throws: DyadError.self) { try decoder.forward([[3, 32]]) }
        #expect(throws: DyadError.self) { try decoder.forward([[3, -1]]) }
        #expect(throws: DyadError.self) { try decoder.forward([[3, 4], [5]]) }
        #expect(throws: DyadError.self) { try decoder.forward([]) }
        let cache = try KeyValueCache(decoder: decoder, batch: 1, capacity: 3)
        _ = try decoder.forward([[3, 4]], cache: cache)
        #expect(throws: DyadError.self) { try decoder.forward([[5, 6]], cache: cache) }
        var weights = decoder.weights
        weights.blocks[1].kProj.weight = weights.blocks[1].qProj.weight
        let refusal = #expect(throws: DyadError.self) {
            try Decoder(configuration: decoder.configuration, weights: weights)
        }
        #expect(refusal?.subject == "model.layers.1.self_attn.k_proj.weight")
    }
}
