import DyadFormats

extension Operation {
    /// One input, one output, nothing else to know.
    ///
    /// `mask`: scores `[heads, tokens, context]` to the same, columns later than the token's own position set to the
    /// type's lowest value (`softmax` and `exponential` skip those columns by index, whatever they hold).
    /// `softmax`: masked scores u16 to probabilities u16 (scale 1/65535, zero point 0).
    public struct Unary: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, output: TensorID) {
            self.input = input
            self.output = output
        }
    }
}

extension Operation.Unary {
    init(_ json: JSONField) throws(DyadError) {
        self.init(input: try json.integer("input"), output: try json.integer("output"))
    }

    fileprivate var json: [(String, JSONValue)] { [("input", .integer(input)), ("output", .integer(output))] }
}

/// Later columns get the type's lowest value.
struct MaskDefinition: OperationDefinition {
    let operands: Operation.Unary

    var inputs: [TensorID] { [operands.input] }
    var outputs: [TensorID] { [operands.output] }
    var json: [(String, JSONValue)] { operands.json }

    func check(_ validator: GraphValidator) throws(DyadError) {
        _ = try validator.scores(operands.input)
        try validator.same(operands.input, operands.output)
    }

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let lowest = Int32(truncatingIfNeeded: program.graph.tensors[operands.output].type.range.lowerBound)
        return { [operands] state in
            var values = state.values[operands.input]
            for (start, visible) in state.scoreRows(values.count) {
                for column in visible..<state.context { values[start + column] = lowest }
            }
            state.values[operands.output] = values
        }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        let tensor = program.graph.tensors[operands.output]
        let steps = Double(tensor.type.range.lowerBound) - Double(tensor.encoding.zeroPoint)
        var values = state.values[operands.input]
        for (start, visible) in state.scoreRows(values.count) {
            for column in visible..<state.context { values[start + column] = steps * Double(tensor.encoding.scale) }
        }
        state.values[operands.output] = values
    }
}

/// Probabilities in steps of 1/65,535.
struct SoftmaxDefinition: OperationDefinition {
    let operands: Operation.Unary

    var inputs: [TensorID] { [operands.input] }
    var outputs: [TensorID] { [operands.output] }
    var json: [(String, JSONValue)] { operands.json }

    func check(_ validator: GraphValidator) throws(DyadError) {
        try validator.checkProbabilities(operands.output, [.u16], like: operands.input)
    }

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.graph.exponentMultiplier(ofScores: operands.input, name: name)
    }

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let multiplier = try program.graph.exponentMultiplier(ofScores: operands.input, name: name)
        return { [operands] state in
            let q = state.values[operands.input]
            var result: [Int32] = []
            result.reserveCapacity(q.count)
            for (start, visible) in state.scoreRows(q.count) {
                result += Self.row(q[start..<start + visible], multiplier)
                result += repeatElement(0, count: state.context - visible)
            }
            state.values[operands.output] = result
        }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        let scores = state.values[operands.input]
        var result: [Double] = []
        result.reserveCapacity(scores.count)
        for (start, visible) in state.scoreRows(scores.count) {
            let row = scores[start..<start + visible]
            let maximum = row.max() ?? 0
            let exponentials = row.map { RealArithmetic.exponential($0 - maximum) }
            let sum = exponentials.reduce(0, +)
            result += exponentials.map { $0 / sum }
            result += repeatElement(0, count: state.context - visible)
        }
        state.values[operands.output] = result
    }

    /// One row of visible scores: 30-bit exponentials, their exact sum, one normalised reciprocal.
    private static func row(_ scores: ArraySlice<Int32>, _ multiplier: DyadicMultiplier) -> [Int32] {
        let maximum = Int64(scores.max() ?? 0)
        let exponentials = scores.map {
            FixedPoint.exponential(unit: 1 << 30, exponent: multiplier.rescale(Int64($0) &- maximum))
        }
        let sum = exponentials.reduce(0, &+)
        let shift = Int64(64 - sum.leadingZeroBitCount) + 14
        let reciprocal = Int64((UInt128(65535) << UInt128(shift)) / UInt128(sum))
        return exponentials.map { Int32(truncatingIfNeeded: ($0 &* reciprocal &+ (1 &<< (shift &- 1))) &>> shift) }
    }
}

extension IntegerGraph {
    /// s_x·log₂e·2²⁴: score differences of `input` to exponents of two, for `softmax` and `exponential`.
    public func exponentMultiplier(ofScores input: TensorID, name: String) throws(DyadError) -> DyadicMultiplier {
        let ratio = try ExactRatio([tensors[input].encoding.scale], subject: name).timesLog2E
        return try DyadicMultiplier(ratio.multiplied(by: 1, power: 24), bound: 65535, subject: name)
    }
}
