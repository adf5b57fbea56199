import DyadCheckpoint
import DyadGraph
import DyadTransformer

/// Everything that lowering needs: integer weights, the encoding of every site, and the constants beside them.
struct StaticModel {
    var configuration: DecoderConfiguration
    /// Positions the program can hold, prefix included.
    var maximumContext: Int
    var prefixTokens: [Int32] = []
    var embedding: QuantizedWeight
    var head: Linear
    var finalNorm: Norm
    var blocks: [Block]
    var encodings: [SiteKey: Encoding]
    var types: [SiteKey: IntegerType]
    /// What has fixed encodings, and the form of attention.
    var plan: NetworkPlan
    /// The online rotation before down_proj, if any.
    var hadamard: BlockHadamard?

    struct Norm {
        /// nil where it is folded into the weights that follow (all ones).
        var gain: [Float]?
        var bias: [Float]?
    }

    struct Linear {
        var weight: QuantizedWeight
        var bias: [Float]?
    }

    struct Block {
        var attentionNorm: Norm
        var feedForwardNorm: Norm?
        var postAttentionNorm: Norm?
        var postFeedForwardNorm: Norm?
        var query: Linear
        var key: Linear
        var value: Linear
        var output: Linear
        var gate: Linear?
        var up: Linear
        var down: Linear
        var queryNorm: Norm?
        var keyNorm: Norm?
        /// Keys (after rotary) and values of the prefix, `[keyValueHeads, prefix, headDimension]`, real numbers.
        var prefixKeys: [Float] = []
        var prefixValues: [Float] = []
    }
}
