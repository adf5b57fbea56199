import DyadFormats
import DyadGraph
import DyadQuantization
import DyadRuntime

/// `dyad verify`: every tensor of two executions of the same program, side by side.
public struct Verification {
    /// What the runtime is compared with.
    public enum Opponent: String, CaseIterable, Sendable {
        /// The reference interpreter: every integer must be equal.
        case reference
        /// Exact real arithmetic, operation by operation, on the program's own integers.
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

    /// One entry a tensor, in execution order.
    public var rows: [Row]
    /// Tokens that were run.
    public var tokens: Int
    /// What the runtime was compared with.
    public var opponent: Opponent

    /// Largest difference of all.
    public var maximumSteps: Double { rows.map(\.maximumSteps).max() ?? 0 }

    /// Runs `tokens` through both.
    public static func run(
        _ program: IntegerProgram, tokens: [Int32], against opponent: Opponent, options: Runtime.Options = .init()
    ) throws -> Verification {
        switch opponent {
        case .reference:
            let expected = try referenceTensors(program, tokens)
            let session = try Runtime(program: program, options: options).makeSession(observing: true)
            var found: [String: [Int32]] = [:]
            session.observer = { tensor in found[tensor.name, default: []] += tensor.values }
            _ = try session.evaluate(tokens, droppingPrefix: false) { _, _ in }
            let rows = program.graph.tensors.indices.compactMap { id -> Row? in
                guard let wanted = expected[id], let got = found[program.graph.tensors[id].name] else { return nil }
                return compare(program.graph.tensors[id], wanted, got)
            }
            return Verification(rows: rows, tokens: tokens.count, opponent: opponent)
        case .exact:
            let integers = try referenceTensors(program, tokens)
            let errors = try SimulatedProgram(program).compare(tokens: tokens, integers: integers)
            let counts = Dictionary(
                program.graph.tensors.enumerated().map { ($1.name, integers[$0]?.count ?? 0) }, uniquingKeysWith: { $1 }
            )
            let rows = errors.map { error in
                Row(
                    tensor: error.tensor, values: counts[error.tensor] ?? 0, maximumSteps: error.maximumSteps,
                    meanSteps: error.meanSteps, withinOneStep: error.withinOneStep)
            }
            return Verification(rows: rows, tokens: tokens.count, opponent: opponent)
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

    private static func compare(_ tensor: GraphTensor, _ expected: [Int32], _ found: [Int32]) -> Row {
        var (largest, sum, near) = (0.0, 0.0, 0)
        for (a, b) in zip(expected, found) {
            let difference = abs(Double(a) - Double(b))
            largest = max(largest, difference)
            sum += difference
            if difference <= 1 { near += 1 }
        }
        // A missing or surplus value is as wrong as can be.
        if expected.count != found.count { largest = .infinity }
        let count = Double(max(min(expected.count, found.count), 1))
        return Row(
            tensor: tensor.name, values: expected.count, maximumSteps: largest, meanSteps: sum / count,
            withinOneStep: Double(near) / count)
    }

    /// For `--json`: `max_lsb`, `mean_lsb`, `tokens`, `against`, `tensors` and a row for each.
    public func json() -> JSONValue {
        let rows = rows.map { row in
            JSONValue.object(
                JSONObject([
                    ("tensor", .string(row.tensor)), ("values", .integer(row.values)),
                    ("max_lsb", .measured(row.maximumSteps)), ("mean_lsb", .measured(row.meanSteps)),
                    ("within_one_lsb", .measured(row.withinOneStep)),
                ]))
        }
        let mean = self.rows.isEmpty ? 0 : self.rows.map(\.meanSteps).reduce(0, +) / Double(self.rows.count)
        return .object(
            JSONObject([
                ("against", .string(opponent.rawValue)), ("tokens", .integer(tokens)),
                ("tensors", .integer(rows.count)), ("max_lsb", .measured(maximumSteps)), ("mean_lsb", .measured(mean)),
                ("rows", .array(rows)),
            ]))
    }
}
