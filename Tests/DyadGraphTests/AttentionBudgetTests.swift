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

    private func multiplier(scale: Float) throws -> DyadicMultiplier {
        let tensor = GraphTensor(
            name: "scores", shape: [.fixed(1), .tokens, .context], type: .u16,
            encoding: Encoding(scale: scale, zeroPoint: 32768))
        return try IntegerGraph(vocabularySize: 1, maximumContext: 8192, tensors: [tensor])
            .exponentMultiplier(ofScores: 0, name: "softmax")
    }

    /// Rounding each of C probabilities to u16 costs mass by itself: measured with float64 softmax on N(0, 2²), 0.014 % at
    /// length 1024, 0.05 % at 2048, 0.161 % at 4096. The integer arithmetic adds nothing to that.
    @Test(
        "softmax loses at most 0.1 % of a row's mass at length 2048, and at 4096 what exact rounding loses",
        arguments: [2048, 4096])
    func rowMass(length: Int) throws {
        var generator = SeededGenerator(seed: 3)
        let scale: Float = 20.0 / 32768
        let multiplier = try multiplier(scale: scale)
        var (error, ideal) = (0.0, 0.0)
        for _ in 0..<16 {
            let row = scores(length, scale: scale, &generator)
            let probabilities = ReferenceOperations.softmaxRow(row[...], multiplier)
            let exponentials = row.map { exp(Double(scale) * Double($0 - 65535)) }
            let sum = exponentials.reduce(0, +)
            let exact = exponentials.map { $0 / sum * 65535 }
            error += abs(Double(probabilities.reduce(0) { $0 + Int($1) }) / 65535 - 1) / 16
            ideal += abs(exact.reduce(0) { $0 + $1.rounded() } / 65535 - 1) / 16
            #expect(worstDifference(probabilities, exact, .u16) <= oneRounding)
        }
        #expect(error <= (length == 2048 ? 0.001 : 0.0017))
        #expect(abs(error - ideal) < 1e-5)
    }

    @Test("softmax at extremes: one column, equal scores, one winner, the widest range")
    func softmaxExtremes() throws {
        let multiplier = try multiplier(scale: 20.0 / 32768)
        #expect(ReferenceOperations.softmaxRow([7], multiplier) == [65535])
        #expect(ReferenceOperations.softmaxRow([9, 9, 9], multiplier) == [21845, 21845, 21845])
        #expect(ReferenceOperations.softmaxRow([65535, 0], multiplier) == [65535, 0])
        let coarse = try self.multiplier(scale: 20)
        #expect(ReferenceOperations.softmaxRow([0, 65535, 65534], coarse) == [0, 65535, 0])
        // The worst case for the mass: 1/131072 of it is 0.499996 steps, which rounds to nothing.
        let equal = ReferenceOperations.softmaxRow([Int32](repeating: 40000, count: 131_072)[...], multiplier)
        #expect(equal.allSatisfy { $0 == 0 })
    }

    @Test("exponentials of every score difference are within one step", arguments: [IntegerType.u8, .u16])
    func exponentials(type: IntegerType) throws {
        let scale: Float = 14.0 / 32768
        let output = GraphTensor(
            name: "e", shape: [.fixed(1), .tokens, .context], type: type,
            encoding: Encoding(scale: 1 / Float(type.range.upperBound), zeroPoint: 0))
        // One row of which the last column is the maximum.
        let row = (0..<65536).map(Int32.init)
        let (stored, weights) = ReferenceOperations.exponential(
            row, tokens: 1, position: 65535, prefix: 0, try multiplier(scale: scale), to: output)
        let exact = row.map { exp(Double(scale) * Double($0 - 65535)) * Double(type.range.upperBound) }
        #expect(weights.isEmpty)
        #expect(worstDifference(stored, exact, type) <= oneRounding)
    }

    @Test("prefix columns above the maximum weigh more than one unit, and saturate at 2³² − 1")
    func prefixWeights() throws {
        let scale: Float = 14.0 / 32768
        let output = GraphTensor(
            name: "e", shape: [.fixed(1), .tokens, .context], type: .u16,
            encoding: Encoding(scale: 1 / 65535, zeroPoint: 0))
        // Two prefix columns, then three tokens' columns of which the last two are not visible for token 0.
        let row: [Int32] = [50000, 65535, 30000, 65535, 65535]
        let (stored, weights) = ReferenceOperations.exponential(
            row + row + row, tokens: 3, position: 2, prefix: 2, try multiplier(scale: scale), to: output)
        #expect(Array(stored[..<5]) == [0, 0, 65535, 0, 0])
        let expected = exp(Double(scale) * 20000) * 65535
        let weight = Double(UInt32(bitPattern: weights[0]))
        #expect(abs(weight / expected - 1) < 1e-6)
        #expect(UInt32(bitPattern: weights[1]) == .max)  // e^15.2 · 65535 is beyond
        #expect(Array(stored[10...]) == [0, 0, 0, 65535, 65535])
        #expect(UInt32(bitPattern: weights[5]) == 65535)
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
                    let graph = IntegerGraph(vocabularySize: 1, maximumContext: 4096, tensors: [y], caches: [cache])
                    let operands = Operation.LateAttention(exponentials: 0, prefixWeights: 0, cache: 0, output: 0)
                    let stored = ReferenceOperations.lateAttention(
                        row, prefixWeights: weights.map { Int32(bitPattern: $0) }, columns, cache, tokens: 1,
                        prefix: prefix, try graph.lateAttentionMultiplier(operands, name: "late"), to: y)
                    let all = (0..<context).map { $0 < prefix ? Double(weights[$0]) : Double(row[$0]) }
                    let mass = all.reduce(0, +)
                    let exact = (0..<4).map { channel -> Double in
                        let sum = all.indices.reduce(0) { $0 + all[$1] * (Double(columns[$1 * 4 + channel]) - 128) }
                        return sum / mass * Double(Float(0.021)) / Double(y.encoding.scale)
                            + Double(y.encoding.zeroPoint)
                    }
                    #expect(
                        worstDifference(stored, exact, y.type) <= oneRounding, "\(largest) \(context) \(prefix) \(top)")
                }
            }
        }
    }
}
