import DyadFormats

extension Operation {
    /// Appends `[tokens, keyValueHeads · headDimension]` to the cache number `cache`; the encodings are equal, so it copies.
    public struct CacheAppend: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The position of the cache in ``IntegerGraph/caches``.
        public var cache: Int

        /// Creates the operands.
        public init(input: TensorID, cache: Int) {
            self.input = input
            self.cache = cache
        }
    }
}

extension Operation.CacheAppend: OperationDefinition {
    var inputs: [TensorID] { [input] }
    var outputs: [TensorID] { [] }

    init(_ json: JSONField) throws(DyadError) {
        self.init(input: try json.integer("input"), cache: try json.integer("cache"))
    }

    var json: [(String, JSONValue)] { [("input", .integer(input)), ("cache", .integer(cache))] }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        guard validator.isAppended.indices.contains(cache) else {
            throw validator.failure("the cache \(cache)", "0 ..< \(validator.isAppended.count)")
        }
        let state = validator.graph.caches[cache]
        guard !validator.isAppended[cache] else { throw validator.failure("a second append to \(state.name)", "one") }
        try validator.equal(try validator.activation(input), state.keyValueHeads * state.headDimension, "channels")
        let tensor = validator.graph.tensors[input]
        guard tensor.type == .u8, tensor.encoding == state.encoding else {
            throw validator.failure(
                "\(tensor.name) with another type or encoding than \(state.name)", "u8 and the cache's encoding")
        }
    }

    func cost(_ basis: OperationCost.Basis) -> OperationCost { OperationCost(work: 8 * basis.rowElements(input)) }

    // MARK: Meaning

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        return { [self] state in state.caches[cache] += state.values[input].lazy.map { UInt8(truncatingIfNeeded: $0) } }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        state.caches[cache] += state.values[input]
    }
}

extension IntegerProgram {
    /// What a cache begins with: the rows of the constant prefix, `[columns, heads, size]`; empty without one.
    ///
    /// - Throws: as ``elements(of:as:)``.
    public func prefixRows(of cache: CacheState) throws(DyadError) -> [UInt8] {
        guard let name = cache.prefix else { return [] }
        let (heads, columns, size) = (cache.keyValueHeads, graph.prefixTokens.count, cache.headDimension)
        let bytes = try elements(of: name, as: UInt8.self)  // stored as [heads, columns, size]
        var rows: [UInt8] = []
        rows.reserveCapacity(bytes.count)
        for column in 0..<columns {
            for head in 0..<heads {
                let start = (head * columns + column) * size
                rows += bytes[start..<start + size]
            }
        }
        return rows
    }
}
