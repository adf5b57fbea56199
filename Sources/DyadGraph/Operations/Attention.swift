import DyadFormats

// Attention: products with the caches. A cache is `[column, keyValueHeads, headDimension]`, stored u8 with zero point 128;
// query head h reads key/value head `h / (heads / keyValueHeads)`. Scores are `[heads, tokens, context]`; token t sees
// columns `0 … position + t`.

extension Operation {
    /// A product with a cache.
    ///
    /// `queryKey`: queries u8, or u16 with zero point 32768 and d ≤ 256, `[tokens, heads · d]` with K: scores `[heads, tokens, context]`, times `factor` (1/√d as float32).
    /// `weightedValues`: probabilities u16 `[heads, tokens, context]` with V: `[tokens, heads · d]`; `factor` is 1.
    /// Query head h reads key/value head `h / (heads / keyValueHeads)`.
    public struct Matmul: Equatable, Sendable {
        /// With keys to scores, or with values to the attention's output.
        public enum Form: String, Codable, Sendable { case queryKey, weightedValues }
        /// Channels of a head whose queries may be u16.
        public static let widestHead = 256

        /// Which product.
        public var form: Form
        /// The tensor it reads.
        public var input: TensorID
        /// The position of the cache in ``IntegerGraph/caches``.
        public var cache: Int
        /// A float32 by which the real value is multiplied.
        public var factor: Float
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(form: Form, input: TensorID, cache: Int, factor: Float, output: TensorID) {
            self.form = form
            self.input = input
            self.cache = cache
            self.factor = factor
            self.output = output
        }
    }
}

extension Operation.Matmul: OperationDefinition {
    var inputs: [TensorID] { [input] }
    var outputs: [TensorID] { [output] }

    init(_ json: JSONField) throws(DyadError) {
        self.init(
            form: try Form(json.member("form")), input: try json.integer("input"), cache: try json.integer("cache"),
            factor: try json.float("factor"), output: try json.integer("output"))
    }

    var json: [(String, JSONValue)] {
        [
            ("form", .string(form.name)), ("input", .integer(input)), ("cache", .integer(cache)),
            ("factor", .float(factor)), ("output", .integer(output)),
        ]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        try validator.checkFactor(factor)
        switch form {
        case .queryKey:
            let width = try validator.activation(input)
            let cache = try validator.readableCache(cache)
            let type = validator.graph.tensors[input].type
            guard type == .u8 || type == .u16 else { throw validator.failure("\(type) queries", "u8 or u16") }
            // Σ q·k then fits 32 bits, which kernels rely on.
            guard type == .u8 || validator.graph.tensors[input].encoding.zeroPoint == 32768 else {
                throw validator.failure("u16 queries with another zero point", "32768")
            }
            guard type == .u8 || cache.headDimension <= Self.widestHead else {
                throw validator.failure(
                    "u16 queries of \(cache.headDimension) channels a head", "at most \(Self.widestHead), or u8")
            }
            guard width % cache.headDimension == 0 else {
                throw validator.failure("\(width) query channels", "a multiple of \(cache.headDimension)")
            }
            let heads = try validator.scores(output)
            try validator.equal(heads, width / cache.headDimension, "heads of scores")
            try validator.checkGroups(heads, cache)
        case .weightedValues:
            guard factor == 1 else { throw validator.failure("the factor \(factor)", "1") }
            guard case .softmax? = validator.producers[input]?.kind else {
                throw validator.failure("probabilities that no softmax made", "the output of a softmax")
            }
            try validator.checkWeighted(input, cache, output)
        }
    }

    func cost(_ basis: OperationCost.Basis) -> OperationCost {
        let width = form == .queryKey ? basis.rowElements(input) : basis.written
        return OperationCost(work: basis.elements + width * basis.columns)
    }

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.graph.matmulMultiplier(self, name: name)
    }

    // MARK: Meaning

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let multiplier = try program.graph.matmulMultiplier(self, name: name)
        switch form {
        case .queryKey: return queryKey(program.graph, multiplier)
        case .weightedValues: return weightedValues(program.graph, multiplier)
        }
    }

    /// Σ_d q·k for every column: scores.
    private func queryKey(_ graph: IntegerGraph, _ multiplier: DyadicMultiplier) -> ReferenceState.Step {
        let (x, y, layout) = (graph.tensors[input], graph.tensors[output], graph.caches[cache])
        let size = layout.headDimension
        return { [self] state in
            let (q, columns, tokens) = (state.values[input], state.caches[cache], state.tokens.count)
            let (heads, context) = (q.count / tokens / size, columns.count / layout.columnWidth)
            var result: [Int32] = []
            result.reserveCapacity(heads * tokens * context)
            for head in 0..<heads {
                let keyHead = layout.sharedHead(head, of: heads)
                for token in 0..<tokens {
                    let start = (token * heads + head) * size
                    let query = q[start..<start + size].map { Int16(truncatingIfNeeded: $0 &- x.encoding.zeroPoint) }
                    for column in 0..<context {
                        let sum = Self.dot(query, columns, at: column * layout.columnWidth + keyHead * size)
                        result.append(y.stored(multiplier.rescale(Int64(sum))))
                    }
                }
            }
            state.values[output] = result
        }
    }

    /// Σ q·(k − 128), at most 255 · 128 · headDimension, or 2¹⁵ · 128 · 256 for u16 queries.
    private static func dot(_ query: [Int16], _ columns: [UInt8], at key: Int) -> Int32 {
        columns.withUnsafeBufferPointer { columns in
            query.withUnsafeBufferPointer { query in
                var sum: Int32 = 0
                for index in query.indices { sum &+= Int32(query[index]) &* (Int32(columns[key &+ index]) &- 128) }
                return sum
            }
        }
    }

    /// Σ_columns p·v; masked columns have p = 0.
    private func weightedValues(_ graph: IntegerGraph, _ multiplier: DyadicMultiplier) -> ReferenceState.Step {
        let (y, layout) = (graph.tensors[output], graph.caches[cache])
        return { [self] state in
            let q = state.values[input]
            state.values[output] = state.attended(cache, layout, rows: q.count) { row, sums in
                let start = row * state.context
                return sums { Int64(q[start + $0]) }.map { y.stored(multiplier.rescale($0)) }
            }
        }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        let (x, layout) = (state.values[input], program.graph.caches[cache])
        switch form {
        case .queryKey:
            let (size, columns, tokens) = (layout.headDimension, state.caches[cache], state.tokens.count)
            let heads = x.count / tokens / size
            var scores: [Double] = []
            scores.reserveCapacity(heads * tokens * state.context)
            for head in 0..<heads {
                let place = layout.sharedHead(head, of: heads) * size
                for token in 0..<tokens {
                    let query = (token * heads + head) * size
                    for column in 0..<state.context {
                        let key = column * layout.columnWidth + place
                        scores.append(
                            RealArithmetic.dot(x, at: query, columns, at: key, count: size) * Double(factor))
                    }
                }
            }
            state.values[output] = scores
        case .weightedValues: state.values[output] = state.averaged(cache, layout, weights: x)
        }
    }
}

