import DyadTestSupport
import Testing

@testable import DyadGraph

@Suite("Softmax and its late-division form")
struct AttentionBudgetTests {
    /// Scores of N(0, 2²) on the u16 grid.
    private func scores(_ count: Int, scale: Float, _ generator: inout SeededGenerator) -> [Int32] {
        (0..<count).map { _ in
            // The sum of twelve uniform numbers has variance 1.
            let normal = (0..<12).reduce(-6.0) { sum, _ in sum + Double.random(in: 0..<1, using: &generator) }
            return Int32((2 * normal / Double(scale)).rounded()) + 32768
        }
    }

    /// `[1, tokens, context]`.
    private func tensor(_ name: String, _ type: IntegerType, _ scale: Float, zero: Int32 = 0) -> GraphTensor {
        GraphTensor(
            name: name, shape: [.fixed(1), .tokens, .context], type: type,
            encoding: Encoding(scale: scale, zeroPoint: zero))
    }

    private func softmax(scale: Float) -> SingleOperation {
        SingleOperation(
            .softmax(.init(input: 0, output: 1)),
            [tensor("scores", .u16, scale, zero: 32768), tensor("probabilities", .u16, 1 / 65535)])
    }

    /// One row, of which the token sees everything.
    private func row(_ scores: [Int32], _ softmax: SingleOperation) throws -> [Int32] {
        try softmax.integers([scores], position: scores.count - 1)[0]
    }

    private func exponential(scale: Float, _ type: IntegerType, prefix: Int) -> SingleOperation {
        let unit = 1 / Float(type.range.upperBound)
        let operands = Operation.Exponential(input: 0, output: 1, prefixWeights: prefix == 0 ? nil : 2)
        return SingleOperation(
            .exponential(operands),
            [tensor("scores", .u16, scale, zero: 32768), tensor("e", type, unit), tensor("w", .u32, unit)],
            prefix: prefix)
    }

    /// Rounding each of C probabilities to u16 costs mass by itself: measured with float64 softmax on N(0, 2²), 0.014 % at
    /// length 1024, 0.05 % at 2048, 0.161 % at 4096. The integer arithmetic adds nothing to that.
    @Test(
        "softmax loses at most 0.1 % of a row's mass at length 2048, and at 4096 what exact rounding loses",
        arguments: [2048, 4096])
    func rowMass(length: Int) throws {
        var generator = SeededGenerator(seed: 3)
        let scale: Float = 20.0 / 32768
        let softmax = softmax(scale: scale)
        var (error, ideal) = (0.0, 0.0)
        for _ in 0..<16 {
            let row = scores(length, scale: scale, &generator)
            let probabilities = try self.row(row, softmax)
            let exact = try softmax.exact([row], position: length - 1)[0].map { $0 * 65535 }
            error += abs(Double(probabilities.reduce(0) { $0 + Int($1) }) / 65535 - 1) / 16
            ideal += abs(exact.reduce(0) { $0 + $1.rounded() } / 65535 - 1) / 16
            #expect(try softmax.worst([row], position: length - 1) <= oneRounding)
        }
        #expect(error <= (length == 2048 ? 0.001 : 0.0017))
        #expect(abs(error - ideal) < 1e-5)
    }

    @Test("softmax at extremes: one column, equal scores, one winner, the widest range")
    func softmaxExtremes() throws {
        let softmax = softmax(scale: 20.0 / 32768)
        #expect(try row([7], softmax) == [65535])
        #expect(try row([9, 9, 9], softmax) == [21845, 21845, 21845])
        #expect(try row([65535, 0], softmax) == [65535, 0])
        let coarse = self.softmax(scale: 20)
        #expect(try row([0, 65535, 65534], coarse) == [0, 65535, 0])
        // The worst case for the mass: 1/131072 of it is 0.499996 steps, which rounds to nothing.
        let equal = try row([Int32](repeating: 40000, count: 131_072), softmax)
        #expect(equal.allSatisfy { $0 == 0 })
    }

    @Test("exponentials of every score difference are within one step", arguments: [IntegerType.u8, .u16])
    func exponentials(type: IntegerType) throws {
        let scale: Float = 14.0 / 32768
        // One row of which the last column is the maximum.
        let row = (0..<65536).map(Int32.init)
        let exponential = exponential(scale: scale, type, prefix: 0)
        #expect(try exponential.worst([row], position: 65535) <= oneRounding)
    }

