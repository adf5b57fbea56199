/// A cache of keys or values: u8 with zero point 128, `[keyValueHeads, maximumContext, headDimension]`.
public struct CacheState: Equatable, Sendable {
    /// For example `layers.3.self_attn.k_cache`.
    public var name: String
    public var keyValueHeads: Int
    public var headDimension: Int
    /// The encoding of what is appended; zero point 128.
    public var encoding: Encoding
    /// The constant u8 `[keyValueHeads, prefix, headDimension]` that fills the first columns; nil without a prefix.
    public var prefix: String?

    /// Creates a cache's description.
    public init(name: String, keyValueHeads: Int, headDimension: Int, encoding: Encoding, prefix: String?) {
        self.name = name
        self.keyValueHeads = keyValueHeads
        self.headDimension = headDimension
        self.encoding = encoding
        self.prefix = prefix
    }
}

/// The integer program without its constants' bytes: what runs, in order, from token ids to logits.
public struct IntegerGraph: Equatable, Sendable {
    public var vocabularySize: Int
    /// Positions the program can hold, prefix included.
    public var maximumContext: Int
    /// Token ids whose keys and values stand first in every cache; a prompt that begins with them drops them.
    public var prefixTokens: [Int32]
    public var tensors: [GraphTensor]
    public var constants: [GraphConstant]
    public var caches: [CacheState]
    /// In execution order; the first is the embedding, the last is `logits`.
    public var operations: [Operation]

    /// Creates a graph; ``validate()`` says whether it is sound.
    public init(
        vocabularySize: Int, maximumContext: Int, prefixTokens: [Int32] = [], tensors: [GraphTensor] = [],
        constants: [GraphConstant] = [], caches: [CacheState] = [], operations: [Operation] = []
    ) {
        self.vocabularySize = vocabularySize
        self.maximumContext = maximumContext
        self.prefixTokens = prefixTokens
        self.tensors = tensors
        self.constants = constants
        self.caches = caches
        self.operations = operations
    }
}
