import DyadFormats
import DyadGraph

/// The integer graph, or a part of it, at fixed shapes and in the operations that every NPU tool chain has.
///
/// It stands between ``IntegerProgram`` and the writers of the formats: attention is a softmax, the rotary embedding four
/// products, a Hadamard matrix two block products. Every value has an encoding; those that the integer graph does not have
/// (the middle of the Hadamard, products of the rotary embedding, probabilities, 16-bit logits) follow from it by fixed rules,
/// never from data: see ``StaticLowering``.
public struct StaticGraph: Sendable {
    /// The position of a value in ``values``.
    public typealias ValueID = Int

    /// Where a target gets another form of an operation than the program's own.
    enum Rewrite: CaseIterable {
        case fineNorm, fineProjection, lateDivision, softmax, deepMask

        /// What was done to `count` operations.
        func text(_ count: Int) -> String {
            switch self {
            case .fineNorm: "\(count) norms with gains and results at 16 bit, then rounded to the program's"
            case .fineProjection: "\(count) linears of queries, keys and values at 16 bit, then rounded to 8"
            case .lateDivision: "\(count) late divisions as a softmax of logarithms: the program's own function"
            case .softmax: "\(count) late divisions as a softmax over all columns: not the program's own function"
            case .deepMask: "\(count) masked scores with a coarser step, which reaches far below small scores"
            }
        }
    }

    /// What the numbers of a value are.
    public enum ValueType: Equatable, Sendable {
        /// Integers with one encoding.
        case quantized(IntegerType, Encoding)
        /// Symmetric integers (zero point 0) with a scale for each index of the first axis: weights and biases.
        case perRow(IntegerType, scales: [Float])
        /// float32 constants: the gains of a normalisation (HTP's are u16).
        case float
        /// int32 positions or token ids.
        case index
        /// Booleans.
        case condition
    }

    /// What flows between nodes, or stands still.
    public struct Value: Sendable {
        /// Unique; that of the integer graph's tensor where it is one.
        public var name: String
        /// Row-major extents.
        public var shape: [Int]
        /// Its numbers.
        public var type: ValueType
        /// The bytes of a constant, little-endian (i4 packed, low nibble first; i8 two's complement); nil for what is computed or given.
        public var constant: ConstantData?
    }

    /// One operation on real numbers; its result is rounded onto the output's encoding.
    public enum Operation: Equatable, Sendable {
        /// Rows of `[n, width]` at `[tokens]` indices.
        case gather
        /// `[m, k]` times the transposed `[n, k]` weight, plus `[n]` biases if there is a third input.
        case fullyConnected
        /// Matrices on the last two axes; the second input may be a constant with one scale.
        case matmul
        case add, subtract, multiply, maximum
        case sigmoid, relu
        case gelu(tanh: Bool)
        /// Over the last axis.
        case softmax
        /// The second input where the first, a condition, holds; else the third.
        case select
        /// Over the last axis; the second input is the gain, the third of a layerNorm the bias.
        case rmsNorm(epsilon: Float)
        case layerNorm(epsilon: Float)
        /// Over the last axis, which becomes 1.
        case mean
        /// The sum, and the largest, over the last axis, which becomes 1.
        case sum, largest
        /// 1/√x; the largest number of the output's type for 0.
        case reciprocalRoot
        case exponential
        /// Of 0 the smallest number of the output's type, or what the target makes of it.
        case logarithm
        /// A condition: whether the first input is larger than the second.
        case greater
        case reshape
        case transpose([Int])
        case concatenate(axis: Int)
        case slice(axis: Int, start: Int)
        /// To the output's encoding.
        case requantize
    }

    /// An operation with its operands.
    public struct Node: Sendable {
        /// The operation of the integer graph that it comes from.
        public var origin: String
        /// What it computes.
        public var operation: Operation
        /// Its operands.
        public var inputs: [ValueID]
        /// Its result.
        public var output: ValueID
    }

    /// Every value.
    public var values: [Value] = []
    /// In execution order.
    public var nodes: [Node] = []
    /// What the host gives.
    public var inputs: [ValueID] = []
    /// What the host gets.
    public var outputs: [ValueID] = []
    /// Operations that the target got in another form.
    var rewrites: [Rewrite: Int] = [:]
    /// What the real values of a tensor of the integer graph are multiplied by here, its integers being the same: 1/√d of queries.
    package var factors: [String: Float] = [:]

    /// Multiply-accumulates of the matrix products of a step, and how many of them read 16-bit values: on HTP those take twice as long.
    var products: (all: Int, wide: Int) {
        nodes.reduce((0, 0)) { sum, node in
            guard node.operation == .fullyConnected || node.operation == .matmul else { return sum }
            let factors = node.inputs.prefix(2).map { values[$0] }
            let count = values[node.output].shape.reduce(1, *) * (factors[0].shape.last ?? 1)
            let isWide = factors.contains { [.u16, .i16].contains($0.type.integerType) }
            return (sum.0 + count, sum.1 + (isWide ? count : 0))
        }
    }

