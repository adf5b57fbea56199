import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTokenizer
import DyadTransformer
import Foundation
import Testing

@testable import DyadQuantization

extension Trait where Self == ConditionTrait {
    static var needsTorch: Self { .enabled(if: Torch.isAvailable, "built without libtorch (trait Torch is off)") }
}

/// A shape of decoder that some family has: switches, small enough to run in milliseconds.
struct Shape: Sendable, CustomTestStringConvertible {
    let testDescription: String
    var configuration: DecoderConfiguration

    /// Grouped queries, untied head, RMS norms, gated, no biases; `change` makes it another family.
    init(_ name: String, _ change: (inout DecoderConfiguration) -> Void = { _ in }) {
        testDescription = name
        configuration = DecoderConfiguration(
            family: "tiny", vocabularySize: 64, hiddenSize: 48, intermediateSize: 96, layerCount: 2, headCount: 6,
            keyValueHeadCount: 2, headDimension: 8, normEpsilon: 1e-5, maximumPositions: 256)
        change(&configuration)
    }

    static let plain = Shape("grouped queries, untied head")

    /// The switches of the families, one or two at a time.
    static let rms = [
        plain,
        Shape("tied head, embedding scale") { ($0.tieWordEmbeddings, $0.embeddingScale) = (true, 6.9) },
        Shape("biases everywhere") { ($0.attentionBias, $0.attentionOutputBias, $0.mlpBias) = (true, true, true) },
        Shape("partial rotary") { $0.rotaryFraction = 0.5 },
        Shape("query and key norms") { $0.queryKeyNorm = true },
        Shape("capped scores and logits") { ($0.scoreCap, $0.logitCap) = (4, 8) },
        Shape("not gated, gelu, biases") {
            ($0.gated, $0.activation, $0.mlpBias, $0.attentionBias) = (false, .gelu, true, true)
        },
        Shape("gated tanh-gelu, one head for all values") { ($0.activation, $0.keyValueHeadCount) = (.geluTanh, 1) },
        Shape("parallel, shared norm") { ($0.parallelResidual, $0.sharedNorm) = (true, true) },
        Shape("parallel, two norms") { $0.parallelResidual = true },
        // 36 = 35 + 1 needs Paley's second construction; 60 has a matrix of its own; 52 and 92 have none: blocks of 4.
        Shape("width 36") { $0.hiddenSize = 36 },
        Shape("width 60, heads of 10") { ($0.hiddenSize, $0.headDimension) = (60, 10) },
        Shape("width 52, intermediate 92") { ($0.hiddenSize, $0.intermediateSize) = (52, 92) },
    ]

    static let withoutR1 =
        layerNorms + [
            Shape("norms before and after each part") { $0.postNorms = true }
        ]

    static let layerNorms = [
        Shape("layer norms, biases") {
            ($0.normKind, $0.attentionBias, $0.attentionOutputBias, $0.mlpBias) = (.layer, true, true, true)
        },
        Shape("layer norm shared by parallel parts, not gated, partial rotary, tied") {
            ($0.normKind, $0.parallelResidual, $0.sharedNorm, $0.gated) = (.layer, true, true, false)
            ($0.rotaryFraction, $0.activation, $0.mlpBias, $0.tieWordEmbeddings) = (0.5, .gelu, true, true)
        },
    ]

    static let all = rms + withoutR1
}

/// A decoder with random weights of realistic sizes: activations near 1, uneven norm gains, logits of 1 to 10.
func tinyDecoder(_ shape: Shape = .plain, seed: UInt64 = 1) throws -> Decoder {
    var random = Gaussian(seed: seed)
    let configuration = shape.configuration
    let shapes = Dictionary(
        uniqueKeysWithValues: configuration.tensorShapes().map { ($0.name, $0.shape) })
    let weights = try DecoderWeights(layerCount: configuration.layerCount) { key in
        guard let shape = shapes[key.checkpointName] else { return nil }
        let values: [Float]
        if key.weight == .embedding {
            // Tied, a token's own row is in the stream and would win every time were it larger.
            values = random.values(shape, deviation: configuration.tieWordEmbeddings ? 0.15 : 0.7)
        } else if key.weight.isGain {
            values = random.values(shape, deviation: 0.4).map { 0.3 + abs(1 + $0) }
        } else if shape.count == 1 {
            values = random.values(shape, deviation: 0.3)
        } else {
            // Queries and keys a little larger, so that attention has preferences.
            let factor: Float = key.weight == .qWeight || key.weight == .kWeight ? 1.5 : 1
            values = random.values(shape, deviation: factor / Float(shape[1]).squareRoot())
        }
        return try Tensor(values, shape: shape)
    }
    return try Decoder(configuration: configuration, weights: weights)
}

/// Approximately normal values (sum of twelve uniform ones), equal for equal seeds.
struct Gaussian {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    private mutating func uniform() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(state >> 40) / Float(1 << 24)
    }

    mutating func next() -> Float { (0..<12).reduce(Float(-6)) { sum, _ in sum + uniform() } }

    mutating func values(_ shape: [Int], deviation: Float) -> [Float] {
        (0..<shape.reduce(1, *)).map { _ in next() * deviation }
    }

    mutating func tokens(_ count: Int, below limit: Int) -> [Int32] {
        (0..<count).map { _ in Int32(uniform() * Float(limit)) % Int32(limit) }
    }
}

/// 64 tokens: three special ones (`<s>` begins a text, `</s>` ends it), characters, no merges.
func tinyTokenizer() throws -> Tokenizer {
    let characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?:;".map(String.init)
    let tokens = ["<unk>", "<s>", "</s>", "Ġ", "Ċ"] + characters.prefix(59)
    var vocabulary = JSONObject()
    for (id, token) in tokens.enumerated() { vocabulary.append(token, .integer(id)) }
    let special: [JSONValue] = ["<unk>", "<s>", "</s>"].enumerated().map { id, token in
        ["id": .integer(id), "content": .string(token), "special": true]
    }
    return try Tokenizer(
        json: [
            "added_tokens": .array(special), "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false],
            "decoder": ["type": "ByteLevel"],
            "model": ["type": "BPE", "vocab": .object(vocabulary), "merges": .array([])],
        ], configuration: ["bos_token": "<s>", "eos_token": "</s>"], file: "tiny")
}

/// Text that the decoder writes itself: calibration and held-out windows as in real use.
func tinyText(_ decoder: Decoder, samples: Int = 16, length: Int = 32) throws -> CalibrationText {
    try CalibrationText(
        writtenBy: decoder, firstToken: 1, script: nil, samples: samples, length: length, seed: 5, progress: nil)
}

/// The largest absolute difference; infinite where shapes differ.
func difference(_ a: Tensor, _ b: Tensor) throws -> Double {
    guard a.shape == b.shape else { return .infinity }
    return try (a.to(.float64) - b.to(.float64)).abs().max().item()
}
