import DyadFormats
import DyadRuntime
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite struct SamplerTests {
    /// Logits of the natural logarithms of `weights`.
    private func logits(_ weights: [Double]) -> [Int32] { weights.map { Int32((log($0) * 65536).rounded()) } }

    private func frequencies(_ options: SamplingOptions, _ weights: [Double], count: Int = 20000) throws -> [Double] {
        var sampler = try Sampler(options)
        let logits = logits(weights)
        var counts = [Double](repeating: 0, count: weights.count)
        for _ in 0..<count { counts[Int(sampler.next(logits, history: []))] += 1 }
        return counts.map { $0 / Double(count) }
    }

    @Test func greedyTakesTheLowestOfEqualIndices() throws {
        #expect(Sampler.greedy([3, 9, -4, 9]) == 1)
        #expect(Sampler.greedy([Int32.min, Int32.min]) == 0)
        var sampler = try Sampler(SamplingOptions())
        #expect(sampler.next([3, 9, -4, 9], history: []) == 1)
    }

    @Test func temperatureOneFollowsTheDistribution() throws {
        let found = try frequencies(SamplingOptions(temperature: 1, seed: 4), [0.5, 0.3, 0.15, 0.05])
        for (f, p) in zip(found, [0.5, 0.3, 0.15, 0.05]) { #expect(abs(f - p) < 0.015) }
    }

    @Test func temperatureTwoTakesSquareRoots() throws {
        let found = try frequencies(SamplingOptions(temperature: 2, seed: 4), [0.64, 0.04])
        #expect(abs(found[0] - 0.8) < 0.015)
    }

    @Test func topKKeepsTheMostLikely() throws {
        let found = try frequencies(SamplingOptions(temperature: 1, topK: 2, seed: 1), [0.1, 0.4, 0.2, 0.3])
        #expect(found[0] == 0 && found[2] == 0)
        #expect(abs(found[1] - 4.0 / 7) < 0.015)
    }

    @Test func topPKeepsTheSmallestSetThatReachesIt() throws {
        let found = try frequencies(SamplingOptions(temperature: 1, topP: 0.65, seed: 1), [0.1, 0.4, 0.2, 0.3])
        #expect(found[0] == 0 && found[2] == 0 && found[3] > 0)
        let single = try frequencies(SamplingOptions(temperature: 1, topP: 0.01, seed: 1), [0.1, 0.4, 0.2, 0.3])
        #expect(single[1] == 1)
    }

    @Test func minPDropsTheUnlikely() throws {
        let found = try frequencies(SamplingOptions(temperature: 1, minP: 0.6, seed: 1), [0.1, 0.4, 0.2, 0.3])
        #expect(found[0] == 0 && found[2] == 0 && found[3] > 0)
    }

    @Test func theRepetitionPenaltyLowersWhatWasThere() throws {
        var sampler = try Sampler(SamplingOptions(repetitionPenalty: 2))
        #expect(sampler.next([100, 90, -50], history: [0]) == 1)
        #expect(sampler.next([-100, -150, -180], history: [0]) == 1)
        #expect(sampler.next([100, 90, -50], history: [77, -3]) == 0)
    }

    @Test func equalSeedsChooseEqualTokens() throws {
        let weights = (1...50).map { 1 / Double($0) }
        func run(_ seed: UInt64) throws -> [Int32] {
            var sampler = try Sampler(SamplingOptions(temperature: 0.9, topP: 0.95, seed: seed))
            return (0..<30).map { _ in sampler.next(logits(weights), history: []) }
        }
        #expect(try run(7) == run(7))
        #expect(try run(7) != run(8))
    }

    @Test func extremeLogitsDoNotTrap() throws {
        for temperature in [0.001, 1, 1000] {
            var sampler = try Sampler(SamplingOptions(temperature: temperature, topK: 3, topP: 0.9, minP: 0.1, seed: 1))
            #expect((0..<3).contains(sampler.next([.min, .max, 0], history: [0, 1])))
        }
    }

    @Test func theGeneratorIsXoshiro() {
        // First outputs for the state that SplitMix64 makes of seed 0, computed with the authors' C code in Python.
        var random = RandomSource(seed: 0)
        #expect(random.next() == 11_091_344_671_253_066_420)
        #expect(random.next() == 13_793_997_310_169_335_082)
        #expect(random.next() == 1_900_383_378_846_508_768)
    }

    @Test func badOptionsAreRefused() {
        for options in [
            SamplingOptions(temperature: -1), .init(temperature: .nan), .init(topK: -1), .init(topP: 0),
            .init(topP: 1.1), .init(minP: 2), .init(repetitionPenalty: 0),
        ] {
            #expect(#expect(throws: DyadError.self) { try Sampler(options) }?.reason == .usage)
        }
    }
}
