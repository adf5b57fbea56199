import DyadFormats

extension Operation {
    /// Rows of a table: token ids to `[tokens, hidden]`. `weight` is i8 `[vocabulary, hidden]`, `scales` f32 `[vocabulary]`.
    public struct Embed: Equatable, Sendable {
        /// The constant with the weights.
        public var weight: String
        /// The constant with a scale a row.
        public var scales: String
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(weight: String, scales: String, output: TensorID) {
            self.weight = weight
            self.scales = scales
            self.output = output
        }
    }
}

extension Operation.Embed: OperationDefinition {
    var inputs: [TensorID] { [] }
    var outputs: [TensorID] { [output] }

    init(_ json: JSONField) throws(DyadError) {
        self.init(
            weight: try json.string("weight"), scales: try json.string("scales"), output: try json.integer("output"))
    }

    var json: [(String, JSONValue)] {
        [("weight", .string(weight)), ("scales", .string(scales)), ("output", .integer(output))]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        let width = try validator.activation(output)
        try validator.checkConstant(weight, [.i8], [validator.graph.vocabularySize, width])
        try validator.checkConstant(scales, [nil], [validator.graph.vocabularySize])
    }

    func cost(_ basis: OperationCost.Basis) -> OperationCost {
        let rows = basis.graph.vocabularySize
        return OperationCost(
            work: basis.elements + OperationCost.derived * rows, memory: (16 + basis.written) * rows)
    }

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.embedMultipliers(self, name: name)
    }

    // MARK: Meaning

    /// `[tokens, hidden]`: rows of the table `[vocabulary, hidden]`, each with its own multiplier.
    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let (weights, multipliers) = (
            try program.weights(of: weight), try program.embedMultipliers(self, name: name)
        )
        let (y, hidden) = (program.graph.tensors[output], weights.count / multipliers.count)
        return { [output] state in
            state.values[output] = state.tokens.flatMap { token in
                let row = Int(token)
                return weights[row * hidden..<(row + 1) * hidden].map {
                    y.stored(multipliers[row].rescale(Int64($0)))
                }
            }
        }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        let (weights, scales) = (try program.weights(of: weight), try program.floats(of: scales))
        let hidden = weights.count / scales.count
        state.values[output] = state.tokens.flatMap { token in
            let row = Int(token)
            return weights[row * hidden..<(row + 1) * hidden].map { Double($0) * Double(scales[row]) }
        }
    }
}

extension IntegerProgram {
    /// The multiplier of every row of the embedding: s_row/s_y, |w| ≤ 128. The graph must be valid.
    ///
    /// - Throws: ``DyadError`` naming the operation.
    public func embedMultipliers(_ embed: Operation.Embed, name: String) throws(DyadError) -> [DyadicMultiplier] {
        let output = graph.tensors[embed.output]
        return try floats(of: embed.scales).map { (scale) throws(DyadError) in
            try DyadicMultiplier(
                try ExactRatio([scale], over: [output.encoding.scale], subject: name), bound: 128, subject: name)
        }
    }

    /// All rows of an embedding as the program computes them, `[vocabulary, width]` in the output's u16, for machines that look
    /// up rows of a table instead of multiplying.
    ///
    /// - Throws: as ``elements(of:as:)``.
    /// - Cost: two bytes an element.
    public func embeddingTable(_ embed: Operation.Embed, name: String) throws(DyadError) -> ConstantData {
        let output = graph.tensors[embed.output]
        let (weights, multipliers) = (try weights(of: embed.weight), try embedMultipliers(embed, name: name))
        let width = weights.count / multipliers.count
        let table = [UInt16](unsafeUninitializedCapacity: weights.count) { table, filled in
            for (row, multiplier) in multipliers.enumerated() {
                for index in row * width..<(row + 1) * width {
                    table[index] = UInt16(truncatingIfNeeded: output.stored(multiplier.rescale(Int64(weights[index]))))
                }
            }
            filled = weights.count
        }
        return ConstantData(table.withUnsafeBytes(Array.init))
    }
}
