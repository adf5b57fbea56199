import DyadEvaluation
import DyadJobs
import DyadTargets
import DyadFormats
import Foundation
import Testing

@Suite("Perplexity")
struct PerplexityTests {
    @Test("of a model that knows nothing is the size of its vocabulary", arguments: [2, 16, 100, 1027])
    func uniform(_ vocabulary: Int) throws {
        let model = FakeModel(vocabularySize: vocabulary) { _ in [Float](repeating: 3, count: vocabulary) }
        let result = try Perplexity(context: 5).measure([model], tokens: [1, 0, 1, 1, 0, 1, 0, 0, 1, 1])[0]
        #expect(abs(result.perplexity / Double(vocabulary) - 1) < 1e-6)
        #expect((result.windows, result.tokens, result.scoredTokens) == (2, 10, 8))
        #expect(result.ratio == nil)
    }

    @Test("scores tokens 2 ... n of each window with what stood before them in that window only")
    func protocolOfWindows() throws {
        // Sure of the token "number of tokens so far"; windows 0 1 2 3 and 0 9 2 3: only the 9 is a surprise.
        let model = FakeModel(vocabularySize: 10) { seen in
            (0..<10).map { $0 == seen.count ? 12 : 0 }
        }
        let tokens: [Int32] = [0, 1, 2, 3, 0, 9, 2, 3, 7, 7]
        let result = try Perplexity(context: 4).measure([model], tokens: tokens)[0]
        let sure = -logSoftmax((0..<10).map { $0 == 0 ? 12 : 0 })[0]
        let surprise = sure + 12
        #expect(result.windowMeans.count == 2)
        #expect(abs(result.windowMeans[0] - sure) < 1e-6)
        #expect(abs(result.windowMeans[1] - (2 * sure + surprise) / 3) < 1e-6)
        // At most 7 tokens: one whole window of 4.
        #expect(try Perplexity(context: 4, maximumTokens: 7).measure([model], tokens: tokens)[0].windows == 1)
        // A text shorter than the context is one window.
        #expect(try Perplexity(context: 100).measure([model], tokens: tokens)[0].context == 10)
    }

