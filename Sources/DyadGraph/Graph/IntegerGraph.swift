import Synchronization

/// A cache of keys or values: u8 with zero point 128, `[keyValueHeads, maximumContext, headDimension]`.
public struct CacheState: Equatable, Sendable {
    /// For example `layers.3.self_attn.k_cache`.
    public var name: String
    /// Heads of keys or values.
    public var keyValueHeads: Int
    /// Channels of one head.
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
    /// Token ids are 0 ..< this.
    public var vocabularySize: Int
    /// Positions the program can hold, prefix included.
    public var maximumContext: Int
    /// Token ids whose keys and values stand first in every cache; a prompt that begins with them drops them.
    public var prefixTokens: [Int32]
    /// The values that flow; a ``TensorID`` is a position here.
    public var tensors: [GraphTensor]
    /// What the file holds beside the graph.
    public var constants: [GraphConstant] { didSet { index = ConstantIndex() } }
    /// Keys and values of each layer.
    public var caches: [CacheState]
    /// In execution order; the first is the embedding, the last is `logits`, or what is done to them.
    public var operations: [Operation]
    /// Places in ``constants`` by name.
    private var index = ConstantIndex()

    /// The description of constant `name`, the first of that name.
    ///
    /// - Cost: the first call is linear in the number of constants, every other constant.
    public func constant(_ name: String) -> GraphConstant? {
        index.place(of: name, in: constants).map { constants[$0] }
    }

    /// The head, which makes the logits; nil in a graph that is not whole.
    public var head: Operation.Linear? {
        for operation in operations.reversed() { if case .logits(let head) = operation.kind { return head } }
        return nil
    }

    /// What the last operation writes: the logits, with all that is done to them.
    public var logits: TensorID? { operations.last?.kind.outputs.first }

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

/// Places of constants by name, made when first asked for. Copies of a graph share it until their constants change.
private final class ConstantIndex: Sendable {
    private let places = Mutex<[String: Int]?>(nil)

    func place(of name: String, in constants: [GraphConstant]) -> Int? {
        places.withLock { places in
            if let places { return places[name] }
            let made = Dictionary(
                constants.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
            places = made
            return made[name]
        }
    }
}

extension ConstantIndex: Equatable {
    /// Always: it follows from the constants, which are compared themselves.
    static func == (left: ConstantIndex, right: ConstantIndex) -> Bool { true }
}