    @Test("prefix columns above the maximum weigh more than one unit, and saturate at 2³² − 1")
    func prefixWeights() throws {
        let scale: Float = 14.0 / 32768
        // Two prefix columns, then three tokens' columns of which the last two are not visible for token 0.
        let row: [Int32] = [50000, 65535, 30000, 65535, 65535]
        let exponential = exponential(scale: scale, .u16, prefix: 2)
        let outputs = try exponential.integers([row + row + row], tokens: 3, position: 2)
        let (stored, weights) = (outputs[0], outputs[1])
        #expect(try exponential.worst([row + row + row], tokens: 3, position: 2) <= oneRounding)
        #expect(Array(stored[..<5]) == [0, 0, 65535, 0, 0])
        let expected = exp(Double(scale) * 20000) * 65535
        let weight = Double(UInt32(bitPattern: weights[0]))
        #expect(abs(weight / expected - 1) < 1e-6)
        #expect(UInt32(bitPattern: weights[1]) == .max)  // e^15.2 · 65535 is beyond
        #expect(Array(stored[10...]) == [0, 0, 0, 65535, 65535])
        #expect(UInt32(bitPattern: weights[5]) == 65535)
    }

    @Test("products with the caches at extremes: every sign, one column with all the mass", arguments: [1, 64, 256])
    func matmulExtremes(size: Int) throws {
        let cache = CacheState(
            name: "k", keyValueHeads: 1, headDimension: size, encoding: Encoding(scale: 0.031, zeroPoint: 128),
            prefix: nil)
        let columns = [UInt8(0), 255, 128, 1].flatMap { [UInt8](repeating: $0, count: size) }
        let query = GraphTensor(
            name: "q", shape: [.tokens, .fixed(size)], type: .u8, encoding: Encoding(scale: 0.027, zeroPoint: 0))
        let (scores, probabilities) = (tensor("s", .u16, 0.01, zero: 32768), tensor("p", .u16, 1 / 65535))
        let output = GraphTensor(
            name: "y", shape: [.tokens, .fixed(size)], type: .u8, encoding: Encoding(scale: 0.0311, zeroPoint: 127))
        let keys = Operation.Matmul(form: .queryKey, input: 0, cache: 0, factor: 0.125, output: 1)
        var product = SingleOperation(.matmul(keys), [query, scores], cache: cache)
        product.caches = [columns]
        #expect(try product.worst([[Int32](repeating: 255, count: size)], position: 3) <= oneRounding)

        let values = Operation.Matmul(form: .weightedValues, input: 0, cache: 0, factor: 1, output: 1)
        var average = SingleOperation(.matmul(values), [probabilities, output], cache: cache)
        average.caches = [columns]
        for column in 0..<4 {
            let row = (0..<4).map { $0 == column ? Int32(65535) : 0 }
            #expect(try average.worst([row], position: 3) <= oneRounding)
        }
    }

    @Test("late attention is within one step from stored e and w, at every mass")
    func lateAttention() throws {
        var generator = SeededGenerator(seed: 8)
        let cache = CacheState(
            name: "v", keyValueHeads: 1, headDimension: 4, encoding: Encoding(scale: 0.021, zeroPoint: 128), prefix: "p"
        )
        for largest in [UInt32(0), 1, 300, 70000, 1 << 24, .max] {
            for (context, prefix, top) in [(2, 1, Int32(255)), (9, 3, 255), (9, 1, 65535), (3000, 4, 65535)] {
                let columns = (0..<context * 4).map { _ in UInt8.random(in: 0...255, using: &generator) }
                var row = (0..<context).map { $0 < prefix ? 0 : Int32.random(in: 0...top, using: &generator) }
                row[context - 1] = top
                let weights = (0..<prefix).map { _ in UInt32.random(in: largest / 2...largest, using: &generator) }
                for y in [
                    GraphTensor(
                        name: "y", shape: [.tokens, .fixed(4)], type: .u8,
                        encoding: Encoding(scale: 0.0153, zeroPoint: 120)),
                    GraphTensor(
                        name: "y", shape: [.tokens, .fixed(4)], type: .u16,
                        encoding: Encoding(scale: 9e-5, zeroPoint: 32768)),
                ] {
                    let operands = Operation.LateAttention(exponentials: 0, prefixWeights: 1, cache: 0, output: 2)
                    let unit = 1 / Float(top)
                    var attention = SingleOperation(
                        .lateAttention(operands),
                        [tensor("e", top == 255 ? .u8 : .u16, unit), tensor("w", .u32, unit), y], cache: cache,
                        prefix: prefix)
                    attention.caches = [columns]
                    let weights = weights.map { Int32(bitPattern: $0) }
                    #expect(
                        try attention.worst([row, weights], position: context - 1) <= oneRounding,
                        "\(largest) \(context) \(prefix) \(top)")
                }
            }
        }
    }
}
