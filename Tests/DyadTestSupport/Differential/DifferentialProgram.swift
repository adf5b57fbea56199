import DyadFormats
import DyadGraph
import DyadRuntime

/// One random program, run by the reference and by the runtime in every way: the integers must be equal.
public enum DifferentialProgram {
    /// What became of a program.
    public enum Outcome: Sendable {
        /// Reference and runtime agree.
        case equal
        /// Validation or the runtime refused it with a clear error.
        case refused(DyadError)
    }

    /// The first difference.
    public struct Difference: Error, CustomStringConvertible {
        /// Where and what.
        public let description: String
    }

    /// Builds the program that `bytes` describe (``ProgramGrammar``), mutates it where they say so (``ProgramMutation``), and
    /// compares every way to run it.
    ///
    /// - Parameter way: compares only one way, this one modulo their number, for a fuzzer that has many programs; nil for all.
    /// - Throws: ``Difference`` where two ways disagree, or where an accepted program cannot be run.
    public static func check(bytes: [UInt8], way: Int? = nil) throws -> Outcome {
        var grammar = ProgramGrammar(bytes)
        var program = grammar.program()
        ProgramMutation.apply(to: &program, from: &grammar.source)
        return try compare(program, way: way)
    }

    /// ``check(bytes:way:)`` of bytes that `seed` decides.
    public static func check(seed: UInt64, byteCount: Int = 400) throws -> Outcome {
        do {
            return try check(bytes: ByteSource.bytes(seed: seed, count: byteCount))
        } catch let difference as Difference {
            throw Difference(description: "seed \(seed): \(difference)")
        }
    }

    /// Compares every way to run `program`: all kernel sets, one and two threads, chunks of 1, 7, 64 and 512, every tensor
    /// watched and not, after another conversation, and token by token behind a truncated one.
    public static func compare(_ program: IntegerProgram, way: Int? = nil) throws -> Outcome {
        let reference: ReferenceInterpreter
        do { reference = try ReferenceInterpreter(program) } catch { return .refused(error) }
        let tokens = Self.tokens(of: program)
        let expected = try reference.run(tokens: tokens)
        let chunks = [1, 7, 64, 512]
        let sets = KernelSet.available
        let only = way.map { $0 % (chunks.count * sets.count * 2) }
        for (index, chunk) in chunks.enumerated() where only.map({ $0 % chunks.count == index }) ?? true {
            var tensors: [Int: [String: [Int32]]] = [:]
            for (number, kernels) in sets.enumerated() {
                if let only, only / chunks.count % sets.count != number { continue }
                let threads = 1 + (index + number) % 2
                let options = Runtime.Options(threads: threads, kernels: kernels, prefillChunk: chunk)
                let way = "\(kernels.name), \(threads) threads, chunks of \(chunk)"
                do {
                    let runtime = try Runtime(program: program, options: options)
                    for isWatched in [false, true] {
                        if let only, only / (chunks.count * sets.count) != (isWatched ? 1 : 0) { continue }
                        let session = try runtime.makeSession(observing: isWatched)
                        // A long context may leave no room for so many tokens at a time.
                        let step = min(chunk, session.stepSize)
                        let steps = try tensors[step] ?? chunked(reference, tokens, step, expected)
                        tensors[step] = steps
                        try compare(session, tokens, expected, steps, way + (isWatched ? ", watched" : ""))
                    }
                } catch let error as DyadError {
                    guard error.reason == .unsupported else { throw Difference(description: "\(way): \(error)") }
                    return .refused(error)
                }
            }
        }
        return .equal
    }

    /// Tokens that fill the context, at most 96.
    private static func tokens(of program: IntegerProgram) -> [Int32] {
        var generator = SeededGenerator(seed: UInt64(program.graph.operations.count))
        let room = program.graph.maximumContext - program.graph.prefixTokens.count
        return (0..<min(room, 96)).map { _ in
            Int32.random(in: 0..<Int32(program.graph.vocabularySize), using: &generator)
        }
    }

    /// The reference's tensors chunk by chunk, one after another; its logits must not depend on the chunks.
    private static func chunked(
        _ reference: ReferenceInterpreter, _ tokens: [Int32], _ chunk: Int, _ expected: [Int32]
    ) throws -> [String: [Int32]] {
        reference.reset()
        var tensors: [String: [Int32]] = [:]
        var logits: [Int32] = []
        for start in stride(from: 0, to: tokens.count, by: chunk) {
            let part = Array(tokens[start..<min(tokens.count, start + chunk)])
            logits += try reference.run(tokens: part) { id, values in
                tensors[reference.program.graph.tensors[id].name, default: []] += values
            }
        }
        guard logits == expected else { throw Difference(description: "the reference itself in chunks of \(chunk)") }
        return tensors
    }

    private static func compare(
        _ session: Session, _ tokens: [Int32], _ expected: [Int32], _ tensors: [String: [Int32]], _ way: String
    ) throws {
        // Another conversation first, which must leave no trace.
        try session.evaluate(tokens.reversed(), droppingPrefix: false) { _, _ in }
        session.reset()
        var found: [String: [Int32]] = [:]
        session.observer = { found[$0.name, default: []] += $0.values }
        var logits: [Int32] = []
        try session.evaluate(tokens, droppingPrefix: false) { _, rows in logits += rows }
        session.observer = nil
        for (name, values) in found.sorted(by: { $0.key < $1.key }) where values != tensors[name] {
            throw Difference(description: "\(way): the tensor \(name)")
        }
        guard logits == expected else { throw Difference(description: "\(way): the logits") }
        let vocabulary = session.runtime.vocabularySize
        session.truncate(to: tokens.count / 2)
        for index in tokens.count / 2..<tokens.count {
            let row = try session.decode(tokens[index])
            guard row.elementsEqual(expected[index * vocabulary..<(index + 1) * vocabulary]) else {
                throw Difference(description: "\(way): the logits of token \(index), decoded by itself")
            }
        }
    }
}
