import DyadGraph
import DyadTestSupport
import Testing

@Suite("The reference on random whole programs")
struct ReferenceGraphTests {
    @Test("prefill in one piece equals token by token", arguments: 0..<24)
    func piecesAreEqual(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let shape = DecoderShape.random(using: &generator)
        let program = shape.program(seed: UInt64(seed))
        let tokens = (0..<12).map { _ in Int32.random(in: 0..<Int32(shape.vocabulary), using: &generator) }

        let whole = try ReferenceInterpreter(program)
        let all = try whole.run(tokens: tokens)
        #expect(all.count == tokens.count * shape.vocabulary)
        #expect(Set(all.suffix(shape.vocabulary)).count > 1, "constant logits compare nothing: \(shape)")

        whole.reset()
        #expect(try whole.run(tokens: tokens, logits: .last) == Array(all.suffix(shape.vocabulary)))

        whole.reset()
        var pieces: [Int32] = []
        for token in tokens { pieces += try whole.run(tokens: [token]) }
        #expect(pieces == all, "\(shape)")
        #expect(whole.position == shape.prefix + tokens.count)

        whole.reset()
        let split = try whole.run(tokens: Array(tokens[..<5])) + whole.run(tokens: Array(tokens[5...]))
        #expect(split == all, "\(shape)")
    }

    @Test("activations use their range: few values are saturated", arguments: 0..<8)
    func activationsAreSpread(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let shape = DecoderShape.random(using: &generator)
        let program = shape.program(seed: UInt64(seed))
        let reference = try ReferenceInterpreter(program)
        _ = try reference.run(tokens: [0, 1, 2, 3, 4]) { id, values in
            let tensor = program.graph.tensors[id]
            guard tensor.shape.last != .context, tensor.type == .u8 || tensor.type == .u16 else { return }
            let saturated = values.filter { Int64($0) == tensor.type.range.upperBound || $0 == 0 }.count
            #expect(saturated * 3 < values.count, "\(tensor.name) of \(shape)")
            #expect(Set(values).count > 4, "\(tensor.name) of \(shape)")
        }
    }
}
