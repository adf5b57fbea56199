import DyadFormats

// Softmax whose division comes after the product with the values: `exponential`, then `lateAttention`.

extension Operation {
    /// `exp(score − m)`, m the maximum over the row's visible non-prefix columns.
    ///
    /// Input: masked scores `[heads, tokens, context]` u16. `output`: u8 or u16 of the same shape, scale 1/255 or 1/65535,
    /// zero point 0; zero in prefix columns and masked columns. `prefixWeights`: u32 `[heads, tokens, prefix]` in the
    /// output's unit, saturating; nil without a prefix.
    public struct Exponential: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The tensor it writes.
        public var output: TensorID
        /// The weights of the prefix columns; nil without a prefix.
        public var prefixWeights: TensorID?

        /// Creates the operands.
        public init(input: TensorID, output: TensorID, prefixWeights: TensorID?) {
            self.input = input
            self.output = output
            self.prefixWeights = prefixWeights
        }
    }

    /// `(Σ e·v + Σ w·v_prefix) / (Σ e + Σ w)`: `[heads, tokens, context]` with V to `[tokens, heads · d]`.
    public struct LateAttention: Equatable, Sendable {
        /// The output of an ``Exponential``.
        public var exponentials: TensorID
        /// The weights of the prefix columns; nil without a prefix.
        public var prefixWeights: TensorID?
        /// The position of the cache in ``IntegerGraph/caches``.
        public var cache: Int
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(exponentials: TensorID, prefixWeights: TensorID?, cache: Int, output: TensorID) {
            self.exponentials = exponentials
            self.prefixWeights = prefixWeights
            self.cache = cache
            self.output = output
        }
    }
}

extension Operation.Exponential: OperationDefinition {
    var inputs: [TensorID] { [input] }
    var outputs: [TensorID] { [output] + (prefixWeights.map { [$0] } ?? []) }

    init(_ json: JSONField) throws(DyadError) {
        self.init(
            input: try json.integer("input"), output: try json.integer("output"),
            prefixWeights: try json.optional("prefix_weights")?.integer())
    }

    var json: [(String, JSONValue)] {
        [("input", .integer(input)), ("output", .integer(output)), ("prefix_weights", .optional(prefixWeights))]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        try validator.checkProbabilities(output, [.u8, .u16], like: input)
        let prefix = validator.graph.prefixTokens.count
        guard let weights = prefixWeights else {
            guard prefix == 0 else {
                throw validator.failure("no prefix weights", "them for \(prefix) prefix columns")
            }
            return
        }
        let tensor = validator.graph.tensors[weights]
        let expected: [Dimension] = [.fixed(try validator.scores(input)), .tokens, .fixed(prefix)]
        guard prefix > 0, weights != output, tensor.type == .u32, tensor.shape == expected,
            tensor.encoding == validator.graph.tensors[output].encoding
        else {
            throw validator.failure(
                "prefix weights \(validator.describe(weights))",
                "u32 [heads, tokens, \(prefix)] in the output's encoding")
        }
    }

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.graph.exponentMultiplier(ofScores: input, name: name)
    }

    // MARK: Meaning

    /// exp(score − m), m the maximum over the row's visible columns after the prefix, and the prefix's weights apart.
    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let multiplier = try program.graph.exponentMultiplier(ofScores: input, name: name)
        let (prefix, unit) = (program.graph.prefixTokens.count, program.graph.tensors[output].type.range.upperBound)
        return { [self] state in
            let q = state.values[input]
            var (exponentials, weights): ([Int32], [Int32]) = ([], [])
            exponentials.reserveCapacity(q.count)
            for (start, visible) in state.scoreRows(q.count) {
                let maximum = Int64(q[start + prefix..<start + visible].max() ?? 0)
                for column in 0..<visible {
                    let exponent = multiplier.rescale(Int64(q[start + column]) &- maximum)
                    let value = Int32(truncatingIfNeeded: FixedPoint.exponential(unit: unit, exponent: exponent))
                    exponentials.append(column < prefix ? 0 : value)
                    if column < prefix { weights.append(value) }
                }
                exponentials += repeatElement(0, count: state.context - visible)
            }
            state.values[output] = exponentials
            if let prefixWeights { state.values[prefixWeights] = weights }
        }
    }

    /// A prefix weight saturates, as the integers do: what u32 holds in the output's unit is part of the meaning.
    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        let (scores, prefix) = (state.values[input], program.graph.prefixTokens.count)
        let largest = Double(UInt32.max) * Double(program.graph.tensors[output].encoding.scale)
        var (exponentials, weights): ([Double], [Double]) = ([], [])
        for (start, visible) in state.scoreRows(scores.count) {
            let maximum = scores[start + prefix..<start + visible].max() ?? 0
            let row = scores[start..<start + visible].map { RealArithmetic.exponential($0 - maximum) }
            weights += row[..<prefix].map { min($0, largest) }
            exponentials += repeatElement(0, count: prefix)
            exponentials += row[prefix...]
            exponentials += repeatElement(0, count: state.context - visible)
        }
        state.values[output] = exponentials
        if let prefixWeights { state.values[prefixWeights] = weights }
    }
}

