import DyadFormats

/// Executes an integer program in float64: what its integers approximate.
///
/// Each operation's exact meaning stands beside its integer one, in the files under `Operations`. It knows weights, tables of
/// angles and encodings as the program has them, but rounds and clamps nothing; a lookup is its function, not its table.
public final class ExactEvaluator {
    /// The program.
    public let program: IntegerProgram
    /// The absolute position of the next token: prefix + tokens so far.
    public var position: Int { state.position }

    private let state = ExactState()
    private let prefixRows: [[Double]]

    /// Validates the program.
    ///
    /// - Throws: ``DyadError`` as ``IntegerProgram/validate()``.
    /// - Cost: one pass over all weights.
    public init(_ program: IntegerProgram) throws(DyadError) {
        try program.validate()
        self.program = program
        prefixRows = try program.graph.caches.map { (cache) throws(DyadError) in
            let (scale, zero) = (Double(cache.encoding.scale), Double(cache.encoding.zeroPoint))
            return try program.prefixRows(of: cache).map { scale * (Double($0) - zero) }
        }
        reset()
    }

    /// Forgets all tokens; the caches hold the constant prefix only.
    public func reset() {
        state.position = program.graph.prefixTokens.count
        state.values = program.graph.tensors.map { _ in [] }
        state.caches = prefixRows
    }

    /// Runs the next tokens in real numbers from the embedding to the logits.
    ///
    /// - Returns: logits `[tokens, vocabulary]` in real units.
    /// - Throws: ``DyadError`` for an id outside the vocabulary, and where the context is full; nothing has changed then.
    /// - Cost: a multiplication for each weight and token, and every weight unpacked.
    public func run(tokens: [Int32]) throws(DyadError) -> [Double] {
        try begin(tokens)
        guard !tokens.isEmpty else { return [] }
        let dead = program.graph.deadTensors
        var result: [Double] = []
        for (index, operation) in program.graph.operations.enumerated() {
            try operation.kind.definition.evaluate(program, state)
            if index == dead.count - 1 { result = program.graph.logits.map { state.values[$0] } ?? [] }
            for tensor in dead[index] { state.values[tensor] = [] }
        }
        state.position += tokens.count
        return result
    }

    /// Compares every operation's integers with its exact results on the integers that it read.
    ///
    /// - Parameters:
    ///   - tokens: the next tokens.
    ///   - integers: every tensor of these tokens, as ``ReferenceInterpreter/run(tokens:logits:observe:)`` shows them.
    /// - Returns: one entry a tensor, in execution order.
    /// - Throws: as ``run(tokens:)``.
    public func compare(
        tokens: [Int32], integers: [TensorID: [Int32]]
    ) throws(DyadError) -> [(tensor: TensorID, difference: StepDifference)] {
        try begin(tokens)
        var differences: [(tensor: TensorID, difference: StepDifference)] = []
        guard !tokens.isEmpty else { return differences }
        for operation in program.graph.operations {
            let definition = operation.kind.definition
            for input in definition.inputs {
                state.values[input] = program.graph.tensors[input].real(integers[input] ?? [])
            }
            try definition.evaluate(program, state)
            for output in definition.outputs {
                let tensor = program.graph.tensors[output]
                differences.append(
                    (
                        output,
                        StepDifference(
                            of: tensor, stored: integers[output] ?? [], exact: state.values[output],
                            precision: definition.precision)
                    ))
            }
            for tensor in definition.inputs + definition.outputs { state.values[tensor] = [] }
        }
        state.position += tokens.count
        return differences
    }

    private func begin(_ tokens: [Int32]) throws(DyadError) {
        try program.graph.checkTokens(tokens, position: position)
        state.tokens = tokens
    }
}
