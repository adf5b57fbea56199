import DyadFormats

/// The limits of a graph. They keep every product of extents, every sum and every shift of the arithmetic in 64 bits.
public enum GraphLimits {
    /// Elements along one axis (vocabulary, channels).
    public static let extent = 1 << 20
    /// Positions, prefix included: softmax's shift stays at 62 and below.
    public static let context = 1 << 17
    /// Prefix tokens.
    public static let prefix = 4096
    /// Elements that are normalised together.
    public static let normalization = 16384
    /// Channels of one head.
    public static let headDimension = 16384
    /// Operations, tensors, constants, caches, each.
    public static let count = 1 << 20
    /// Rows of a Hadamard base.
    public static let hadamardOrder = 1024
}

extension IntegerGraph {
    /// Checks everything that can be checked without the constants' bytes: names, indices, shapes, types, encodings,
    /// the order of operations, and that a run's work and memory follow from what the constants hold.
    ///
    /// - Throws: ``DyadError`` `malformed` naming the tensor, constant, cache or operation, or `unsupported` for a limit
    ///   of ``GraphLimits``.
    /// - Cost: linear in the graph.
    public func validate() throws(DyadError) {
        var validator = GraphValidator(self)
        try validator.validate()
    }
}

/// The state of one validation: what has been produced so far.
struct GraphValidator {
    let graph: IntegerGraph
    private(set) var constants: [String: GraphConstant] = [:]
    /// The operation that produced each tensor, so far.
    private(set) var producers: [Operation?]
    private(set) var isAppended: [Bool]
    /// The operation being checked, or another subject of errors.
    var subject = "graph"

    init(_ graph: IntegerGraph) {
        self.graph = graph
        producers = graph.tensors.map { _ in nil }
        isAppended = graph.caches.map { _ in false }
    }

    mutating func validate() throws(DyadError) {
        try checkSizes()
        try checkNames()
        for constant in graph.constants {
            subject = constant.name
            guard constant.byteCount != nil, !constant.shape.isEmpty else {
                throw failure("the shape \(constant.shape)", "extents whose product fits 63 bits")
            }
            constants[constant.name] = constant
        }
        for tensor in graph.tensors { try checkTensor(tensor) }
        for cache in graph.caches { try checkCache(cache) }
        var head: TensorID?
        for (index, operation) in graph.operations.enumerated() {
            subject = operation.name
            try checkPlace(index, operation.kind, behind: head)
            if let layer = operation.layer { try check("layer", layer, in: 0...GraphLimits.count - 1) }
            let definition = operation.kind.definition
            for input in definition.inputs { try checkRead(input) }
            for output in definition.outputs { try checkWrite(output) }
            try definition.check(self)
            for output in definition.outputs { producers[output] = operation }
            if let logits = head, let output = definition.outputs.first {
                try same(logits, output)
                head = output
            } else if case .logits(let logits) = operation.kind {
                head = logits.output
            }
            if case .cacheAppend(let append) = operation.kind { isAppended[append.cache] = true }
        }
        for (tensor, producer) in zip(graph.tensors, producers) where producer == nil {
            subject = tensor.name
            throw failure("a tensor that no operation produces", "one producer")
        }
        for (cache, isAppended) in zip(graph.caches, isAppended) where !isAppended {
            subject = cache.name
            throw failure("a cache to which nothing is appended", "one cacheAppend")
        }
        try checkCost()
    }

    // MARK: The parts

    private mutating func checkSizes() throws(DyadError) {
        subject = "graph"
        try check("vocabularySize", graph.vocabularySize, in: 1...GraphLimits.extent)
        try check("maximumContext", graph.maximumContext, in: 1...GraphLimits.context)
        try check(
            "the number of prefix tokens", graph.prefixTokens.count,
            in: 0...min(GraphLimits.prefix, graph.maximumContext - 1))
        for token in graph.prefixTokens { try check("a prefix token", Int(token), in: 0...graph.vocabularySize - 1) }
        try check("the number of operations", graph.operations.count, in: 2...GraphLimits.count)
        try check("the number of tensors", graph.tensors.count, in: 2...GraphLimits.count)
        try check("the number of constants", graph.constants.count, in: 1...GraphLimits.count)
        try check("the number of caches", graph.caches.count, in: 0...GraphLimits.count)
    }

    private mutating func checkNames() throws(DyadError) {
        let lists = [
            ("tensor", graph.tensors.map(\.name)), ("constant", graph.constants.map(\.name)),
            ("cache", graph.caches.map(\.name)), ("operation", graph.operations.map(\.name)),
        ]
        for (kind, names) in lists {
            var seen: Set<String> = []
            for name in names {
                subject = kind
                guard !name.isEmpty, name != "__metadata__" else { throw failure("the name \"\(name)\"", "another") }
                subject = name
                guard seen.insert(name).inserted else { throw failure("two \(kind)s of this name", "one") }
            }
        }
    }

