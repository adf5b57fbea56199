import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTestSupport
import Testing

/// An operation may stand anywhere behind its data: the same integers in every order, whatever was in the session before.
@Suite struct OrderTests {
    /// One block, whose attention has 450 orders.
    static func shape(_ attention: DecoderShape.Attention, prefix: Int) -> DecoderShape {
        var shape = DecoderShape()
        (shape.layers, shape.hidden, shape.intermediate, shape.vocabulary) = (1, 6, 4, 9)
        (shape.heads, shape.keyValueHeads, shape.headDimension, shape.rotated) = (2, 1, 4, 4)
        (shape.maximumContext, shape.prefix, shape.attention) = (9, prefix, attention)
        (shape.isGated, shape.hasHadamard) = (false, false)
        return shape
    }

    @Test(arguments: DecoderShape.Attention.allCases, [0, 2])
    func everyOrderThatValidationAcceptsRunsAsTheReference(_ attention: DecoderShape.Attention, _ prefix: Int) throws {
        let program = Self.shape(attention, prefix: prefix).program(seed: 17)
        let tokens: [Int32] = [3, 1, 4, 1, 5, 8]
        let expected = try ReferenceInterpreter(program).run(tokens: tokens)
        var orders = 0
        try OperationOrder(program.graph).forEach { order in
            var other = program
            other.graph.operations = order.map { program.graph.operations[$0] }
            #expect(try ReferenceInterpreter(other).run(tokens: tokens) == expected)
            let runtime = try Runtime(program: other, options: .init(threads: 1, prefillChunk: 4))
            for isWatched in [false, true] {
                let session = try runtime.makeSession(observing: isWatched)
                #expect(try logits(session, tokens) == expected, "fresh, \(order)")
                session.reset()
                _ = try logits(session, [7, 7, 0, 2, 6, 6])
                session.reset()
                #expect(try logits(session, tokens) == expected, "after another conversation, \(order)")
                session.reset()
                #expect(try tokens.flatMap { try session.decode($0) } == expected, "token by token, \(order)")
            }
            orders += 1
        }
        #expect(orders == 450)
    }

    private func logits(_ session: Session, _ tokens: [Int32]) throws -> [Int32] {
        var logits: [Int32] = []
        try session.evaluate(tokens, droppingPrefix: false) { _, rows in logits += rows }
        return logits
    }

    /// The values' append behind the softmax: what a plan at the scores would read from the conversation before.
    @Test func aLateAppendOfValuesIsRead() throws {
        var program = Self.shape(.softmax, prefix: 0).program(seed: 3)
        let place = try #require(program.graph.operations.firstIndex { $0.name.hasSuffix("v_cache_append") })
        let append = program.graph.operations.remove(at: place)
        let end = try #require(program.graph.operations.firstIndex { $0.name.hasSuffix("weighted_values") })
        program.graph.operations.insert(append, at: end)
        guard case .equal = try DifferentialProgram.compare(program) else {
            Issue.record("refused")
            return
        }
    }
}
