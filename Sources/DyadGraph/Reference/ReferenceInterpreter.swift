import DyadFormats

/// Executes an integer program operation by operation, slowly and obviously: the meaning of a `.dyad` file.
///
/// Every tensor is a plain row-major array; ``ReferenceOperations`` holds the arithmetic. The runtime computes the same
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

    private var state = State()
    private var steps: [(State) -> Void] = []
    /// The tensors that nobody reads after step i.
    private var dead: [[TensorID]] = []
    /// By cache.
    private var prefixRows: [[UInt8]] = []

    /// What lives during a call (`values`, `tokens`, `rows`) and between calls (`caches`, `position`).
    private final class State {
        var values: [[Int32]] = []
        var tokens: [Int32] = []
        var rows = LogitRows.all
        var position = 0
        /// `[column, keyValueHeads · headDimension]` by cache.
        var caches: [[UInt8]] = []
    }

    /// Validates the program and unpacks its constants.
    ///
    /// - Throws: ``DyadError`` as ``IntegerProgram/validate()``.
    /// - Cost: about three times the file's size in memory.
    public init(_ program: IntegerProgram) throws(DyadError) {
        try program.validate()
        self.program = program
        for operation in program.graph.operations { steps.append(try prepare(operation)) }
        var lastUse = program.graph.tensors.map { _ in 0 }
        for (index, operation) in program.graph.operations.enumerated() {
            for tensor in operation.kind.inputs + operation.kind.outputs { lastUse[tensor] = index }
        }
        dead = program.graph.operations.map { _ in [] }
        for (tensor, index) in lastUse.enumerated() { dead[index].append(tensor) }
        for cache in program.graph.caches { prefixRows.append(try Self.rows(before: cache, of: program)) }
        reset()
    }

    /// Forgets all tokens; the caches hold the constant prefix only.
    public func reset() {
        let graph = program.graph
        state.position = graph.prefixTokens.count
        state.values = graph.tensors.map { _ in [] }
        state.caches = prefixRows
    }

    /// What a cache begins with: the rows of the constant prefix, `[columns, heads, size]`.
    private static func rows(before cache: CacheState, of program: IntegerProgram) throws(DyadError) -> [UInt8] {
        guard let name = cache.prefix else { return [] }
        let (heads, columns, size) = (cache.keyValueHeads, program.graph.prefixTokens.count, cache.headDimension)
        var rows: [UInt8] = []
        try program.data(of: name).withUnsafeBytes { bytes in  // stored as [heads, columns, size]
            for column in 0..<columns {
                for head in 0..<heads {
                    let start = (head * columns + column) * size
                    rows += bytes[start..<start + size]
                }
            }
        }
        return rows
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
        for token in tokens where token < 0 || token >= graph.vocabularySize {
            throw DyadError(
                .mismatch, subject: "token ids", found: "the id \(token)", expected: "0 ..< \(graph.vocabularySize)",
                remedy: "Tokenise the text with this model's own tokenizer.")
        }
        guard tokens.count <= remainingContext else {
            throw DyadError(
                .failed, subject: "context", found: "\(tokens.count) tokens at position \(position)",
                expected: "at most \(remainingContext) more (the program holds \(graph.maximumContext))",
                remedy: "Shorten the prompt, start a new session, or quantise with a larger context.")
        }
        guard !tokens.isEmpty else { return [] }
        (state.tokens, state.rows) = (tokens, logits)
        var result: [Int32] = []
        for (index, operation) in graph.operations.enumerated() {
            steps[index](state)
            for tensor in operation.kind.outputs { observe?(tensor, state.values[tensor]) }
            if case .logits(let head) = operation.kind { result = state.values[head.output] }
            for tensor in dead[index] { state.values[tensor] = [] }
        }
        state.position += tokens.count
        return result
    }

    // MARK: One closure an operation, its constants unpacked and its multipliers derived

    private func prepare(_ operation: Operation) throws(DyadError) -> (State) -> Void {
        typealias Compute = ReferenceOperations
        let (graph, name) = (program.graph, operation.name)
        let prefix = graph.prefixTokens.count
        func tensor(_ id: TensorID) -> GraphTensor { graph.tensors[id] }

        switch operation.kind {
        case .embed(let o):
            let (weights, multipliers) = (
                try program.weights(of: o.weight), try program.embedMultipliers(o, name: name)
            )
            return { state in
                state.values[o.output] = Compute.embed(state.tokens, weights, multipliers, to: tensor(o.output))
            }
        case .rmsNorm(let o):
            let parameters = try program.normalizationParameters(o, name: name)
            return { state in
                state.values[o.output] = Compute.rmsNorm(
                    state.values[o.input], tensor(o.input), size: o.size, parameters, to: tensor(o.output))
            }
        case .layerNorm(let o):
            let parameters = try program.normalizationParameters(o, name: name)
            return { state in
                state.values[o.output] = Compute.layerNorm(
                    state.values[o.input], tensor(o.input), size: o.size, parameters, to: tensor(o.output))
            }
        case .linear(let o), .logits(let o):
            let (weights, parameters) = (try program.weights(of: o.weight), try program.linearParameters(o, name: name))
            let inputs = weights.count / parameters.multipliers.count
            let isLogits = operation.kind == .logits(o)
            return { state in
                var x = state.values[o.input][...]
                if isLogits, state.rows == .last { x = x.suffix(inputs) }
                state.values[o.output] = Compute.linear(
                    Array(x), tensor(o.input), weights, parameters, to: tensor(o.output))
            }
        case .rotary(let o):
            let multiplier = try graph.rotaryMultiplier(o, name: name)
            let (cosine, sine) = try program.rotaryTables(o, name: name)
            return { state in
                state.values[o.output] = Compute.rotary(
                    state.values[o.input], tensor(o.input), o, cosine, sine, tokens: state.tokens.count,
                    position: state.position, multiplier, to: tensor(o.output))
            }
        case .cacheAppend(let o):
            return { state in state.caches[o.cache] += state.values[o.input].lazy.map { UInt8(truncatingIfNeeded: $0) }
            }
        case .matmul(let o):
            let multiplier = try graph.matmulMultiplier(o, name: name)
            let cache = graph.caches[o.cache]
            return { state in
                let compute = o.form == .queryKey ? Compute.queryKey : Compute.weightedValues
                state.values[o.output] = compute(
                    state.values[o.input], tensor(o.input), state.caches[o.cache], cache, state.tokens.count,
                    multiplier,
                    tensor(o.output))
            }
        case .mask(let o):
            return { state in
                state.values[o.output] = Compute.mask(
                    state.values[o.input], tokens: state.tokens.count, position: state.position, to: tensor(o.output))
            }
        case .softmax(let o):
            let multiplier = try graph.exponentMultiplier(ofScores: o.input, name: name)
            return { state in
                state.values[o.output] = Compute.softmax(
                    state.values[o.input], tokens: state.tokens.count, position: state.position, multiplier)
            }
        case .exponential(let o):
            let multiplier = try graph.exponentMultiplier(ofScores: o.input, name: name)
            return { state in
                let (exponentials, weights) = Compute.exponential(
                    state.values[o.input], tokens: state.tokens.count, position: state.position, prefix: prefix,
                    multiplier, to: tensor(o.output))
                state.values[o.output] = exponentials
                if let output = o.prefixWeights { state.values[output] = weights }
            }
        case .lateAttention(let o):
            let multiplier = try graph.lateAttentionMultiplier(o, name: name)
            let cache = graph.caches[o.cache]
            return { state in
                state.values[o.output] = Compute.lateAttention(
                    state.values[o.exponentials], prefixWeights: o.prefixWeights.map { state.values[$0] } ?? [],
                    state.caches[o.cache], cache, tokens: state.tokens.count, prefix: prefix, multiplier,
                    to: tensor(o.output))
            }
        case .lookup(let o):
            let table = try program.table(o)
            return { state in state.values[o.output] = state.values[o.input].map { table[Int($0)] } }
        case .multiply(let o):
            let multiplier = try graph.multiplyMultiplier(o, name: name)
            return { state in
                state.values[o.output] = Compute.multiply(
                    state.values[o.left], tensor(o.left), state.values[o.right], tensor(o.right), multiplier,
                    to: tensor(o.output))
            }
        case .add(let o):
            let multipliers = try graph.addMultipliers(o, name: name)
            return { state in
                state.values[o.output] = Compute.add(
                    state.values[o.left], tensor(o.left), state.values[o.right], tensor(o.right), multipliers,
                    to: tensor(o.output))
            }
        case .requantize(let o):
            let multiplier = try graph.requantizeMultiplier(o, name: name)
            return { state in
                state.values[o.output] = Compute.requantize(
                    state.values[o.input], tensor(o.input), multiplier, to: tensor(o.output))
            }
        case .hadamard(let o):
            return { state in state.values[o.output] = Compute.hadamard(state.values[o.input], tensor(o.input), o) }
        case .concatenate(let o):
            return { state in
                let rows = state.tokens.count
                state.values[o.output] = (0..<rows).flatMap { row in
                    o.inputs.flatMap { input in
                        let width = state.values[input].count / rows
                        return state.values[input][row * width..<(row + 1) * width]
                    }
                }
            }
        case .slice(let o):
            let count = tensor(o.output).width
            return { state in
                let width = tensor(o.input).width
                state.values[o.output] = (0..<state.tokens.count).flatMap { row in
                    state.values[o.input][row * width + o.start..<row * width + o.start + count]
                }
            }
        }
    }
}