    private mutating func checkTensor(_ tensor: GraphTensor) throws(DyadError) {
        subject = tensor.name
        guard [.u8, .u16, .i32, .u32].contains(tensor.type) else {
            throw failure("the type \(tensor.type)", "u8, u16, i32 or u32")
        }
        try checkEncoding(tensor.encoding)
        guard tensor.type.range.contains(Int64(tensor.encoding.zeroPoint)) else {
            throw failure("the zero point \(tensor.encoding.zeroPoint)", "one inside \(tensor.type)")
        }
        guard (1...3).contains(tensor.shape.count) else {
            throw failure("\(tensor.shape.count) axes", "1 to 3")
        }
        for case .fixed(let extent) in tensor.shape { try check("an extent", extent, in: 1...GraphLimits.extent) }
    }

    private func checkEncoding(_ encoding: Encoding) throws(DyadError) {
        guard encoding.scale.isFinite, encoding.scale > 0 else {
            throw failure("the scale \(encoding.scale)", "a finite positive number")
        }
    }

    private mutating func checkCache(_ cache: CacheState) throws(DyadError) {
        subject = cache.name
        try checkEncoding(cache.encoding)
        guard cache.encoding.zeroPoint == 128 else {
            throw failure("the zero point \(cache.encoding.zeroPoint)", "128")
        }
        try check("keyValueHeads", cache.keyValueHeads, in: 1...GraphLimits.extent)
        try check("headDimension", cache.headDimension, in: 1...GraphLimits.headDimension)
        try check(
            "keyValueHeads · headDimension", cache.keyValueHeads * cache.headDimension, in: 1...GraphLimits.extent)
        guard (cache.prefix == nil) == graph.prefixTokens.isEmpty else {
            throw failure(
                cache.prefix.map { "the prefix \($0)" } ?? "no prefix",
                graph.prefixTokens.isEmpty ? "none, the graph has no prefix tokens" : "one for the prefix tokens")
        }
        if let prefix = cache.prefix {
            try checkConstant(prefix, [.u8], [cache.keyValueHeads, graph.prefixTokens.count, cache.headDimension])
        }
    }

    /// - Parameter head: the logits so far, if they have been made.
    private func checkPlace(
        _ index: Int, _ kind: Operation.Kind, behind head: TensorID?
    ) throws(DyadError) {
        var isEmbed = false
        var isLogits = false
        if case .embed = kind { isEmbed = true }
        if case .logits = kind { isLogits = true }
        guard isEmbed == (index == 0) else {
            throw failure("operation \(index)\(isEmbed ? "" : " not") an embedding", "one embedding, first")
        }
        // Behind the logits stands only what is done to them, one operation after another.
        guard isLogits ? head == nil : head.map({ kind.inputs == [$0] }) ?? true else {
            throw failure("operation \(index) behind the logits", "the logits last, or operations on them alone")
        }
        guard isLogits || head != nil || index < graph.operations.count - 1 else {
            throw failure("operation \(index) not the logits", "one logits, last")
        }
    }

    private func checkRead(_ input: TensorID) throws(DyadError) {
        guard producers.indices.contains(input) else {
            throw failure("the input tensor \(input)", "0 ..< \(producers.count)")
        }
        guard producers[input] != nil else {
            throw failure(
                "the input \(graph.tensors[input].name), which no earlier operation produces",
                "operations in the order of their data")
        }
    }

    private func checkWrite(_ output: TensorID) throws(DyadError) {
        guard producers.indices.contains(output) else {
            throw failure("the output tensor \(output)", "0 ..< \(producers.count)")
        }
        if let producer = producers[output] {
            throw failure(
                "the output \(graph.tensors[output].name), which \(producer.name) produces too", "one producer")
        }
    }

    // MARK: Helpers, also for the operations

    func failure(_ found: String, _ expected: String) -> DyadError {
        DyadError(
            .malformed, subject: subject, found: found, expected: expected,
            remedy: "The file is damaged or was made by another tool: quantise the model again.")
    }

    func check(_ what: String, _ value: Int, in range: ClosedRange<Int>) throws(DyadError) {
        guard range.contains(value) else {
            throw DyadError(
                .unsupported, subject: subject, found: "\(what) = \(value)",
                expected: "\(range.lowerBound) … \(range.upperBound)",
                remedy: "The file is damaged, or the model is larger than Dyad handles.")
        }
    }

    /// Checks that a constant exists and has one of `types` (nil: float32) and exactly `shape`.
    func checkConstant(_ name: String, _ types: [IntegerType?], _ shape: [Int]) throws(DyadError) {
        guard let constant = constants[name] else {
            throw failure("no constant \(name)", "its description")
        }
        guard types.contains(constant.type), constant.shape == shape else {
            func text(_ type: IntegerType?) -> String { type?.rawValue ?? "f32" }
            throw failure(
                "the constant \(name): \(text(constant.type)) \(constant.shape)",
                "\(types.map(text).joined(separator: " or ")) \(shape)")
        }
    }
}
