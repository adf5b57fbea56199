import DyadCheckpoint
import DyadFormats
import Foundation
import Testing

/// The repository's root.
private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path
private let smollm2 = root + "/.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"

@Suite struct CheckpointTests {
    @Test func everyHostileCheckpointGivesTheErrorItDeserves() throws {
        let folder = fixtures + "/hostile"
        let cases = try HostileCase.all(in: folder)
        #expect(cases.count >= 50)
        for hostile in cases { hostile.check { _ = try Checkpoint.open(folder + "/" + hostile.name) } }
    }

    @Test func everyFamilyHasTheTensorsAndFrequenciesOfTransformers() throws {
        let families = JSONField(try JSONValue.read(fixtures + "/families.json"), file: "families.json")
        for (name, family) in try families.members() {
            try withFolder { folder in
                try AtomicFile.write(folder + "/config.json", text: family.member("config").value.text())
                var tensors: [SafetensorsWriter.Tensor] = []
                for (tensor, shape) in try family.member("tensors").members() {
                    let shape = try shape.elements().map { try $0.integer() }
                    tensors.append(
                        .init(tensor, .float32, shape, [Float](repeating: 0, count: shape.reduce(1, *))))
                }
                try SafetensorsWriter.write(folder + "/model.safetensors", tensors)
                let checkpoint = try Checkpoint.open(folder)
                #expect(Set(checkpoint.tensorNames) == Set(tensors.map { $0.name }), "\(name)")
                let expected = try family.member("inverse_frequencies").elements().map { try $0.double() }
                let frequencies = checkpoint.configuration.inverseFrequencies()
                #expect(frequencies.count == expected.count, "\(name)")
                #expect(zip(frequencies, expected).allSatisfy { abs($0 - $1) <= 1e-6 * abs($1) }, "\(name)")
            }
        }
    }

    @Test func familiesDifferInTheirSwitchesOnly() throws {
        func configuration(_ name: String) throws -> DecoderConfiguration {
            let families = JSONField(try JSONValue.read(fixtures + "/families.json"), file: "families.json")
            let family = try families.member(name)
            var result: DecoderConfiguration?
            try withFolder { folder in
                try AtomicFile.write(folder + "/config.json", text: family.member("config").value.text())
                let tensors = try family.member("tensors").members().map { tensor, shape in
                    let shape = try shape.elements().map { try $0.integer() }
                    return SafetensorsWriter.Tensor(
                        tensor, .float16, shape, [UInt16](repeating: 0, count: shape.reduce(1, *)))
                }
                try SafetensorsWriter.write(folder + "/model.safetensors", tensors)
                result = try Checkpoint.open(folder).configuration
            }
            return try #require(result)
        }
        let gemma = try configuration("gemma")
        #expect(gemma.normAddsOne && gemma.tieWordEmbeddings && gemma.activation == .geluTanh)
        #expect(gemma.embeddingScale == Float(32).squareRoot() && gemma.headDimension == 16)
        let qwen2 = try configuration("qwen2")
        #expect(qwen2.attentionBias && !qwen2.attentionOutputBias && !qwen2.mlpBias)
        #expect(try configuration("qwen3").queryKeyNorm)
        let biased = try configuration("llama_biases")
        #expect(biased.attentionBias && biased.attentionOutputBias && biased.mlpBias && biased.headDimension == 16)
        let stable = try configuration("stablelm_parallel")
        #expect(stable.normKind == .layer && stable.parallelResidual && stable.sharedNorm)
        #expect(stable.rotaryFraction == 0.25 && stable.rotaryDimension == 2)
    }

    @Test(.enabled(if: FileKind(smollm2) == .file, "needs .deps/models: run scripts/setup"))
    func smolLM2FromGGUFIsWhatTransformersLoads() throws {
        let checkpoint = try Checkpoint.open(smollm2)
        let golden = JSONField(try JSONValue.read(fixtures + "/smollm2.json"), file: "smollm2.json")
        for (name, digest) in try golden.members() {
            let floats = try checkpoint.floats(name)
            #expect(floats.withUnsafeBytes { SHA256.hexDigest(of: $0) } == (try digest.string()), "\(name)")
            #expect(try checkpoint.shape(of: name).reduce(1, *) == floats.count)
        }
        let configuration = checkpoint.configuration
        #expect(configuration.layerCount == 30 && configuration.hiddenSize == 576 && configuration.headDimension == 64)
        #expect(configuration.headCount == 9 && configuration.keyValueHeadCount == 3)
        #expect(configuration.ropeTheta == 100_000 && configuration.tieWordEmbeddings)
        #expect(try checkpoint.view("model.norm.weight")?.type == .float32)
        #expect(try checkpoint.view("model.layers.0.self_attn.q_proj.weight") == nil)
        guard case .gguf = try checkpoint.tokenizerSource else {
            Issue.record("the tokenizer of a GGUF file is in the file")
            return
        }
    }
}
