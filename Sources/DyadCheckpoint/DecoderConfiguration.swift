import enum DyadGraph.ActivationFunction

/// The switches of Dyad's one decoder definition: everything that tells one model family or size from another.
///
/// The forward pass, for hidden states `x` of shape `[tokens, hiddenSize]`, `x = embed(ids) * embeddingScale`:
///
///     per layer, sequential:  x += attention(norm(x));  x += mlp(norm(x))
///     per layer, parallel:    n = norm(x);  x += attention(n) + mlp(n)        (parallelResidual, one shared norm)
///     mlp(n), gated:          down(activation(gate(n)) * up(n))
///     mlp(n), otherwise:      down(activation(up(n)))
///     at the end:             logits = head(norm(x))
///
/// Rotary positions always use the half-split layout: element i of a head pairs with i + rotaryDimension / 2.
public struct DecoderConfiguration: Sendable, Equatable {
    /// How a norm centres and scales.
    public enum NormKind: String, Sendable {
        /// x / sqrt(mean(x²) + ε) · w
        case rms
        /// (x − mean(x)) / sqrt(var(x) + ε) · w + b
        case layer
    }

    /// How the rotary frequencies depart from ropeTheta^(−2i/d); see ``DecoderConfiguration/inverseFrequencies()``.
    public enum RopeScaling: Sendable, Equatable {
        /// Not at all.
        case none
        /// Divided by a factor.
        case linear(factor: Double)
        /// Llama 3.1: low frequencies divided by the factor, high ones kept, those between interpolated.
        case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalPositions: Int)
        /// Each divided by its own factor, as a GGUF file's `rope_freqs.weight` says.
        case divided(by: [Float])
    }

    /// The family's name (`llama`), for people only: nothing may depend on it.
    public var family: String
    /// Rows of the embedding and of the head.
    public var vocabularySize: Int
    /// The width of the residual stream.
    public var hiddenSize: Int
    /// The width of the MLP.
    public var intermediateSize: Int
    /// The number of layers.
    public var layerCount: Int
    /// Query heads.
    public var headCount: Int
    /// Key and value heads; divides ``headCount``.
    public var keyValueHeadCount: Int
    /// The width of a head.
    public var headDimension: Int
    /// The kind of every norm except the query and key norms, which are always RMS.
    public var normKind: NormKind = .rms
    /// Whether the stored RMS weights are w − 1 (Gemma), query and key norms included.
    public var normAddsOne = false
    /// ε of every norm.
    public var normEpsilon: Double
    /// Whether q_proj, k_proj and v_proj have a bias.
    public var attentionBias = false
    /// Whether o_proj has a bias.
    public var attentionOutputBias = false
    /// Whether the linears of the MLP have a bias.
    public var mlpBias = false
    /// Whether the MLP has a gate (three linears) or not (two).
    public var gated = true
    /// The nonlinearity of the MLP.
    public var activation: ActivationFunction = .silu
    /// The leading part of each head that rotates, in (0, 1]; see ``rotaryDimension``.
    public var rotaryFraction: Double = 1
    /// The base of the rotary frequencies.
    public var ropeTheta: Double = 10_000
    /// How the rotary frequencies are scaled.
    public var ropeScaling: RopeScaling = .none
    /// Whether the head is the embedding matrix; then there is no `lm_head.weight`.
    public var tieWordEmbeddings = false
    /// What embeddings are multiplied with.
    public var embeddingScale: Float = 1
    /// Whether each query and key head goes through an RMS norm of its own weights before rotation (Qwen3).
    public var queryKeyNorm = false
    /// Whether what attention and MLP give goes through a further norm before it is added to the residual stream.
    public var postNorms = false
    /// c in c · tanh(score / c) of the attention scores, before the mask (Gemma 2); nil where they are not capped.
    public var scoreCap: Double?
    /// The same of the logits.
    public var logitCap: Double?
    /// Whether attention and MLP read the same residual stream and are added together.
    public var parallelResidual = false
    /// Whether the MLP reads the norm that attention reads; there is no `post_attention_layernorm` then.
    public var sharedNorm = false
    /// The most positions the model was made for.
    public var maximumPositions: Int

    /// Creates a configuration from its switches; every default is Llama's.
    public init(
        family: String, vocabularySize: Int, hiddenSize: Int, intermediateSize: Int, layerCount: Int, headCount: Int,
        keyValueHeadCount: Int, headDimension: Int, normKind: NormKind = .rms, normAddsOne: Bool = false,
        normEpsilon: Double, attentionBias: Bool = false, attentionOutputBias: Bool = false, mlpBias: Bool = false,
        gated: Bool = true, activation: ActivationFunction = .silu, rotaryFraction: Double = 1,
        ropeTheta: Double = 10_000, ropeScaling: RopeScaling = .none, tieWordEmbeddings: Bool = false,
        embeddingScale: Float = 1, queryKeyNorm: Bool = false, postNorms: Bool = false, parallelResidual: Bool = false,
        sharedNorm: Bool = false, maximumPositions: Int
    ) {
        self.family = family
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headDimension = headDimension
        self.normKind = normKind
        self.normAddsOne = normAddsOne
        self.normEpsilon = normEpsilon
        self.attentionBias = attentionBias
        self.attentionOutputBias = attentionOutputBias
        self.mlpBias = mlpBias
        self.gated = gated
        self.activation = activation
        self.rotaryFraction = rotaryFraction
        self.ropeTheta = ropeTheta
        self.ropeScaling = ropeScaling
        self.tieWordEmbeddings = tieWordEmbeddings
        self.embeddingScale = embeddingScale
        self.queryKeyNorm = queryKeyNorm
        self.postNorms = postNorms
        self.parallelResidual = parallelResidual
        self.sharedNorm = sharedNorm
        self.maximumPositions = maximumPositions
    }
}

extension DecoderConfiguration {
    /// The number of leading elements of a head that rotate; even.
    public var rotaryDimension: Int { Int(Double(headDimension) * rotaryFraction) }

    /// The width of all query heads together.
    public var queryWidth: Int { headCount * headDimension }

    /// The width of all key (or value) heads together.
    public var keyValueWidth: Int { keyValueHeadCount * headDimension }

    /// The angle in radians by which each rotary pair turns from one position to the next, `rotaryDimension / 2`
    /// values in order: ropeTheta^(−2i/d), scaled as ``ropeScaling`` says.
    public func inverseFrequencies() -> [Double] {
        let dimension = rotaryDimension
        return (0..<dimension / 2).map { index in
            let frequency = power(ropeTheta, -2 * Double(index) / Double(dimension))
            switch ropeScaling {
            case .none: return frequency
            case .linear(let factor): return frequency / factor
            case .divided(let factors): return frequency / Double(factors[index])
            case .llama3(let factor, let low, let high, let positions):
                // How often the pair turns over the original context decides (Llama 3.1's reference code).
                let turns = Double(positions) * frequency / (2 * Double.pi)
                if turns < low { return frequency / factor }
                if turns > high { return frequency }
                let smooth = (turns - low) / (high - low)
                return (1 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}
