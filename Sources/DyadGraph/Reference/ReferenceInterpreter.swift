import DyadFormats

/// Executes an integer program operation by operation, slowly and obviously: the meaning of a `.dyad` file.
///
/// Every tensor is a plain row-major array; the arithmetic is that of the files under `Operations`. The runtime computes the same
/// bits; `docs/Dyad.docc/ExactArithmetic.md` says them in words. A tensor of symbolic shape has `tokens` = the tokens of this call, `context` = prefix + tokens so far.
///
/// One row of scores sees the columns `0 … p`, p being its token's absolute position (the prefix counts).
public final class ReferenceInterpreter {
    /// Which rows of logits ``run(tokens:logits:observe:)`` computes.
    public enum LogitRows: Sendable { case all, last }

    /// The program.
    public let program: IntegerProgram
    /// The absolute position of the next token: prefix + tokens so far.
    public var position: Int { state.position }
    /// How many more tokens fit.
    public var remainingContext: Int { program.graph.maximumContext - state.position }

    private let state = ReferenceState()
    private var steps: [ReferenceState.Step] = []
    /// By step.
    private var dead: [[TensorID]] = []
    /// By cache.
    private var prefixRows: [[UInt8]] = []

    /// Validates the program and unpacks its constants.
    ///
    /// - Throws: ``DyadError`` as ``IntegerProgram/validate()``.
    /// - Cost: about three times the file's size in memory.
    public init(_ program: IntegerProgram) throws(DyadError) {
        try program.validate()
        self.program = program
        for operation in program.graph.operations {
            steps.append(try operation.kind.definition.prepare(program, name: operation.name))
        }
        dead = program.graph.deadTensors
        for cache in program.graph.caches { prefixRows.append(try program.prefixRows(of: cache)) }
        reset()
    }

    /// Forgets all tokens; the caches hold the constant prefix only.
    public func reset() {
        let graph = program.graph
        state.position = graph.prefixTokens.count
        state.values = graph.tensors.map { _ in [] }
        state.caches = prefixRows
    }

    /// Runs the next tokens of the sequence.
    ///
    /// - Parameters:
    ///   - tokens: ids; a prompt that begins with the prefix comes without it.
    ///   - logits: all rows, or the last token's only.
    ///   - observe: is called with every tensor as soon as it is produced (u32 as the bits of Int32).
    /// - Returns: logits `[tokens, vocabulary]` (`[1, vocabulary]` for `last`) in steps of 2⁻¹⁶; empty without tokens.
    /// - Throws: ``DyadError`` for an id outside the vocabulary, and where the context is full; nothing has changed then.
    public func run(
        tokens: [Int32], logits: LogitRows = .all, observe: ((TensorID, [Int32]) -> Void)? = nil
    ) throws(DyadError) -> [Int32] {
        let graph = program.graph
        try graph.checkTokens(tokens, position: position)
        guard !tokens.isEmpty else { return [] }
        (state.tokens, state.rows) = (tokens, logits)
        var result: [Int32] = []
        for (index, operation) in graph.operations.enumerated() {
            steps[index](state)
            for tensor in operation.kind.outputs { observe?(tensor, state.values[tensor]) }
            if index == graph.operations.count - 1 { result = graph.logits.map { state.values[$0] } ?? [] }
            for tensor in dead[index] { state.values[tensor] = [] }
        }
        state.position += tokens.count
        return result
    }
}
