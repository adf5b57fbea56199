import DyadFormats

extension Operation {
    /// Two inputs of equal shape.
    public struct Binary: Equatable, Sendable {
        /// The first addend or factor.
        public var left: TensorID
        /// The second addend or factor.
        public var right: TensorID
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(left: TensorID, right: TensorID, output: TensorID) {
            self.left = left
            self.right = right
            self.output = output
        }
    }

    /// To another encoding or type; the value is multiplied by `factor` (the 1/√n of a Hadamard, else 1).
    public struct Requantize: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// A float32 by which the real value is multiplied.
        public var factor: Float
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, factor: Float, output: TensorID) {
            self.input = input
            self.factor = factor
            self.output = output
        }
    }
}

extension Operation.Binary {
    init(_ json: JSONField) throws(DyadError) {
        self.init(
            left: try json.integer("left"), right: try json.integer("right"), output: try json.integer("output"))
    }
}

/// What multiply and add have in common: all but what they mean.
protocol BinaryDefinition: OperationDefinition {
    var operands: Operation.Binary { get }
}

extension BinaryDefinition {
    var inputs: [TensorID] { [operands.left, operands.right] }
    var outputs: [TensorID] { [operands.output] }
    var json: [(String, JSONValue)] {
        [("left", .integer(operands.left)), ("right", .integer(operands.right)), ("output", .integer(operands.output))]
    }

    func check(_ validator: GraphValidator) throws(DyadError) {
        let width = try validator.activation(operands.output)
        try validator.equal(try validator.activation(operands.left), width, "channels on the left")
        try validator.equal(try validator.activation(operands.right), width, "channels on the right")
    }
}

/// One product, one rescale.
struct MultiplyDefinition: BinaryDefinition {
    let operands: Operation.Binary

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.graph.multiplyMultiplier(operands, name: name)
    }

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let multiplier = try program.graph.multiplyMultiplier(operands, name: name)
        let tensors = program.graph.tensors
        let (a, b, y) = (tensors[operands.left], tensors[operands.right], tensors[operands.output])
        let (za, zb) = (Int64(a.encoding.zeroPoint), Int64(b.encoding.zeroPoint))
        return { [operands] state in
            state.values[operands.output] = zip(state.values[operands.left], state.values[operands.right]).map {
                y.stored(multiplier.rescale((Int64($0) &- za) &* (Int64($1) &- zb)))
            }
        }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        state.values[operands.output] = zip(state.values[operands.left], state.values[operands.right]).map { $0 * $1 }
    }
}

/// Two rescales with one shift and one rounding.
struct AddDefinition: BinaryDefinition {
    let operands: Operation.Binary

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.graph.addMultipliers(operands, name: name)
    }

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let multipliers = try program.graph.addMultipliers(operands, name: name)
        let (ma, mb, shift) = (multipliers.left.multiplier, multipliers.right.multiplier, multipliers.left.shift)
        let tensors = program.graph.tensors
        let (a, b, y) = (tensors[operands.left], tensors[operands.right], tensors[operands.output])
        let (za, zb) = (Int64(a.encoding.zeroPoint), Int64(b.encoding.zeroPoint))
        return { [operands] state in
            state.values[operands.output] = zip(state.values[operands.left], state.values[operands.right]).map {
                let sum = (Int64($0) &- za) &* ma &+ (Int64($1) &- zb) &* mb
                return y.stored((sum &+ (1 &<< (shift &- 1))) &>> shift)
            }
        }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        state.values[operands.output] = zip(state.values[operands.left], state.values[operands.right]).map { $0 + $1 }
    }
}

extension Operation.Requantize: OperationDefinition {
    var inputs: [TensorID] { [input] }
    var outputs: [TensorID] { [output] }

    init(_ json: JSONField) throws(DyadError) {
        self.init(
            input: try json.integer("input"), factor: try json.float("factor"), output: try json.integer("output"))
    }

    var json: [(String, JSONValue)] {
        [("input", .integer(input)), ("factor", .float(factor)), ("output", .integer(output))]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        try validator.checkFactor(factor)
        let isWide = validator.graph.tensors[input].type == .i32
        let width = isWide ? try validator.integers(input) : try validator.activation(input)
        try validator.equal(try validator.activation(output), width, "output channels")
    }

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.graph.requantizeMultiplier(self, name: name)
    }

    // MARK: Meaning

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let multiplier = try program.graph.requantizeMultiplier(self, name: name)
        let (x, y) = (program.graph.tensors[input], program.graph.tensors[output])
        let zero = Int64(x.encoding.zeroPoint)
        return { [self] state in
            state.values[output] = state.values[input].map { y.stored(multiplier.rescale(Int64($0) &- zero)) }
        }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        state.values[output] = state.values[input].map { $0 * Double(factor) }
    }
}

/// All throw ``DyadError`` naming the operation where scales are too far apart or not finite.
extension IntegerGraph {
    /// s_a·s_b/s_y.
    public func multiplyMultiplier(_ binary: Operation.Binary, name: String) throws(DyadError) -> DyadicMultiplier {
        let (a, b, y) = (tensors[binary.left], tensors[binary.right], tensors[binary.output])
        let ratio = try ExactRatio([a.encoding.scale, b.encoding.scale], over: [y.encoding.scale], subject: name)
        return try DyadicMultiplier(ratio, bound: a.maximumMagnitude * b.maximumMagnitude, subject: name)
    }

    /// s_a/s_y and s_b/s_y with one shift.
    public func addMultipliers(
        _ binary: Operation.Binary, name: String
    ) throws(DyadError) -> (left: DyadicMultiplier, right: DyadicMultiplier) {
        let (a, b, y) = (tensors[binary.left], tensors[binary.right], tensors[binary.output])
        let ratios = [
            try ExactRatio([a.encoding.scale], over: [y.encoding.scale], subject: name),
            try ExactRatio([b.encoding.scale], over: [y.encoding.scale], subject: name),
        ]
        let both = try DyadicMultiplier.shared(ratios, bound: 65535, subject: name)
        return (both[0], both[1])
    }

    /// s_x·factor/s_y.
    public func requantizeMultiplier(
        _ requantize: Operation.Requantize, name: String
    ) throws(DyadError) -> DyadicMultiplier {
        let (x, y) = (tensors[requantize.input], tensors[requantize.output])
        let ratio = try ExactRatio([x.encoding.scale, requantize.factor], over: [y.encoding.scale], subject: name)
        return try DyadicMultiplier(ratio, bound: x.maximumMagnitude, subject: name)
    }
}