    @Test("with a beginning-of-text token scores every token of the text, and not that token")
    func beginningOfText() throws {
        let model = FakeModel(vocabularySize: 10) { seen in
            (0..<10).map { $0 == seen.count && seen.first == 9 ? 12 : 0 }
        }
        let protocolWithBeginning = Perplexity(context: 4, beginningOfText: 9)
        let result = try protocolWithBeginning.measure([model], tokens: [1, 2, 3, 1, 2, 3, 1])[0]
        #expect((result.windows, result.scoredTokens) == (2, 6))
        #expect(abs(log(result.perplexity) - log(1 + 9 * exp(-12.0))) < 1e-6)
        #expect(throws: DyadError.self) {
            try Perplexity(context: 1, beginningOfText: 9).measure([model], tokens: [1, 2])
        }
    }

    @Test("of a model against itself has no divergence and full agreement")
    func itself() throws {
        let model = FakeModel(vocabularySize: 50) { seen in
            var noise = Noise(seen.reduce(1) { $0 * 31 + Int($1) })
            return noise.row(50, spread: 12)
        }
        let tokens = (0..<40).map { Int32($0 * 7 % 50) }
        let result = try Perplexity(context: 10).measure([model], reference: model, tokens: tokens)[0]
        let comparison = try #require(result.comparison)
        #expect(abs(comparison.meanKL) < 1e-12)
        #expect(comparison.top1Agreement == 1)
        #expect(result.ratio == 1)
        #expect(result.ratioStandardError == 0)
    }

    @Test(
        "of several models, with divergence, agreement and paired error, equals the definition",
        arguments: [7, 16, 333])
    func definition(_ vocabulary: Int) throws {
        @Sendable func logits(_ seen: ArraySlice<Int32>, _ salt: Int) -> [Float] {
            var noise = Noise(seen.reduce(1) { ($0 &* 31 &+ Int($1)) % 1_000_003 })
            let base = noise.row(vocabulary, spread: 20)
            var other = Noise(salt &+ seen.count)
            return salt == 0 ? base : zip(base, other.row(vocabulary, spread: 4)).map { $0 + $1 }
        }
        let tokens = (0..<33).map { Int32($0 * $0 % vocabulary) }
        let reference = FakeModel(name: "reference", vocabularySize: vocabulary, chunk: 4) { logits($0, 0) }
        let models = (1...2).map { salt in
            FakeModel(name: "m\(salt)", vocabularySize: vocabulary, chunk: salt) { logits($0, salt) }
        }
        let results = try Perplexity(context: 8).measure(models, reference: reference, tokens: tokens)
        for (salt, result) in zip(1..., results) {
            var (means, own, divergence, agreement) = ([Double](), [Double](), 0.0, 0.0)
            for window in 0..<4 {
                var (loss, referenceLoss) = (0.0, 0.0)
                for position in 0..<7 {
                    let seen = tokens[window * 8...window * 8 + position]
                    let next = Int(tokens[window * 8 + position + 1])
                    let (p, q) = (logSoftmax(logits(seen, 0)), logSoftmax(logits(seen, salt)))
                    loss -= q[next]
                    referenceLoss -= p[next]
                    divergence += zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
                    agreement += p.firstIndex(of: p.max()!) == q.firstIndex(of: q.max()!) ? 1 : 0
                }
                means.append(loss / 7)
                own.append(referenceLoss / 7)
            }
            let comparison = try #require(result.comparison)
            #expect(zip(result.windowMeans, means).allSatisfy { abs($0 - $1) < 1e-5 })
            #expect(zip(comparison.windowMeans, own).allSatisfy { abs($0 - $1) < 1e-5 })
            #expect(abs(comparison.meanKL - divergence / 28) < 1e-5 * (1 + divergence / 28))
            #expect(abs(comparison.top1Agreement - agreement / 28) < 1e-12)
            let differences = zip(means, own).map { $0 - $1 }
            let mean = differences.reduce(0, +) / 4
            let error = (differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 3 / 4).squareRoot()
            #expect(abs(try #require(result.ratio) - exp(mean)) < 1e-4 * exp(mean))
            #expect(abs(try #require(result.ratioStandardError) - exp(mean) * error) < 1e-4 * exp(mean))
        }
    }

    @Test("finds the temperature at which a model that is too sure, or not sure enough, has the text's frequencies")
    func temperature() throws {
        // Three of four tokens are 0: the entropy is reached where the odds are 3 to 1. The model and its reference are 1.3 times
        // too sure and 0.8 times as sure as they should be, among 40 tokens of which the others are as good as impossible.
        func model(_ name: String, _ factor: Float) -> FakeModel {
            FakeModel(name: name, vocabularySize: 40) { _ in
                [log(3) * factor, 0] + [Float](repeating: -1000, count: 38)
            }
        }
        let tokens = [Int32](repeating: 0, count: 7) + [1, 1, 0, 0, 1, 1, 0, 0, 0, 0]
        let entropy = -(0.75 * log(0.75) + 0.25 * log(0.25))
        var perplexity = Perplexity(context: 17)
        perplexity.temperatures = Perplexity.usualTemperatures
        let result = try perplexity.measure([model("sure", 1.3)], reference: model("unsure", 0.8), tokens: tokens)[0]
        #expect(abs(try #require(result.tempered).temperature - 1.3) < 1e-6)
        #expect(abs(log(try #require(result.tempered).perplexity) - entropy) < 1e-5)
        #expect(log(result.perplexity) > entropy + 0.005)
        let reference = try #require(result.comparison?.tempered)
        #expect(abs(reference.temperature - 0.8) < 1e-6 && abs(log(reference.perplexity) - entropy) < 1e-5)
        #expect(result.json()["reference_temperature"]?.double == reference.temperature)
        #expect(try Perplexity(context: 17).measure([model("sure", 1.3)], tokens: tokens)[0].tempered == nil)
    }

    @Test("gives JSON with the keys that other tools read")
    func json() throws {
        let model = FakeModel(vocabularySize: 4) { _ in [1, 2, 3, 4] }
        let plain = try Perplexity(context: 4).measure([model], tokens: [0, 1, 2, 3])[0].json()
        #expect(plain["tokens"]?.integer == 4)
        #expect(plain["perplexity"]?.double != nil)
        #expect(plain["mean_kl"] == nil)
        let compared = try Perplexity(context: 2).measure([model], reference: model, tokens: [0, 1, 2, 3])[0].json()
        #expect(compared["mean_kl"]?.double == 0)
        #expect(compared["top1_agreement"]?.double == 1)
        #expect(compared["windows"]?.integer == 2)
    }

    @Test("is refused for texts too short, foreign ids, other vocabularies and logits that are not finite")
    func errors() throws {
        let model = FakeModel(vocabularySize: 4) { _ in [1, 2, 3, 4] }
        #expect(throws: DyadError.self) { try Perplexity().measure([model], tokens: [1]) }
        #expect(throws: DyadError.self) { try Perplexity(context: 1).measure([model], tokens: [1, 2]) }
        #expect(throws: DyadError.self) { try Perplexity().measure([model], tokens: [1, 4]) }
        let other = FakeModel(vocabularySize: 5) { _ in [1, 2, 3, 4, 5] }
        #expect(throws: DyadError.self) { try Perplexity().measure([model], reference: other, tokens: [1, 2]) }
        for bad in [Float.nan, .infinity] {
            let broken = FakeModel(name: "broken", vocabularySize: 40) { _ in [Float](repeating: 1, count: 39) + [bad] }
            let refusal = #expect(throws: DyadError.self) {
                try Perplexity().measure([broken], tokens: [1, 2, 3])
            }
            #expect(refusal?.subject?.contains("broken") == true)
        }
    }
}
