import DyadFormats
import DyadGraph
import DyadRuntime

/// The runtime against the reference interpreter, in every way in which a session runs.
///
/// Of the reference's tensors only a digest of each token's row is kept, so that any number of tokens fits.
final class ReferenceComparison {
    private let program: IntegerProgram
    private let tokens: [Int32]
    private let runtime: Runtime
    private let reference: ReferenceInterpreter
    /// Tokens that the reference and the watched session run together.
    private let chunk: Int
    /// The reference's rows: by tensor, a digest a token.
    private var expected: [String: [Int]] = [:]

    /// Elements of all tensors that are in memory at the same time, or so.
    private static let elements = 1 << 23

    /// - Throws: ``DyadError`` where the program cannot run.
    init(_ program: IntegerProgram, tokens: [Int32], options: Runtime.Options) throws(DyadError) {
        (self.program, self.tokens) = (program, tokens)
        runtime = try Runtime(program: program, options: options)
        reference = try ReferenceInterpreter(program)
        let columns = program.graph.prefixTokens.count + tokens.count
        let room = Self.elements / max(1, program.graph.elementCount(tokens: 1, columns: columns))
        // Tensors over the context are as wide as the columns so far: both sides must take the same steps.
        let step = try runtime.makeSession(observing: true).stepSize
        chunk = max(1, min(room, step, tokens.count))
    }

    /// Every tensor of a session that shows all of them, in execution order. Comes before ``unwatched()``.
    func watched() throws(DyadError) -> [Verification.Row] {
        let graph = program.graph
        var differences: [String: Difference] = [:]
        var values: [String: [Int32]] = [:]
        let session = try runtime.makeSession(observing: true)
        session.observer = { tensor in
            differences[tensor.name, default: Difference()].add(values.removeValue(forKey: tensor.name), tensor.values)
        }
        reference.reset()
        expected = [:]
        for part in parts(tokens[...]) {
            let logits = try reference.run(tokens: Array(part)) { [self] id, found in
                values[graph.tensors[id].name] = found
                if graph.tensors[id].isRows {
                    expected[graph.tensors[id].name, default: []] += Self.digests(found, rows: part.count)
                }
            }
            try session.evaluate(Array(part), droppingPrefix: false) { first, rows in
                let wanted = logits[first * graph.vocabularySize..<first * graph.vocabularySize + rows.count]
                guard !wanted.elementsEqual(rows) else { return }
                differences[logitsName, default: Difference()].add(Array(wanted), Array(rows))
            }
            // A tensor that the session did not show is as wrong as can be.
            for (name, missing) in values { differences[name, default: Difference()].add(missing, []) }
            values = [:]
        }
        return names.compactMap { name in differences[name]?.row(name) }
    }

    /// The ways of `generate`: in its chunks, and, behind that conversation, half in chunks and half token by token.
    func unwatched() throws(DyadError) -> [Verification.Path] {
        let (size, half) = (runtime.prefillChunk, (tokens.count + 1) / 2)
        let session = try runtime.makeSession()
        return [
            try path("chunks of \(size) tokens", session, steppingFrom: tokens.count),
            try path(
                "\(half) tokens in chunks of \(size), then \(tokens.count - half) one by one", session,
                steppingFrom: half),
        ]
    }

    // MARK: One way

    private func path(_ name: String, _ session: Session, steppingFrom first: Int) throws(DyadError)
        -> Verification.Path
    {
        var (seen, wrong): (Set<String>, Set<String>) = ([], [])
        try run(session, steppingFrom: first) { [self] name, start, count, values in
            seen.insert(name)
            let wanted = expected[name].map { $0[min(start, $0.count)..<min(start + count, $0.count)] } ?? []
            if !wanted.elementsEqual(Self.digests(values, rows: count)) { wrong.insert(name) }
        }
        let difference = try names.first(where: wrong.contains).map { (name) throws(DyadError) in
            try measure(name, session, steppingFrom: first)
        }
        return Verification.Path(name: name, tensors: seen.count, difference: difference)
    }

    /// Runs all tokens in an emptied session and hands over the rows of every tensor that it shows, and the logits.
    private func run(
        _ session: Session, steppingFrom first: Int,
        _ body: @escaping (_ name: String, _ token: Int, _ count: Int, _ values: [Int32]) -> Void
    ) throws(DyadError) {
        let (name, vocabulary) = (logitsName, program.graph.vocabularySize)
        session.reset()
        session.observer = { tensor in
            guard let rows = tensor.shape.first, tensor.shape.count == 2 else { return }
            body(tensor.name, session.tokenCount, rows, tensor.values)
        }
        defer { session.observer = nil }
        try session.evaluate(Array(tokens[..<first]), droppingPrefix: false) { offset, rows in
            body(name, offset, rows.count / vocabulary, Array(rows))
        }
        for index in first..<tokens.count { body(name, index, 1, try session.decode(tokens[index])) }
    }

    /// Runs both again to say how far apart a tensor is.
    private func measure(
        _ name: String, _ session: Session, steppingFrom first: Int
    ) throws(DyadError) -> Verification.Row {
        var (wanted, found): ([Int32], [Int32]) = ([], [])
        reference.reset()
        for part in parts(tokens[...]) {
            _ = try reference.run(tokens: Array(part)) { [self] id, values in
                if program.graph.tensors[id].name == name { wanted += values }
            }
        }
        try run(session, steppingFrom: first) { shown, _, _, values in
            if shown == name { found += values }
        }
        var difference = Difference()
        // Equal this time: it comes and goes, which no number of steps describes.
        difference.add(wanted, wanted == found ? [] : found)
        return difference.row(name)
    }

    // MARK: Tensors

    /// All tensors in the order of execution.
    private var names: [String] {
        program.graph.operations.flatMap(\.kind.outputs).map { program.graph.tensors[$0].name }
    }

    private var logitsName: String { names.last ?? "" }

    private func parts(_ tokens: ArraySlice<Int32>) -> [ArraySlice<Int32>] {
        stride(from: 0, to: tokens.count, by: chunk).map { tokens[$0..<min(tokens.count, $0 + chunk)] }
    }

    private static func digests(_ values: [Int32], rows: Int) -> [Int] {
        let width = values.count / max(rows, 1)
        return (0..<rows).map { row in
            var hasher = Hasher()
            values[row * width..<(row + 1) * width].withUnsafeBytes { hasher.combine(bytes: $0) }
            return hasher.finalize()
        }
    }
}

extension GraphTensor {
    /// Whether it has one row a token, and so the same values however the tokens are cut.
    fileprivate var isRows: Bool { shape.count == 2 && shape[0] == .tokens }
}

/// How far apart the values of a tensor are.
private struct Difference {
    private var (largest, sum, near, count) = (0.0, 0.0, 0, 0)

    mutating func add(_ expected: [Int32]?, _ found: [Int32]) {
        for (a, b) in zip(expected ?? [], found) {
            let difference = abs(Double(a) - Double(b))
            largest = max(largest, difference)
            sum += difference
            if difference <= 1 { near += 1 }
        }
        // A missing or surplus value is as wrong as can be.
        if expected?.count != found.count { largest = .infinity }
        count += expected?.count ?? 0
    }

    func row(_ name: String) -> Verification.Row {
        Verification.Row(
            tensor: name, values: count, maximumSteps: largest, meanSteps: sum / Double(max(count, 1)),
            withinOneStep: Double(near) / Double(max(count, 1)))
    }
}
