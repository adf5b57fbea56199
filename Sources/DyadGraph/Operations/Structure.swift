import DyadFormats

// Operations that move values and leave them as they are.

extension Operation {
    /// Along the last axis; all encodings are equal.
    public struct Concatenate: Equatable, Sendable {
        /// The tensors it reads, in order.
        public var inputs: [TensorID]
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(inputs: [TensorID], output: TensorID) {
            self.inputs = inputs
            self.output = output
        }
    }

    /// Elements `start ..< start + count` of the last axis; the encoding stays.
    public struct Slice: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The first element that is kept.
        public var start: Int
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, start: Int, output: TensorID) {
            self.input = input
            self.start = start
            self.output = output
        }
    }
}

extension Operation.Concatenate: OperationDefinition {
    var outputs: [TensorID] { [output] }

    init(_ json: JSONField) throws(DyadError) {
        self.init(
            inputs: try json.list("inputs") { (field) throws(DyadError) in try field.integer() },
            output: try json.integer("output"))
    }

    var json: [(String, JSONValue)] {
        [("inputs", .array(inputs.map { .integer($0) })), ("output", .integer(output))]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        try validator.check("the number of inputs", inputs.count, in: 1...1024)
        var width = 0
        for input in inputs {
            width += try validator.activation(input)
            try validator.sameEncoding(input, output)
        }
        try validator.equal(try validator.activation(output), width, "output channels")
    }

    // MARK: Meaning

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        return { [self] state in join(state) }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) { join(state) }

    private func join<Value, CacheValue>(_ state: ExecutionState<Value, CacheValue>) {
        let rows = state.tokens.count
        state.values[output] = (0..<rows).flatMap { row in
            inputs.flatMap { input in
                let width = state.values[input].count / rows
                return state.values[input][row * width..<(row + 1) * width]
            }
        }
    }
}

extension Operation.Slice: OperationDefinition {
    var inputs: [TensorID] { [input] }
    var outputs: [TensorID] { [output] }

    init(_ json: JSONField) throws(DyadError) {
        self.init(
            input: try json.integer("input"), start: try json.integer("start"), output: try json.integer("output"))
    }

    var json: [(String, JSONValue)] {
        [("input", .integer(input)), ("start", .integer(start)), ("output", .integer(output))]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        let (width, count) = (try validator.activation(input), try validator.activation(output))
        guard start >= 0, start <= width - count else {
            throw validator.failure("elements \(start) and \(count - 1) more", "a range inside 0 ..< \(width)")
        }
        try validator.sameEncoding(input, output)
    }

    // MARK: Meaning

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let count = program.graph.tensors[output].width
        return { [self] state in cut(state, count: count) }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        cut(state, count: program.graph.tensors[output].width)
    }

    private func cut<Value, CacheValue>(_ state: ExecutionState<Value, CacheValue>, count: Int) {
        let rows = state.tokens.count
        let width = state.values[input].count / rows
        state.values[output] = (0..<rows).flatMap { row in
            state.values[input][row * width + start..<row * width + start + count]
        }
    }
}
