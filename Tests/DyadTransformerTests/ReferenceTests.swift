import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer
import Testing

@Suite("The decoder gives the logits of transformers", .needsTorch)
struct ReferenceTests {
    static let families = [
        "llama-gqa-untied", "llama-mqa-tied-biases", "llama-head-dim", "llama-rope-llama3", "llama-rope-linear",
        "qwen2",
        "qwen3", "gemma", "stablelm", "stablelm-parallel",
    ]

    @Test("for every family and switch of config.json", arguments: families)
    func family(_ name: String) throws {
        let reference = try Reference(name)
        let decoder = try Decoder(checkpoint: checkpoint(name))
        #expect(try difference(decoder.forward(reference.tokens), reference.tensor()) < 1e-4)
        // and on the way where every tensor is visited
        #expect(try difference(decoder.forward(reference.tokens, visitor: Onlooker()), reference.tensor()) < 1e-4)
    }

    /// Switches that no family of the table uses: their checkpoints carry canonical names, and the test the switches.
    static let others: [(String, @Sendable (inout DecoderConfiguration) -> Void)] = [
        (
            "phi",
            {
                $0.keyValueHeadCount = 4
                ($0.normKind, $0.normEpsilon) = (.layer, 1e-5)
                ($0.attentionBias, $0.attentionOutputBias, $0.mlpBias) = (true, true, true)
                ($0.gated, $0.activation, $0.rotaryFraction) = (false, .geluTanh, 0.5)
                ($0.parallelResidual, $0.sharedNorm) = (true, true)
            }
        ),
        (
            "starcoder2",
            {
                ($0.normKind, $0.normEpsilon) = (.layer, 1e-5)
                ($0.attentionBias, $0.attentionOutputBias, $0.mlpBias) = (true, true, true)
                ($0.gated, $0.activation, $0.tieWordEmbeddings) = (false, .gelu, true)
            }
        ),
        (
            "gemma2",
            {
                ($0.headDimension, $0.normAddsOne, $0.postNorms) = (8, true, true)
                ($0.activation, $0.tieWordEmbeddings, $0.embeddingScale) = (.geluTanh, true, 4)
                ($0.scoreCap, $0.logitCap) = (2, 5)
            }
        ),
    ]

    @Test("for switches of other families", arguments: others.indices)
    func other(_ index: Int) throws {
        let (name, change) = Self.others[index]
        var configuration = try checkpoint("llama-gqa-untied").configuration
        change(&configuration)
        let file = try SafetensorsFile(path: fixtures.appendingPathComponent("\(name)/model.safetensors").path)
        let expected = configuration.tensorShapes().map(\.name)
        #expect(Set(file.names) == Set(expected))
        let weights = try DecoderWeights(layerCount: configuration.layerCount) { key in
            guard file.contains(key.checkpointName) else { return nil }
            let view = try file.tensor(key.checkpointName)
            let tensor = try Tensor(view.floats(), shape: view.shape)
            return configuration.normAddsOne && key.weight.isGain ? try tensor + 1 : tensor
        }
        let decoder = try Decoder(configuration: configuration, weights: weights)
        let reference = try Reference(name)
        #expect(try difference(decoder.forward(reference.tokens), reference.tensor()) < 1e-4)
        #expect(try difference(decoder.forward(reference.tokens, visitor: Onlooker()), reference.tensor()) < 1e-4)
    }

    @Test("nearly, in bfloat16")
    func bfloat16() throws {
        let reference = try Reference("llama-gqa-untied")
        let decoder = try Decoder(checkpoint: checkpoint("llama-gqa-untied"), dtype: .bfloat16)
        let error = try difference(decoder.forward(reference.tokens), reference.tensor())
        #expect(error < 0.2)
        #expect(error > 0)
    }
}