    /// The value of a name. Linear.
    public func value(named name: String) -> ValueID? { values.firstIndex { $0.name == name } }
}

extension StaticGraph.ValueType {
    /// The one encoding, if there is one.
    public var encoding: Encoding? { if case .quantized(_, let encoding) = self { encoding } else { nil } }
    /// The integer type, if it is quantised.
    public var integerType: IntegerType? {
        switch self {
        case .quantized(let type, _), .perRow(let type, _): type
        case .float, .index, .condition: nil
        }
    }
}

/// Which shapes and which part of a program are exported.
public struct StaticShape: Equatable, Sendable {
    /// Tokens of one step: a prefill chunk, or 1.
    public var tokens: Int
    /// Tokens that a step can see, its own included; the constant prefix comes on top.
    public var context: Int
    /// Which of the step's tokens get logits.
    public var logits: LogitRows
    /// Rows of cache that the host gives.
    public var past: Int { context - tokens }

    /// Which tokens of a step get logits.
    public enum LogitRows: Sendable {
        /// Every one: what a measurement needs.
        case all
        /// The one whose number the input `logit_row` says: all that a prefill needs, at a fraction of the cost.
        case one
    }

    /// Creates a shape.
    public init(tokens: Int, context: Int, logits: LogitRows = .all) {
        self.tokens = tokens
        self.context = context
        self.logits = logits
    }
}

/// A run of the program's operations: models too large for one session are cut at layer boundaries.
public struct ProgramPart: Equatable, Hashable, Sendable {
    /// Whether token ids come in.
    public var embeds: Bool
    /// The layers.
    public var layers: Range<Int>
    /// Whether logits come out.
    public var hasHead: Bool

    /// Creates a part.
    public init(embeds: Bool, layers: Range<Int>, hasHead: Bool) {
        self.embeds = embeds
        self.layers = layers
        self.hasHead = hasHead
    }

    /// All of a program.
    public static func whole(of graph: IntegerGraph) -> ProgramPart {
        ProgramPart(embeds: true, layers: 0..<graph.layerCount, hasHead: true)
    }

    /// The program cut at layer boundaries: the embedding with the first `layers` layers, and so on; the head with the last.
    public static func parts(of graph: IntegerGraph, layers: Int) -> [ProgramPart] {
        let count = graph.layerCount, size = max(layers, 1)
        guard count > size else { return [.whole(of: graph)] }
        return stride(from: 0, to: count, by: size).map { first in
            ProgramPart(
                embeds: first == 0, layers: first..<min(first + size, count), hasHead: first + size >= count)
        }
    }

    /// The most layers with which every part has at most so many bytes of weights; one if not even that does.
    static func layersThatFit(_ bytes: Int?, of graph: IntegerGraph) -> Int {
        guard let bytes else { return graph.layerCount }
        let sizes = Dictionary(
            graph.constants.map {
                ($0.name, $0.shape.reduce(1) { $0.multipliedReportingOverflow(by: $1).partialValue })
            },
            uniquingKeysWith: { $1 })
        // Of the embedding two bytes a weight, and one elsewhere: some targets get 4 bits in 8.
        func weights(_ part: ProgramPart) -> Int {
            graph.operations.filter(part.contains).reduce(0) { sum, operation in
                switch operation.kind {
                case .embed(let embed): sum + 2 * (sizes[embed.weight] ?? 0)
                case .linear(let linear), .logits(let linear): sum + (sizes[linear.weight] ?? 0)
                default: sum
                }
            }
        }
        let count = max(graph.layerCount, 1)
        return (1...count).last { layers in parts(of: graph, layers: layers).allSatisfy { weights($0) <= bytes } } ?? 1
    }

    /// What leaves it: tensors that other parts read, rows for the caches, logits.
    public func outputs(of graph: IntegerGraph) -> Set<TensorID> {
        let own = graph.operations.filter(contains)
        let made = Set(own.flatMap(\.kind.outputs))
        let read = Set(graph.operations.filter { !contains($0) }.flatMap(\.kind.inputs))
        let kept = own.flatMap { operation -> [TensorID] in
            switch operation.kind {
            case .cacheAppend(let append): [append.input]
            default: []
            }
        }
        return made.intersection(read.union(kept).union(graph.logits.map { [$0] } ?? []))
    }

    /// Whether an operation belongs to it.
    func contains(_ operation: DyadGraph.Operation) -> Bool {
        if let layer = operation.layer { return layers.contains(layer) }
        if case .embed = operation.kind { return embeds }
        return hasHead
    }
}

extension IntegerGraph {
    /// One more than the largest number of a layer.
    public var layerCount: Int { operations.lazy.compactMap(\.layer).max().map { $0 + 1 } ?? 0 }
}