extension Operation.Matmul.Form {
    fileprivate init(_ json: JSONField) throws(DyadError) {
        switch try json.string() {
        case "query_key": self = .queryKey
        case "weighted_values": self = .weightedValues
        default:
            throw json.failure(
                .malformed, found: json.value.text(), expected: "\"query_key\" or \"weighted_values\"")
        }
    }

    fileprivate var name: String { self == .queryKey ? "query_key" : "weighted_values" }
}

extension IntegerGraph {
    /// s_q·s_k·factor/s_y for `queryKey`, s_p·s_v/s_y for `weightedValues`.
    public func matmulMultiplier(_ matmul: Operation.Matmul, name: String) throws(DyadError) -> DyadicMultiplier {
        let (x, y, cache) = (tensors[matmul.input], tensors[matmul.output], caches[matmul.cache])
        let bound: UInt64
        let ratio: ExactRatio
        switch matmul.form {
        case .queryKey:
            bound = x.maximumMagnitude * 128 * UInt64(cache.headDimension)
            ratio = try ExactRatio(
                [x.encoding.scale, cache.encoding.scale, matmul.factor], over: [y.encoding.scale], subject: name)
        case .weightedValues:
            // A row of probabilities sums to 65,535, give or take half a step a column.
            bound = 128 * (65535 + UInt64(maximumContext))
            ratio = try ExactRatio([x.encoding.scale, cache.encoding.scale], over: [y.encoding.scale], subject: name)
        }
        return try DyadicMultiplier(ratio, bound: bound, subject: name)
    }
}

// MARK: What all products with a cache share

extension CacheState {
    /// Elements of one column.
    var columnWidth: Int { keyValueHeads * headDimension }

    /// The head of keys or values that head `head` of `heads` reads.
    func sharedHead(_ head: Int, of heads: Int) -> Int { head / (heads / keyValueHeads) }
}

extension ReferenceState {
    /// Calls `body` for each of the rows (head, token) of weights `[heads, tokens, context]` and collects `[tokens, heads · d]`.
    ///
    /// `body` gets the row's place among all, and a function that sums weight(column)·(v − 128) over columns, `[d]`.
    func attended(
        _ cache: Int, _ layout: CacheState, rows count: Int,
        body: (_ row: Int, _ sums: ((Int) -> Int64) -> [Int64]) -> [Int32]
    ) -> [Int32] {
        let (columns, size) = (caches[cache], layout.headDimension)
        let (context, tokens) = (columns.count / layout.columnWidth, self.tokens.count)
        let heads = count / tokens / context
        var result = [Int32](repeating: 0, count: tokens * heads * size)
        for head in 0..<heads {
            let valueHead = layout.sharedHead(head, of: heads)
            for token in 0..<tokens {
                let values = body(head * tokens + token) { weight in
                    var sums = [Int64](repeating: 0, count: size)
                    for column in 0..<context {
                        let (factor, value) = (weight(column), column * layout.columnWidth + valueHead * size)
                        if factor == 0 { continue }
                        for index in 0..<size { sums[index] &+= factor &* (Int64(columns[value + index]) &- 128) }
                    }
                    return sums
                }
                let place = (token * heads + head) * size
                result.replaceSubrange(place..<place + size, with: values)
            }
        }
        return result
    }
}

extension ExactState {
    /// Σ_columns weight·v: weights `[heads, tokens, context]` to `[tokens, heads · d]`.
    func averaged(_ cache: Int, _ layout: CacheState, weights: [Double]) -> [Double] {
        let (columns, size, tokens) = (caches[cache], layout.headDimension, self.tokens.count)
        let heads = weights.count / tokens / context
        var result = [Double](repeating: 0, count: tokens * heads * size)
        for head in 0..<heads {
            let place = layout.sharedHead(head, of: heads) * size
            for token in 0..<tokens {
                let (row, output) = ((head * tokens + token) * context, (token * heads + head) * size)
                for column in 0..<context where weights[row + column] != 0 {
                    let (weight, value) = (weights[row + column], column * layout.columnWidth + place)
                    for index in 0..<size { result[output + index] += weight * columns[value + index] }
                }
            }
        }
        return result
    }
}
