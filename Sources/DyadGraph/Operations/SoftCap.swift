import DyadFormats

extension Operation {
    /// cap · tanh(input / cap): what Gemma 2 does to its attention scores, before the mask, and to its logits.
    ///
    /// Scores u16 `[heads, tokens, context]` to the same, or the i32 result of `logits` to the same; such an operation
    /// stands behind the logits and is then the last.
    public struct SoftCap: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The bound, in real units.
        public var cap: Float
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, cap: Float, output: TensorID) {
            self.input = input
            self.cap = cap
            self.output = output
        }
    }
}

extension Operation.SoftCap: OperationDefinition {
    var inputs: [TensorID] { [input] }
    var outputs: [TensorID] { [output] }

    init(_ json: JSONField) throws(DyadError) {
        self.init(input: try json.integer("input"), cap: try json.float("cap"), output: try json.integer("output"))
    }

    var json: [(String, JSONValue)] {
        [("input", .integer(input)), ("cap", .float(cap)), ("output", .integer(output))]
    }

    /// Of tanh: 9.2·10⁻⁸ the lines, 3·10⁻⁸ the argument's unit, and the entries' own.
    var precision: Double { 1.3e-7 * Double(cap) }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        try validator.checkFactor(cap)
        guard validator.graph.tensors[input].type == .i32 else {
            try validator.equal(try validator.scores(output), try validator.scores(input), "heads of scores")
            return
        }
        guard case .logits? = validator.producers[input]?.kind else {
            throw validator.failure(validator.describe(input), "scores, or the logits of the head")
        }
        try validator.same(input, output)
    }

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.graph.softCapParameters(self, name: name)
    }

    // MARK: Meaning

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let parameters = try program.graph.softCapParameters(self, name: name)
        let (x, y) = (program.graph.tensors[input], program.graph.tensors[output])
        let zero = Int64(x.encoding.zeroPoint)
        return { [self] state in
            state.values[output] = state.values[input].map { q in
                let tangent = FixedPoint.hyperbolicTangent(parameters.argument.rescale(Int64(q) &- zero))
                return y.stored(parameters.result.rescale(tangent))
            }
        }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        let cap = Double(cap)
        state.values[output] = state.values[input].map { cap * RealArithmetic.hyperbolicTangent($0 / cap) }
    }
}

extension IntegerGraph {
    /// s_x·2²⁴/cap for the argument of tanh, and cap·2⁻³⁰/s_y for its value.
    ///
    /// - Throws: ``DyadError`` naming the operation where scales are too far apart or not finite.
    public func softCapParameters(
        _ softCap: Operation.SoftCap, name: String
    ) throws(DyadError) -> (argument: DyadicMultiplier, result: DyadicMultiplier) {
        let (x, y) = (tensors[softCap.input], tensors[softCap.output])
        let argument = try ExactRatio([x.encoding.scale], over: [softCap.cap], power: 24, subject: name)
        let result = try ExactRatio([softCap.cap], over: [y.encoding.scale], power: -30, subject: name)
        return (
            try DyadicMultiplier(argument, bound: x.maximumMagnitude, subject: name),
            try DyadicMultiplier(result, bound: 1 << 30, subject: name)
        )
    }
}

extension FixedPoint {
    /// tanh(x/2²⁴) · 2³⁰, by straight lines between the entries of ``hyperbolicTangents``; ±2³⁰ beyond |x| = 16 · 2²⁴.
    ///
    /// The lines are at most 9.2·10⁻⁸ off.
    static func hyperbolicTangent(_ x: Int64) -> Int64 {
        let magnitude = Int64(min(x.magnitude, 1 << 28))
        let (place, fraction) = (Int(magnitude &>> 14), magnitude & 0x3FFF)
        let (left, right) = (Int64(hyperbolicTangents[place]), Int64(hyperbolicTangents[place + 1]))
        let value = left &+ (((right &- left) &* fraction &+ 0x2000) &>> 14)
        return x < 0 ? -value : value
    }

    /// tanh(i/1024) · 2³⁰ for i = 0 … 16,385, from (1 − e)/(1 + e) with e = exp(−2i/1024) to 30 bits.
    public static let hyperbolicTangents: [Int32] = (0...16_385).map { (index: Int64) in
        // 2·log₂e·i/1024 in units of 2⁻²⁴, log₂e = 1,549,082,005 · 2⁻³⁰.
        let exponent = -((index &* 1_549_082_005 &+ (1 << 14)) &>> 15)
        let (one, e) = (Int64(1) << 30, exponential(unit: 1 << 30, exponent: exponent))
        return Int32(((one &- e) << 30 &+ (one &+ e) / 2) / (one &+ e))
    }
}
