import DyadTestSupport
import Testing

@testable import DyadGraph

@Suite("Hadamard matrices and the hadamard operation")
struct HadamardTests {
    @Test(
        "the orders that Sylvester, Paley and products give are Hadamard matrices",
        arguments: [1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 60, 64, 72, 80, 96, 108, 128, 144])
    func orders(order: Int) throws {
        let matrix = try #require(HadamardMatrix.make(order))
        #expect(matrix.order == order)
        for (i, row) in matrix.rows.enumerated() {
            #expect(row.count == order && row.allSatisfy { $0 == 1 || $0 == -1 })
            for j in 0...i {
                let product = zip(row, matrix.rows[j]).reduce(0) { $0 + Int($1.0) * Int($1.1) }
                #expect(product == (i == j ? order : 0))
            }
        }
        #expect(HadamardMatrix(signs: matrix.signs) == matrix)
    }

    @Test("orders without a construction are refused", arguments: [3, 6, 10, 92, 172, 0, -4])
    func noOrder(order: Int) { #expect(HadamardMatrix.make(order) == nil) }

    @Test("signs that make no Hadamard matrix are refused")
    func noMatrix() {
        for signs in [[], ["+", "-"], ["++", "++"], ["+x", "+-"], ["++-", "+-+", "-++"], ["é"]] {
            #expect(HadamardMatrix(signs: signs) == nil)
        }
    }

    @Test("the largest block of a width")
    func blocks() {
        func block(_ width: Int) -> [Int] {
            let block = HadamardMatrix.largestBlock(dividing: width)
            return [block.base.order, block.power, block.count]
        }
        #expect(block(1536) == [12, 128, 1])
        #expect(block(576) == [36, 16, 1])
        #expect(block(2048) == [1, 2048, 1])
        #expect(block(5632) == [44, 128, 1])
        #expect(block(11008) == [1, 256, 43])
        #expect(block(7) == [1, 1, 7])
        #expect(block(1) == [1, 1, 1])
        for width in 1...300 {
            let block = HadamardMatrix.largestBlock(dividing: width)
            #expect(block.size * block.count == width)
            #expect(block.power.nonzeroBitCount == 1)
        }
    }

    @Test(
        "the operation equals the product with base ⊗ Sylvester, block by block",
        arguments: [2, 12, 96, 72, 60, 28, 300])
    func product(width: Int) throws {
        var generator = SeededGenerator(seed: UInt64(width))
        let block = HadamardMatrix.largestBlock(dividing: width)
        let matrix = block.base.kronecker(.sylvester(block.power)).rows
        let operands = Operation.Hadamard(input: 0, base: block.base.signs, power: block.power, output: 1)
        for (type, zero) in [(IntegerType.u8, Int32(31)), (.u16, 32768)] {
            let input = GraphTensor(
                name: "x", shape: [.tokens, .fixed(width)], type: type, encoding: Encoding(scale: 1, zeroPoint: zero))
            let output = GraphTensor(
                name: "y", shape: input.shape, type: .i32, encoding: Encoding(scale: 1, zeroPoint: 0))
            let top = Int32(type.range.upperBound)
            let q = (0..<3 * width).map { _ in
                Bool.random(using: &generator) ? top : Int32.random(in: 0...top, using: &generator)
            }
            let expected = q.indices.map { index -> Int32 in
                let start = index - index % block.size
                return (0..<block.size).reduce(0) {
                    $0 + (q[start + $1] - zero) * Int32(matrix[$1][index % block.size])
                }
            }
            let hadamard = SingleOperation(.hadamard(operands), [input, output])
            #expect(try hadamard.integers([q], tokens: 3) == [expected])
        }
    }
}
