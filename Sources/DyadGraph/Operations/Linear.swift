import DyadFormats

extension Operation {
    /// `[tokens, in]` times `weight` i8 or i4 `[out, in]`, per-row `scales` f32 `[out]`, plus `bias` i32 `[out]` at scale s_x·s_w.
    ///
    /// As `logits`, the output is i32 at scale 2⁻¹⁶, saturating.
    public struct Linear: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The constant with the weights.
        public var weight: String
        /// The constant with a scale a row.
        public var scales: String
        /// The constant with the biases, or nil for none.
        public var bias: String?
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, weight: String, scales: String, bias: String? = nil, output: TensorID) {
            self.input = input
            self.weight = weight
            self.scales = scales
            self.bias = bias
            self.output = output
        }
    }
}

extension Operation.Linear {
    init(_ json: JSONField) throws(DyadError) {
        self.init(
            input: try json.integer("input"), weight: try json.string("weight"), scales: try json.string("scales"),
            bias: try json.optionalString("bias"), output: try json.integer("output"))
    }
}

/// linear and logits.
struct LinearDefinition: OperationDefinition {
    let operands: Operation.Linear
    /// The last operation of every program: i32 outputs, and only the last token's row where no more is asked for.
    let isLogits: Bool

    var inputs: [TensorID] { [operands.input] }
    var outputs: [TensorID] { [operands.output] }

    var json: [(String, JSONValue)] {
        [
            ("input", .integer(operands.input)), ("weight", .string(operands.weight)),
            ("scales", .string(operands.scales)), ("bias", .optional(operands.bias)),
            ("output", .integer(operands.output)),
        ]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        let o = operands
        let outputs = isLogits ? try logits(validator) : try validator.activation(o.output)
        let inputs = try validator.activation(o.input)
        try validator.checkConstant(o.weight, [.i8, .i4], [outputs, inputs])
        if validator.constants[o.weight]?.type == .i4, inputs % 2 != 0 {
            throw validator.failure("\(inputs) input channels of 4-bit weights", "an even number")
        }
        try validator.checkConstant(o.scales, [nil], [outputs])
        if let bias = o.bias { try validator.checkConstant(bias, [.i32], [outputs]) }
    }

    /// The number of logits.
    private func logits(_ validator: GraphValidator) throws(DyadError) -> Int {
        let output = validator.graph.tensors[operands.output]
        let expected = Encoding(scale: 0x1p-16, zeroPoint: 0)
        guard output.type == .i32, output.encoding == expected else {
            throw validator.failure(
                "\(output.type) logits at scale \(output.encoding.scale), zero point \(output.encoding.zeroPoint)",
                "i32 at scale 2^-16, zero point 0")
        }
        try validator.equal(try validator.integers(operands.output), validator.graph.vocabularySize, "logits")
        return validator.graph.vocabularySize
    }

    func cost(_ basis: OperationCost.Basis) -> OperationCost {
        let inputs = basis.rowElements(operands.input)
        return OperationCost(
            work: (inputs + OperationCost.derived) * basis.written, memory: (inputs + 48) * basis.written)
    }

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.linearParameters(operands, name: name)
    }

    // MARK: Meaning

    /// `[tokens, in]` times `weights` `[out, in]`, plus bias: `[tokens, out]`.
    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let weights = try program.weights(of: operands.weight)
        let parameters = try program.linearParameters(operands, name: name)
        let (input, output) = (program.graph.tensors[operands.input], program.graph.tensors[operands.output])
        let outputs = parameters.multipliers.count
        let inputs = weights.count / outputs
        return { [operands, isLogits] state in
            var q = state.values[operands.input][...]
            if isLogits, state.rows == .last { q = q.suffix(inputs) }
            let rows = q.count / inputs
            // |x| ≤ 2¹⁵: u8 with any zero point, or u16 with zero point 32,768.
            let x = q.map { Int16(truncatingIfNeeded: $0 &- input.encoding.zeroPoint) }
            var result = [Int32](repeating: 0, count: rows * outputs)
            for channel in 0..<outputs {
                let weight = weights[channel * inputs..<(channel + 1) * inputs].map(Int16.init)
                let multiplier = parameters.multipliers[channel]
                let bias = Int64(parameters.bias?[channel] ?? 0)
                for row in 0..<rows {
                    let sum = Self.dot(x, at: row * inputs, weight)
                    result[row * outputs + channel] = output.stored(multiplier.rescale(sum &+ bias))
                }
            }
            state.values[operands.output] = result
        }
    }

    /// Σ x·w, exact: runs of 256 products of at most 2²² fit Int32, their sums are added in Int64.
    private static func dot(_ x: [Int16], at offset: Int, _ weight: [Int16]) -> Int64 {
        x.withUnsafeBufferPointer { x in
            weight.withUnsafeBufferPointer { weight in
                var total: Int64 = 0
                for start in stride(from: 0, to: weight.count, by: 256) {
                    var sum: Int32 = 0
                    for index in start..<min(start + 256, weight.count) {
                        sum &+= Int32(x[offset &+ index]) &* Int32(weight[index])
                    }
                    total &+= Int64(sum)
                }
                return total
            }
        }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        let (weights, scales) = (try program.weights(of: operands.weight), try program.floats(of: operands.scales))
        let bias = try operands.bias.map { (name) throws(DyadError) in try program.elements(of: name, as: Int32.self) }
        let step = Double(program.graph.tensors[operands.input].encoding.scale)
        let x = state.values[operands.input]
        let (outputs, inputs) = (scales.count, weights.count / scales.count)
        var result = [Double](repeating: 0, count: x.count / inputs * outputs)
        for channel in 0..<outputs {
            let weight = weights[channel * inputs..<(channel + 1) * inputs].map { Double($0) }
            let (offset, scale) = (step * Double(bias?[channel] ?? 0), Double(scales[channel]))
            for row in 0..<x.count / inputs {
                let sum = RealArithmetic.dot(x, at: row * inputs, weight, at: 0, count: inputs)
                result[row * outputs + channel] = (sum + offset) * scale
            }
        }
        state.values[operands.output] = result
    }
}