extension Operation.LateAttention: OperationDefinition {
    var inputs: [TensorID] { [exponentials] + (prefixWeights.map { [$0] } ?? []) }
    var outputs: [TensorID] { [output] }

    init(_ json: JSONField) throws(DyadError) {
        self.init(
            exponentials: try json.integer("exponentials"),
            prefixWeights: try json.optional("prefix_weights")?.integer(), cache: try json.integer("cache"),
            output: try json.integer("output"))
    }

    var json: [(String, JSONValue)] {
        [
            ("exponentials", .integer(exponentials)), ("prefix_weights", .optional(prefixWeights)),
            ("cache", .integer(cache)), ("output", .integer(output)),
        ]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        guard case .exponential(let source)? = validator.producers[exponentials]?.kind, source.output == exponentials,
            source.prefixWeights == prefixWeights
        else {
            throw validator.failure("exponentials and prefix weights of different origin", "both of one exponential")
        }
        try validator.checkWeighted(exponentials, cache, output)
    }

    func cost(_ basis: OperationCost.Basis) -> OperationCost {
        OperationCost(work: basis.elements + basis.written * basis.columns)
    }

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.graph.lateAttentionMultiplier(self, name: name)
    }

    // MARK: Meaning

    /// (Σ e·v + Σ w·v_prefix)/(Σ e + Σ w) with one reciprocal a row.
    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let rho = try program.graph.lateAttentionMultiplier(self, name: name)
        let (y, layout, prefix) = (
            program.graph.tensors[output], program.graph.caches[cache], program.graph.prefixTokens.count
        )
        return { [self] state in
            let exponentials = state.values[self.exponentials]
            let prefixWeights = self.prefixWeights.map { state.values[$0] } ?? []
            state.values[output] = state.attended(cache, layout, rows: exponentials.count) { row, sums in
                let start = row * state.context
                let weight: (Int) -> Int64 = { column in
                    column < prefix
                        ? Int64(UInt32(bitPattern: prefixWeights[row * prefix + column]))
                        : Int64(exponentials[start + column])
                }
                let numerators = sums(weight)
                let mass = (0..<state.context).reduce(0) { $0 &+ weight($1) }
                let bits = 64 - mass.leadingZeroBitCount
                let precision = min(30, 54 - bits)
                let extra = Int64(max(0, precision + bits - 31))
                let reciprocal = (rho.multiplier &<< extra) / mass
                let shift = rho.shift + extra
                return numerators.map { y.stored(($0 &* reciprocal &+ (1 &<< (shift &- 1))) &>> shift) }
            }
        }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        let (prefix, context) = (program.graph.prefixTokens.count, state.context)
        var weights = state.values[exponentials]
        for row in 0..<weights.count / context {
            let start = row * context
            if let prefixWeights {
                let apart = state.values[prefixWeights][row * prefix..<(row + 1) * prefix]
                weights.replaceSubrange(start..<start + prefix, with: apart)
            }
            let mass = weights[start..<start + context].reduce(0, +)
            for column in 0..<context { weights[start + column] /= mass }
        }
        state.values[output] = state.averaged(cache, program.graph.caches[cache], weights: weights)
    }
}

extension IntegerGraph {
    /// s_v/s_y, which `lateAttention` folds into its reciprocal (30 bits).
    public func lateAttentionMultiplier(
        _ attention: Operation.LateAttention, name: String
    ) throws(DyadError) -> DyadicMultiplier {
        let (v, y) = (caches[attention.cache].encoding.scale, tensors[attention.output].encoding.scale)
        let ratio = try ExactRatio([v], over: [y], subject: name)
        return try DyadicMultiplier(ratio, bound: 1 << 31, maximumShift: 38, subject: name)
    }
}
