import DyadFormats
import DyadGraph
import DyadRuntime

/// `dyad verify`: every tensor of two executions of the same program, side by side.
public struct Verification {
    /// What the runtime is compared with.
    public enum Opponent: String, CaseIterable, Sendable {
        /// The reference interpreter: every integer must be equal.
        case reference
        /// Exact real arithmetic, operation by operation, on the program's own integers: no difference may exceed
        /// ``Verification/exactBudget``.
        case exact
    }

    /// One tensor.
    public struct Row: Sendable {
        /// The tensor's name in the graph.
        public var tensor: String
        /// How many values it has.
        public var values: Int
        /// Largest and mean difference in steps of the tensor's encoding.
        public var maximumSteps: Double
        /// The mean difference.
        public var meanSteps: Double
        /// Share of values at most one step away.
        public var withinOneStep: Double
    }

    /// Steps that an operation may be away from exact arithmetic on its own integers (Numerics, “Operations”).
    public static let exactBudget = 1.0

    /// One way in which `generate` runs a program, without anyone watching between operations that run as one.
    public struct Path: Sendable {
        /// For example `chunks of 512 tokens`.
        public var name: String
        /// Tensors that were compared.
        public var tensors: Int
        /// The first tensor that differs from the reference's, in execution order; nil where none does.
        public var difference: Row?
    }

    /// One entry a tensor, in execution order.
    public var rows: [Row]
    /// The ways of `generate`; none against exact arithmetic.
    public var paths: [Path] = []
    /// Tokens that were run.
    public var tokens: Int
    /// What the runtime was compared with.
    public var opponent: Opponent

    /// Largest difference of all.
    public var maximumSteps: Double {
        (rows.map(\.maximumSteps) + paths.compactMap { $0.difference?.maximumSteps }).max() ?? 0
    }

    /// Runs `tokens` through both.
    ///
    /// Against the reference, the runtime runs three times: in chunks with every tensor watched; in the chunks of `options`
    /// with nothing watched between operations that run as one; and, in the same session, half of the tokens in chunks and
    /// the others one by one.
    ///
    /// - Throws: ``DyadError`` where the program cannot run, or its tensors would take too much memory.
    public static func run(
        _ program: IntegerProgram, tokens: [Int32], against opponent: Opponent, options: Runtime.Options = .init()
    ) throws -> Verification {
        switch opponent {
        case .reference:
            let comparison = try ReferenceComparison(program, tokens: tokens, options: options)
            return Verification(
                rows: try comparison.watched(), paths: try comparison.unwatched(), tokens: tokens.count,
                opponent: opponent)
        case .exact:
            try checkMemory(program, tokens.count)
            let integers = try referenceTensors(program, tokens)
            let differences = try ExactEvaluator(program).compare(tokens: tokens, integers: integers)
            let rows = differences.map { Row(tensor: program.graph.tensors[$0.tensor].name, $0.difference) }
            return Verification(rows: rows, tokens: tokens.count, opponent: opponent)
        }
    }

    /// Every tensor's integers are held, and in float64 what one operation reads and writes.
    private static func checkMemory(_ program: IntegerProgram, _ tokens: Int) throws(DyadError) {
        let columns = tokens + program.graph.prefixTokens.count
        let bytes = 8 * program.graph.elementCount(tokens: tokens, columns: columns)
        guard bytes <= program.graph.memoryBudget else {
            throw DyadError(
                .unsupported, subject: "tokens", found: "\(bytes) bytes for all tensors of \(tokens) tokens",
                expected: "at most \(program.graph.memoryBudget) for a file of this size", remedy: "Use fewer tokens.")
        }
    }

    private static func referenceTensors(
        _ program: IntegerProgram, _ tokens: [Int32]
    ) throws -> [TensorID: [Int32]] {
        var tensors: [TensorID: [Int32]] = [:]
        let reference = try ReferenceInterpreter(program)
        _ = try reference.run(tokens: tokens, observe: { id, values in tensors[id] = values })
        return tensors
    }

    /// For `--json`: `max_lsb`, `mean_lsb`, `tokens`, `against`, `tensors`, a row for each, and `paths`.
    public func json() -> JSONValue {
        let mean = self.rows.isEmpty ? 0 : self.rows.map(\.meanSteps).reduce(0, +) / Double(self.rows.count)
        return .object(
            JSONObject([
                ("against", .string(opponent.rawValue)), ("tokens", .integer(tokens)),
                ("tensors", .integer(rows.count)), ("max_lsb", .measured(maximumSteps)), ("mean_lsb", .measured(mean)),
                ("rows", .array(rows.map { $0.json() })),
                (
                    "paths",
                    .array(
                        paths.map { path in
                            .object(
                                JSONObject([
                                    ("path", .string(path.name)), ("tensors", .integer(path.tensors)),
                                    ("difference", path.difference?.json() ?? .null),
                                ]))
                        })
                ),
            ]))
    }
}

extension Verification.Row {
    fileprivate init(tensor: String, _ difference: StepDifference) {
        self.init(
            tensor: tensor, values: difference.values, maximumSteps: difference.maximum, meanSteps: difference.mean,
            withinOneStep: difference.withinOneStep)
    }

    fileprivate func json() -> JSONValue {
        .object(
            JSONObject([
                ("tensor", .string(tensor)), ("values", .integer(values)), ("max_lsb", .measured(maximumSteps)),
                ("mean_lsb", .measured(meanSteps)), ("within_one_lsb", .measured(withinOneStep)),
            ]))
    }
}
