import DyadGraph
import DyadTestSupport
import Testing

@Suite("The exact evaluator")
struct ExactEvaluatorTests {
    static let shape: DecoderShape = {
        var shape = DecoderShape()
        (shape.hasHadamard, shape.attention, shape.prefix) = (true, .late8, 1)
        return shape
    }()
    static let program = shape.program(seed: 5)
    static let tokens = (0..<12).map { Int32($0 * 7 % 50) }

    /// The largest difference of every tensor, by name, where the reference runs one program and the evaluator has another.
    private func differences(_ wrong: IntegerProgram, from right: IntegerProgram = program) throws -> [String: Double] {
        var integers: [TensorID: [Int32]] = [:]
        _ = try ReferenceInterpreter(wrong).run(tokens: Self.tokens) { integers[$0] = $1 }
        let found = try ExactEvaluator(right).compare(tokens: Self.tokens, integers: integers)
        let pairs = found.map { (right.graph.tensors[$0.tensor].name, $0.difference.maximum) }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    /// Tensors that are more than the budget of the page Numerics away.
    private func wrongTensors(_ differences: [String: Double]) -> [String] {
        differences.filter { $0.value > 1 }.keys.sorted()
    }

    private func place(_ name: String) throws -> Int {
        try #require(Self.program.graph.operations.firstIndex { $0.name == name })
    }

    @Test("nothing is found in a right program")
    func rightProgram() throws {
        let differences = try differences(Self.program)
        #expect(differences.count == Self.program.graph.tensors.count)
        #expect(differences.values.allSatisfy { $0 <= oneRounding })
    }

    // MARK: Planted errors

    @Test("an entry of a lookup's table that is two steps off, though the program itself has that table")
    func wrongTable() throws {
        guard case .lookup(let lookup) = Self.program.graph.operations[try place("layers.1.mlp.act_fn")].kind else {
            Issue.record("no lookup")
            return
        }
        var inputs: [Int32] = []
        _ = try ReferenceInterpreter(Self.program).run(tokens: Self.tokens) { id, values in
            if id == lookup.input { inputs = values }
        }
        let entry = Int(try #require(inputs.first))
        var table = try Self.program.elements(of: lookup.table, as: UInt8.self)
        table[entry] = table[entry] < 128 ? table[entry] + 2 : table[entry] - 2
        var wrong = Self.program
        wrong.constants[lookup.table] = .memory(ConstantData(table))
        #expect(wrongTensors(try differences(wrong, from: wrong)) == [Self.program.graph.tensors[lookup.output].name])
    }

    @Test("a sign of the Hadamard matrix")
    func wrongHadamard() throws {
        let index = try place("layers.0.mlp.hadamard")
        guard case .hadamard(var hadamard) = Self.program.graph.operations[index].kind else {
            Issue.record("no hadamard")
            return
        }
        // With all signs of a row turned it is a Hadamard matrix still.
        hadamard.base[0] = String(hadamard.base[0].map { $0 == "+" ? "-" : "+" })
        var wrong = Self.program
        wrong.graph.operations[index].kind = .hadamard(hadamard)
        let output = Self.program.graph.tensors[hadamard.output].name
        #expect(wrongTensors(try differences(wrong)) == [output])
    }

    @Test("a factor of the attention scores that is half a percent off", arguments: DecoderShape.Attention.allCases)
    func wrongScores(attention: DecoderShape.Attention) throws {
        var shape = Self.shape
        shape.attention = attention
        let right = shape.program(seed: 5)
        let index = try #require(right.graph.operations.firstIndex { $0.name == "layers.0.attention.scores" })
        guard case .matmul(var matmul) = right.graph.operations[index].kind else {
            Issue.record("no product")
            return
        }
        matmul.factor *= 1.005
        var wrong = right
        wrong.graph.operations[index].kind = .matmul(matmul)
        #expect(wrongTensors(try differences(wrong, from: right)) == ["layers.0.attention.scores"])
    }

    @Test("one integer of any tensor", arguments: program.graph.tensors.indices)
    func wrongInteger(tensor: TensorID) throws {
        var integers: [TensorID: [Int32]] = [:]
        _ = try ReferenceInterpreter(Self.program).run(tokens: Self.tokens) { integers[$0] = $1 }
        let middle = Int32(truncatingIfNeeded: Self.program.graph.tensors[tensor].type.range.upperBound / 2)
        var values = try #require(integers[tensor])
        // The largest values of 32 bits have a tolerance of their own.
        let index = try #require(values.indices.min { values[$0].magnitude < values[$1].magnitude })
        values[index] += values[index] < middle ? 2 : -2
        integers[tensor] = values
        let found = try ExactEvaluator(Self.program).compare(tokens: Self.tokens, integers: integers)
        let first = try #require(found.first { $0.difference.maximum > 1 })
        #expect(first.tensor == tensor)
    }

    @Test("a tensor without its integers is as wrong as can be")
    func missingIntegers() throws {
        let found = try ExactEvaluator(Self.program).compare(tokens: [1], integers: [:])
        #expect(found.contains { $0.difference.maximum == .infinity })
    }

    // MARK: Whole programs

    @Test("in one piece, in pieces and token by token the logits are the same", arguments: 0..<8)
    func pieces(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let shape = DecoderShape.random(using: &generator)
        let evaluator = try ExactEvaluator(shape.program(seed: UInt64(seed)))
        let tokens = (0..<9).map { _ in Int32.random(in: 0..<Int32(shape.vocabulary), using: &generator) }
        let whole = try evaluator.run(tokens: tokens)
        #expect(whole.count == tokens.count * shape.vocabulary && whole.allSatisfy(\.isFinite))
        evaluator.reset()
        var pieces = try evaluator.run(tokens: Array(tokens[..<4]))
        for token in tokens[4...] { pieces += try evaluator.run(tokens: [token]) }
        #expect(evaluator.position == shape.prefix + tokens.count)
        #expect(zip(whole, pieces).allSatisfy { abs($0 - $1) < 1e-9 })
    }

    @Test("the integers' logits are those of real numbers but for rounding", arguments: 0..<8)
    func logits(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let shape = DecoderShape.random(using: &generator)
        let program = shape.program(seed: UInt64(seed))
        let tokens = (0..<9).map { _ in Int32.random(in: 0..<Int32(shape.vocabulary), using: &generator) }
        let exact = try ExactEvaluator(program).run(tokens: tokens)
        let integers = try ReferenceInterpreter(program).run(tokens: tokens).map { Double($0) * 0x1p-16 }
        func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        let cosine = product(exact, integers) / (product(exact, exact) * product(integers, integers)).squareRoot()
        #expect(cosine > 0.9, "\(cosine) for \(shape)")
    }

    @Test("ids and tokens that do not fit are refused")
    func refusals() throws {
        let evaluator = try ExactEvaluator(Self.program)
        #expect(throws: (any Error).self) { try evaluator.run(tokens: [50]) }
        #expect(throws: (any Error).self) { try evaluator.run(tokens: [Int32](repeating: 1, count: 40)) }
        #expect(try evaluator.run(tokens: []).isEmpty && evaluator.position == 1)
    }
}
