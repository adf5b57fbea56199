import DyadFormats

extension Operation {
    /// Rotary embedding of `[tokens, heads · headDimension]`: within each head, channel i < rotated/2 pairs with
    /// i + rotated/2; channels from `rotated` on are rescaled only.
    ///
    /// `cosine`, `sine`: i16 `[maximumContext, rotated/2]` in Q1.14, row = absolute position (prefix included).
    public struct Rotary: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The table of cosines.
        public var cosine: String
        /// The table of sines.
        public var sine: String
        /// Channels of one head.
        public var headDimension: Int
        /// Channels of a head that are rotated; even.
        public var rotated: Int
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(
            input: TensorID, cosine: String, sine: String, headDimension: Int, rotated: Int, output: TensorID
        ) {
            self.input = input
            self.cosine = cosine
            self.sine = sine
            self.headDimension = headDimension
            self.rotated = rotated
            self.output = output
        }
    }
}

extension Operation.Rotary: OperationDefinition {
    var inputs: [TensorID] { [input] }
    var outputs: [TensorID] { [output] }

    init(_ json: JSONField) throws(DyadError) {
        self.init(
            input: try json.integer("input"), cosine: try json.string("cosine"), sine: try json.string("sine"),
            headDimension: try json.integer("head_dimension"), rotated: try json.integer("rotated"),
            output: try json.integer("output"))
    }

    var json: [(String, JSONValue)] {
        [
            ("input", .integer(input)), ("cosine", .string(cosine)), ("sine", .string(sine)),
            ("head_dimension", .integer(headDimension)), ("rotated", .integer(rotated)), ("output", .integer(output)),
        ]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        let width = try validator.activation(input)
        try validator.equal(try validator.activation(output), width, "output channels")
        try validator.check("headDimension", headDimension, in: 1...GraphLimits.headDimension)
        guard width % headDimension == 0 else {
            throw validator.failure("headDimension \(headDimension)", "a divisor of \(width) channels")
        }
        guard rotated > 0, rotated % 2 == 0, rotated <= headDimension else {
            throw validator.failure("\(rotated) rotated channels", "an even number in 2 … \(headDimension)")
        }
        for table in [cosine, sine] {
            try validator.checkConstant(table, [.i16], [validator.graph.maximumContext, rotated / 2])
        }
    }

    func cost(_ basis: OperationCost.Basis) -> OperationCost {
        let entries = basis.graph.maximumContext * rotated
        return OperationCost(work: basis.elements + entries, memory: 2 * entries)
    }

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.graph.rotaryMultiplier(self, name: name)
        _ = try program.rotaryTables(self, name: name)
    }

    // MARK: Meaning

    /// Rotates the pairs (i, i + rotated/2) of every head by the angle of the token's absolute position.
    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let multiplier = try program.graph.rotaryMultiplier(self, name: name)
        let (cosine, sine) = try program.rotaryTables(self, name: name)
        let (x, y) = (program.graph.tensors[input], program.graph.tensors[output])
        let half = rotated / 2
        return { [self] state in
            let q = state.values[input]
            let width = q.count / state.tokens.count
            var result = [Int32](repeating: 0, count: q.count)
            for head in stride(from: 0, to: q.count, by: headDimension) {
                let position = state.position + head / width
                let x = x.centred(q[head..<head + headDimension])
                for channel in 0..<headDimension {
                    var sum = x[channel] << 14
                    if channel < rotated {
                        let row = position * half + channel % half
                        let (c, s) = (Int64(cosine[row]), Int64(sine[row]))
                        sum =
                            channel < half
                            ? x[channel] * c - x[channel + half] * s : x[channel] * c + x[channel - half] * s
                    }
                    result[head + channel] = y.stored(multiplier.rescale(sum))
                }
            }
            state.values[output] = result
        }
    }

    /// By the angles whose cosines and sines the tables hold: that these are the angles meant is lowering's business.
    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        let cosine = try program.elements(of: cosine, as: Int16.self)
        let sine = try program.elements(of: sine, as: Int16.self)
        let x = state.values[input]
        let (width, half) = (x.count / state.tokens.count, rotated / 2)
        state.values[output] = x.indices.map { index in
            let channel = index % width % headDimension
            guard channel < rotated else { return x[index] }
            let row = (state.position + index / width) * half + channel % half
            let (c, s) = (Double(cosine[row]) / 16384, Double(sine[row]) / 16384)
            return channel < half ? x[index] * c - x[index + half] * s : x[index] * c + x[index - half] * s
        }
    }
}

extension IntegerGraph {
    /// s_x/s_y·2⁻¹⁴ for `x1·cos ± x2·sin` with tables in Q1.14.
    public func rotaryMultiplier(_ rotary: Operation.Rotary, name: String) throws(DyadError) -> DyadicMultiplier {
        let (x, y) = (tensors[rotary.input], tensors[rotary.output])
        let ratio = try ExactRatio([x.encoding.scale], over: [y.encoding.scale], power: -14, subject: name)
        return try DyadicMultiplier(ratio, bound: 2 * x.maximumMagnitude << 14, subject: name)
    }
}

extension IntegerProgram {
    /// The tables of a rotary operation, `[maximumContext, rotated/2]` in Q1.14.
    ///
    /// - Throws: ``DyadError`` where a value is outside [−2¹⁴, 2¹⁴], on which the operation's bound relies.
    public func rotaryTables(
        _ rotary: Operation.Rotary, name: String
    ) throws(DyadError) -> (cosine: [Int16], sine: [Int16]) {
        let cosine = try elements(of: rotary.cosine, as: Int16.self)
        let sine = try elements(of: rotary.sine, as: Int16.self)
        for (table, constant) in [(cosine, rotary.cosine), (sine, rotary.sine)] {
            if let wrong = table.first(where: { $0 < -16384 || $0 > 16384 }) {
                throw DyadError(
                    .malformed, subject: "\(name): \(constant)", found: "the value \(wrong)",
                    expected: "−16384 … 16384, a sine or cosine in Q1.14",
                    remedy: "The file is damaged or was made by another tool: quantise the model again.")
            }
        }
        return (cosine, sine)
    }
}
