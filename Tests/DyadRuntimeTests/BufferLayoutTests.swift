import CDyadKernels
import DyadGraph
import DyadTestSupport
import Testing

@testable import DyadRuntime

/// Tensors that live at the same time have bytes of their own, and little more memory is taken than they need together.
@Suite struct BufferLayoutTests {
    private struct Life {
        let id: TensorID
        let bytes: Int
        let first: Int
        var last: Int
    }

    /// The tensors of a plan, and from where to where in it they are needed.
    private func lives(_ plan: ExecutionPlan, rows: Int, columns: Int, isWatched: Bool) -> [Life] {
        var lives: [TensorID: Life] = [:]
        for (step, operation) in plan.operations.enumerated() {
            for tensor in operation.outputs + (isWatched ? operation.internals : []) {
                let bytes = tensor.count(rows: rows, columns: columns) * tensor.storedType.byteCount
                lives[tensor.id] = Life(
                    id: tensor.id, bytes: bytes + Int(DYAD_READ_PADDING), first: step, last: step)
            }
            for input in operation.inputs { lives[input]?.last = step }
        }
        for kept in plan.logits.inputs { lives[kept]?.last = plan.operations.count }
        return Array(lives.values)
    }

    private func check(_ program: IntegerProgram, rows: Int, atMost factor: Double) throws {
        let plan = try Runtime(program: program, options: .init(threads: 1)).plan
        for isWatched in [false, true] {
            let columns = rows + plan.prefix
            let lives = lives(plan, rows: rows, columns: columns, isWatched: isWatched)
            let layout = BufferLayout(
                operations: plan.operations, tensorCount: plan.graph.tensors.count, kept: plan.logits.inputs,
                rows: rows,
                columns: columns, isWatched: isWatched)
            for life in lives {
                let start = try #require(layout.offsets[life.id])
                #expect(start >= 0 && start % 64 == 0 && start + life.bytes <= layout.byteCount)
                for other in lives where other.id > life.id && other.first <= life.last && life.first <= other.last {
                    let place = try #require(layout.offsets[other.id])
                    #expect(place + other.bytes <= start || start + life.bytes <= place)
                }
            }
            let needed = (0...plan.operations.count).map { step in
                lives.filter { $0.first <= step && step <= $0.last }.reduce(0) { $0 + $1.bytes }
            }.max()
            #expect(Double(layout.byteCount) <= factor * Double(try #require(needed)), "watched: \(isWatched)")
        }
    }

    @Test func aDecoderTakesLittleMoreThanItNeeds() throws {
        var shape = DecoderShape.smolLM2
        (shape.layers, shape.vocabulary, shape.maximumContext) = (3, 100, 600)
        try check(shape.program(seed: 1), rows: 512, atMost: 1.1)
    }

    @Test(arguments: 0..<20) func randomGraphsTakeLessThanTwice(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        try check(DecoderShape.random(using: &generator).program(seed: seed), rows: 16, atMost: 2)
    }
}
