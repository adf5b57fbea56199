import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer
import Testing

@Suite("The float generator", .needsTorch)
struct FloatGeneratorTests {
    private func generator() throws -> FloatGenerator {
        FloatGenerator(try Decoder(checkpoint: checkpoint("llama-gqa-untied")))
    }

    /// Every sequence begins with the token 1.
    private let begin: (Int, [Int32]) -> Int32? = { _, tokens in tokens.isEmpty ? 1 : nil }

    @Test("keeps to the tokens that are given, and samples the others behind them")
    func givenTokens() throws {
        let generator = try generator()
        let given: (Int, [Int32]) -> Int32? = { sequence, tokens in
            tokens.count == 3 || tokens.count == 4 ? Int32(sequence + tokens.count) : tokens.isEmpty ? 1 : nil
        }
        var greedy = generator
        greedy.topK = 1
        let texts = try greedy.sample(count: 3, length: 8, given: given, seed: 1)
        for (sequence, text) in texts.enumerated() {
            #expect(text[0] == 1 && text[3] == Int32(sequence + 3) && text[4] == Int32(sequence + 4))
            let best = try greedy.decoder.forward([text]).argmax(dim: -1).toArray(Int32.self)
            for place in [1, 2, 5, 6, 7] { #expect(text[place] == best[place - 1]) }
        }
    }

    @Test("writes the same text for the same seed, whatever the batch, and another for another seed")
    func deterministic() throws {
        let generator = try generator()
        let text = try generator.sample(count: 5, length: 12, given: begin, seed: 7)
        #expect(text.count == 5)
        #expect(text.allSatisfy { $0.count == 12 && $0[0] == 1 })
        #expect(Set(text).count == 5)
        #expect(try generator.sample(count: 5, length: 12, given: begin, seed: 7, batch: 2) == text)
        #expect(try generator.sample(count: 5, length: 12, given: begin, seed: 8) != text)
    }

    @Test("draws tokens as often as the model expects them")
    func distribution() throws {
        let generator = try generator()
        let draws = try generator.sample(count: 4000, length: 2, given: begin, seed: 3, batch: 4000)
        let expected = try generator.decoder.forward([[1]]).softmax(-1).toArray(Float.self)
        var counts = [Double](repeating: 0, count: expected.count)
        for text in draws { counts[Int(text[1])] += 1 }
        let chiSquare = zip(counts, expected).reduce(0) { sum, pair in
            let mean = Double(pair.1) * 4000
            return sum + (pair.0 - mean) * (pair.0 - mean) / mean
        }
        // 31 degrees of freedom: mean 31, standard deviation 7.9
        #expect(chiSquare < 31 + 5 * 7.9)
    }

    @Test("with top-k 1 or a tiny nucleus is greedy")
    func greedy() throws {
        var generator = try generator()
        generator.topK = 1
        let text = try generator.sample(count: 1, length: 10, given: begin, seed: 1)[0]
        let best = try generator.decoder.forward([text]).argmax(dim: -1).toArray(Int32.self)
        #expect(Array(text[1...]) == Array(best[..<9]))
        generator.topK = nil
        generator.topP = 1e-6
        #expect(try generator.sample(count: 1, length: 10, given: begin, seed: 2)[0] == text)
    }

    @Test("answers prompts of any length as one by one, up to an end")
    func answers() throws {
        let generator = try generator()
        let prompts: [[Int32]] = [[3, 9, 27, 4], [5], [1, 2], [7, 7, 7, 7, 7, 7]]
        func alone(_ prompt: [Int32], ends: Set<Int32>) throws -> [Int32] {
            var text = prompt
            while text.count < prompt.count + 6 {
                let best = try generator.decoder.forward([text]).argmax(dim: -1).toArray(Int32.self)
                text.append(best[text.count - 1])
                if ends.contains(text[text.count - 1]) { break }
            }
            return Array(text.dropFirst(prompt.count))
        }
        let endless = try prompts.map { try alone($0, ends: []) }
        let ends: Set<Int32> = [endless[0][2], endless[3][0]]
        for (ends, batch) in [([], 8), (ends, 8), (ends, 3)] as [(Set<Int32>, Int)] {
            let found = try generator.answers(to: prompts, maximumTokens: 6, ends: ends, batch: batch)
            #expect(try found.map { $0.map(\.token) } == prompts.map { try alone($0, ends: ends) })
            #expect(found.joined().allSatisfy { $0.margin >= 0 })
        }
    }

    @Test("stays inside the nucleus, and never draws a suppressed token")
    func restricted() throws {
        var generator = try generator()
        generator.topP = 0.5
        let probabilities = try generator.decoder.forward([[1]]).softmax(-1).toArray(Float.self)
        let order = probabilities.indices.sorted { probabilities[$0] > probabilities[$1] }
        var nucleus: Set<Int32> = []
        var sum: Float = 0
        for index in order where sum < 0.5 {
            nucleus.insert(Int32(index))
            sum += probabilities[index]
        }
        let draws = Set(
            try generator.sample(count: 500, length: 2, given: begin, seed: 5, batch: 500).map { $0[1] })
        #expect(draws == nucleus)

        generator.topP = nil
        generator.suppressed = [Int32(order[0])]
        let others = try generator.sample(count: 500, length: 2, given: begin, seed: 5, batch: 500)
        #expect(others.allSatisfy { $0[1] != Int32(order[0]) })
    }

    @Test("refuses settings out of range")
    func errors() throws {
        var generator = try generator()
        #expect(throws: DyadError.self) { try generator.sample(count: 1, length: 1, given: begin, seed: 1) }
        #expect(throws: DyadError.self) { try generator.sample(count: 1, length: 4, given: { _, _ in 99 }, seed: 1) }
        generator.temperature = 0
        #expect(throws: DyadError.self) { try generator.sample(count: 1, length: 4, given: begin, seed: 1) }
    }
}
