import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTestSupport
import Testing

@Suite struct SessionTests {
    static let shape: DecoderShape = {
        var shape = DecoderShape()
        shape.prefix = 2
        shape.attention = .late8
        shape.maximumContext = 20
        return shape
    }()
    let program = Self.shape.program(seed: 3)

    private func session(_ context: Int? = nil) throws -> Session {
        try Runtime(program: program, options: .init(threads: 1)).makeSession(maximumContext: context)
    }

    @Test func aPromptThatBeginsWithThePrefixDropsIt() throws {
        let session = try session()
        let prefix = program.graph.prefixTokens
        let plain = try session.prefill([7, 8, 9])
        session.reset()
        #expect(try session.prefill(prefix + [7, 8, 9]) == plain)
        #expect(session.tokenCount == 3)
        #expect(session.remainingTokens == 20 - 2 - 3)
        // Later in the conversation the same ids are tokens like all others.
        #expect(session.droppedCount(of: prefix) == 0)
    }

    @Test func evaluateGivesNoRowsToDroppedTokens() throws {
        let session = try session()
        let tokens = program.graph.prefixTokens + [7, 8, 9]
        var firsts: [Int] = []
        var count = 0
        try session.evaluate(tokens) { first, rows in
            firsts.append(first)
            count += rows.count
        }
        #expect(firsts == [2])
        #expect(count == 3 * program.graph.vocabularySize)
    }

    @Test func evaluateGivesTheLastRowsAsItGivesAll() throws {
        let tokens = (0..<15).map { Int32($0 * 5 % 40) }
        let vocabulary = program.graph.vocabularySize
        for chunk in [1, 4, 7, 64] {
            let options = Runtime.Options(threads: 1, prefillChunk: chunk)
            let session = try Runtime(program: program, options: options).makeSession()
            var all: [Int32] = []
            try session.evaluate(tokens, droppingPrefix: false) { _, rows in all += rows }
            for start in tokens.indices {
                session.reset()
                var (last, next) = ([Int32](), start)
                try session.evaluate(tokens, droppingPrefix: false, from: start) { first, rows in
                    #expect(first == next)
                    next += rows.count / vocabulary
                    last += rows
                }
                #expect(last == Array(all[(start * vocabulary)...]), "from \(start), chunk \(chunk)")
            }
        }
    }

    @Test func aPromptOfNothingButThePrefixIsRefused() throws {
        let session = try session()
        let error = #expect(throws: DyadError.self) { try session.prefill(program.graph.prefixTokens) }
        #expect(error?.reason == .usage)
        #expect(#expect(throws: DyadError.self) { try session.prefill([]) }?.reason == .usage)
    }

    @Test func aFullContextIsAnErrorThatChangesNothing() throws {
        let session = try session(8)
        let logits = try session.prefill([1, 2, 3, 4, 5])
        let error = #expect(throws: DyadError.self) { try session.prefill([6, 7]) }
        #expect(error?.reason == .failed)
        #expect("\(try #require(error))".contains("at most 1 of 8 positions, of which 2 are the prefix"))
        #expect(session.tokenCount == 5)
        _ = try session.decode(6)
        #expect(#expect(throws: DyadError.self) { try session.decode(7) }?.reason == .failed)
        session.reset()
        #expect(try session.prefill([1, 2, 3, 4, 5]) == logits)
    }

    @Test(arguments: [-1, 50, Int32.max]) func idsOutsideTheVocabularyAreRefused(_ id: Int32) throws {
        let session = try session()
        let error = #expect(throws: DyadError.self) { try session.prefill([1, id]) }
        #expect(error?.reason == .usage)
        #expect(error?.found == "the id \(id)")
        #expect(session.tokenCount == 0)
    }

    @Test func contextsOutsideTheProgramsOwnAreRefused() throws {
        let runtime = try Runtime(program: program, options: .init(threads: 1))
        for context in [-1, 0, 2, 21] {
            #expect(
                #expect(throws: DyadError.self) { try runtime.makeSession(maximumContext: context) }?.reason == .usage)
        }
        #expect(try runtime.makeSession(maximumContext: 3).remainingTokens == 1)
    }

    @Test func badOptionsAreRefused() {
        for options in [Runtime.Options(threads: 0), .init(threads: 1000), .init(threads: 1, prefillChunk: 0)] {
            #expect(
                #expect(throws: DyadError.self) { try Runtime(program: program, options: options) }?.reason == .usage)
        }
        #expect(#expect(throws: DyadError.self) { try KernelSet(named: "abacus") }?.reason == .usage)
        #expect(KernelSet.available.last?.name == "generic")
    }

    @Test func sessionsOfOneRuntimeDoNotDisturbEachOther() async throws {
        let runtime = try Runtime(program: program, options: .init(threads: 2))
        let expected = try runtime.makeSession().prefill([3, 1, 4, 1, 5])
        try await withThrowingTaskGroup(of: [Int32].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let session = try runtime.makeSession()
                    var logits: [Int32] = []
                    for _ in 0..<20 {
                        session.reset()
                        logits = try session.prefill([3, 1, 4, 1, 5])
                    }
                    return logits
                }
            }
            for try await logits in group { #expect(logits == expected) }
        }
    }

    @Test func theBenchmarkReportsWhatItRan() throws {
        let result = try Benchmark.run(
            program, promptTokens: 8, generateTokens: 4, options: .init(threads: 2), repetitions: 1)
        #expect(result.threads == 2)
        #expect(result.prefillTokensPerSecond > 0 && result.decodeTokensPerSecond > 0)
        #expect(result.weightBytes > program.graph.vocabularySize * 24)
        #expect(result.peakResidentBytes > 1 << 20)
        #expect(throws: DyadError.self) { try Benchmark.run(program, promptTokens: 30) }
    }
}
