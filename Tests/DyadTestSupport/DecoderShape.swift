import DyadGraph

/// What a random decoder program looks like.
public struct DecoderShape: Sendable, CustomStringConvertible {
    /// How attention is normalised.
    public enum Attention: Sendable, CaseIterable { case softmax, late8, late16 }

    /// Blocks.
    public var layers = 2
    /// Channels of the residual stream; even.
    public var hidden = 24
    /// Query heads, a multiple of the key/value heads.
    public var heads = 4
    /// Heads of keys and of values.
    public var keyValueHeads = 2
    /// Channels of one head; even.
    public var headDimension = 8
    /// Channels of the feed-forward part; even.
    public var intermediate = 48
    /// Token ids.
    public var vocabulary = 50
    /// Positions, prefix included.
    public var maximumContext = 40
    /// Prefix tokens.
    public var prefix = 0
    /// 4 or 8 for the linears of the blocks; embedding and head are i8.
    public var weightBits = 8
    /// Softmax or late division.
    public var attention = Attention.softmax
    /// Channels of a head that are rotated; even.
    public var rotated = 8
    /// layerNorm instead of rmsNorm (not for queries and keys).
    public var hasLayerNorm = false
    /// Biases in the blocks' linears.
    public var hasBiases = false
    /// rmsNorm of every head of queries and keys.
    public var hasQueryKeyNorm = false
    /// silu(gate)·up instead of silu(up).
    public var isGated = true
    /// A Hadamard before down_proj.
    public var hasHadamard = false
    /// The input of down_proj at u16.
    public var hasWideDownInput = false
    /// The product before the Hadamard at u16.
    public var hasWideProduct = false
    /// The activation function's input and output at u16.
    public var hasWideActivation = false
    /// One linear for q, k and v, cut by slices.
    public var hasFusedQueryKeyValue = false
    /// o_proj as two linears, concatenated.
    public var hasSplitOutput = false

    /// Attention scores and logits that are capped.
    public var hasSoftCaps = false

    /// The default shape.
    public init() {}

    /// A shape drawn at random; every switch has a fair chance. Small: a token costs some ten thousand products.
    public static func random(using generator: inout some RandomNumberGenerator) -> DecoderShape {
        func flip() -> Bool { Bool.random(using: &generator) }
        var shape = DecoderShape()
        shape.layers = Int.random(in: 1...2, using: &generator)
        shape.keyValueHeads = Int.random(in: 1...3, using: &generator)
        shape.heads = shape.keyValueHeads * Int.random(in: 1...3, using: &generator)
        shape.headDimension = [2, 6, 8, 16, 20, 64].randomElement(using: &generator) ?? 8
        shape.rotated = 2 * Int.random(in: 1...shape.headDimension / 2, using: &generator)
        shape.hidden = 2 * Int.random(in: 4...70, using: &generator)
        shape.intermediate = 2 * Int.random(in: 4...130, using: &generator)
        shape.vocabulary = Int.random(in: 5...300, using: &generator)
        shape.maximumContext = Int.random(in: 24...90, using: &generator)
        shape.prefix = flip() ? Int.random(in: 1...4, using: &generator) : 0
        shape.weightBits = flip() ? 4 : 8
        shape.attention = Attention.allCases.randomElement(using: &generator) ?? .softmax
        shape.hasLayerNorm = flip()
        shape.hasBiases = flip()
        shape.hasQueryKeyNorm = flip()
        shape.isGated = flip()
        shape.hasHadamard = flip()
        shape.hasWideDownInput = flip()
        shape.hasWideActivation = flip()
        shape.hasFusedQueryKeyValue = flip()
        shape.hasSplitOutput = flip()
        shape.hasWideProduct = flip()
        shape.hasSoftCaps = flip()
        return shape
    }

    /// All of it in a line, for failures.
    public var description: String {
        let switches = [
            hasLayerNorm ? "layerNorm" : "rmsNorm", hasBiases ? "biases" : nil, hasQueryKeyNorm ? "qkNorm" : nil,
            isGated ? "gated" : nil, hasHadamard ? "hadamard" : nil, hasWideDownInput ? "down16" : nil,
            hasWideActivation ? "act16" : nil, hasFusedQueryKeyValue ? "fusedQKV" : nil,
            hasSplitOutput ? "splitO" : nil, hasWideProduct ? "product16" : nil,
            hasSoftCaps ? "capped" : nil,
        ].compactMap { $0 }.joined(separator: " ")
        return
            "w\(weightBits) \(layers)×(h\(hidden) \(heads)/\(keyValueHeads)×\(headDimension) r\(rotated) f\(intermediate)) "
            + "v\(vocabulary) c\(maximumContext) p\(prefix) \(attention) \(switches)"
    }
}
