import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTestSupport
import Testing

/// The runtime computes the reference's bits, for every way of running.
@Suite struct EqualityTests {
    static let shapes: [DecoderShape] = {
        var generator = SeededGenerator(seed: 2026)
        return (0..<24).map { _ in DecoderShape.random(using: &generator) }
    }()

    /// One reference pass serves all comparisons of a program.
    @Test(arguments: shapes.indices)
    func logitsEqualTheReference(_ index: Int) throws {
        let program = Self.shapes[index].program(seed: UInt64(index))
        let tokens = Self.tokens(of: program, seed: UInt64(index))
        let vocabulary = program.graph.vocabularySize
        let expected = try ReferenceInterpreter(program).run(tokens: tokens)
        for kernels in KernelSet.available {
            for threads in [1, 2] {
                for chunk in [1, 7, 64, 512] {
                    let runtime = try Runtime(
                        program: program, options: .init(threads: threads, kernels: kernels, prefillChunk: chunk))
                    let session = try runtime.makeSession()
                    var logits: [Int32] = []
                    try session.evaluate(tokens) { (first, rows) throws(DyadError) in
                        #expect(first * vocabulary == logits.count)
                        logits += rows
                    }
                    #expect(
                        equal(logits, expected),
                        "\(Self.shapes[index]), \(kernels.name), \(threads) threads, chunks of \(chunk)")
                }
            }
        }
    }

    /// The widths of a real model: several row blocks, tasks and tiles in every kernel.
    @Test(arguments: [8, 4]) func aBlockOfSmolLM2EqualsTheReference(_ bits: Int) throws {
        var shape = DecoderShape.smolLM2
        shape.layers = 1
        shape.vocabulary = 1000
        shape.maximumContext = 231
        shape.weightBits = bits
        shape.hasWideDownInput = bits == 8
        let program = shape.program(seed: 11)
        let tokens = Self.tokens(of: program, seed: 11)
        let expected = try ReferenceInterpreter(program).run(tokens: tokens)
        for kernels in KernelSet.available {
            for (threads, chunk) in [(1, 512), (2, 512), (2, 64)] {
                let runtime = try Runtime(
                    program: program, options: .init(threads: threads, kernels: kernels, prefillChunk: chunk))
                let session = try runtime.makeSession()
                var logits: [Int32] = []
                try session.evaluate(tokens) { _, rows in logits += rows }
                #expect(equal(logits, expected), "\(kernels.name), \(threads) threads, chunks of \(chunk)")
                session.reset()
                #expect(equal(try session.prefill(tokens), expected.suffix(shape.vocabulary)))
            }
        }
    }

    /// Where logits differ, this names the first tensor that does.
    @Test(arguments: shapes.indices)
    func everyTensorEqualsTheReference(_ index: Int) throws {
        let program = Self.shapes[index].program(seed: UInt64(index))
        let tokens = Self.tokens(of: program, seed: UInt64(index))
        for kernels in KernelSet.available {
            let reference = try ReferenceInterpreter(program)
            let runtime = try Runtime(program: program, options: .init(threads: 2, kernels: kernels, prefillChunk: 9))
            let session = try runtime.makeSession(observing: true)
            for start in stride(from: 0, to: tokens.count, by: 9) {
                let chunk = Array(tokens[start..<min(tokens.count, start + 9)])
                var expected: [String: [Int32]] = [:]
                _ = try reference.run(tokens: chunk) { id, values in
                    expected[program.graph.tensors[id].name] = values
                }
                var seen: Set<String> = []
                session.observer = { tensor in
                    seen.insert(tensor.name)
                    #expect(tensor.shape.reduce(1, *) == tensor.values.count)
                    if tensor.values != expected[tensor.name] {
                        Issue.record("\(tensor.name) differs: \(Self.shapes[index]), \(kernels.name), token \(start)")
                    }
                }
                try session.evaluate(chunk) { _, _ in }
                #expect(seen == Set(program.graph.tensors.map(\.name)))
            }
        }
    }

    @Test func prefillAndDecodeEqualEvaluate() throws {
        let program = Self.shapes[0].program(seed: 5)
        let tokens = Self.tokens(of: program, seed: 5)
        let vocabulary = program.graph.vocabularySize
        let session = try Runtime(program: program, options: .init(threads: 2)).makeSession()
        var all: [Int32] = []
        try session.evaluate(tokens) { _, rows in all += rows }
        session.reset()
        let half = tokens.count / 2
        var logits = try session.prefill(Array(tokens[..<half]))
        for (offset, token) in tokens[half...].enumerated() {
            let row = half + offset - 1
            #expect(equal(logits, all[row * vocabulary..<(row + 1) * vocabulary]))
            logits = try session.decode(token)
        }
        #expect(equal(logits, all.suffix(vocabulary)))
        session.truncate(to: half - 1)
        let row = half - 1
        #expect(try session.decode(tokens[row]) == Array(all[row * vocabulary..<(row + 1) * vocabulary]))
    }

    /// Fills the context.
    static func tokens(of program: IntegerProgram, seed: UInt64) -> [Int32] {
        var random = RandomSource(seed: seed)
        let graph = program.graph
        var tokens = (0..<graph.maximumContext - graph.prefixTokens.count).map { _ in
            Int32(random.next(below: UInt64(graph.vocabularySize)))
        }
        // Must not begin with the prefix, which a session would drop.
        if let first = graph.prefixTokens.first { tokens[0] = (first + 1) % Int32(graph.vocabularySize) }
        return tokens
    }
}

/// Equality by itself: shown two long arrays that differ, `#expect` would spend minutes on describing how.
private func equal(_ left: [Int32], _ right: some Sequence<Int32>) -> Bool { left.elementsEqual(right) }
