import DyadCheckpoint
import DyadGraph
import DyadTensor
import DyadTransformer
import Testing

@testable import DyadQuantization

/// Approximately normal values, the same on every run.
private func gaussian(_ count: Int) -> [Float] {
    var state: UInt64 = 1
    return (0..<count).map { _ in
        var sum: Float = 0
        for _ in 0..<12 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            sum += Float(state >> 40) / Float(1 << 24)
        }
        return sum - 6
    }
}

@Suite struct RangeTests {
    @Test func wideningKeepsEveryCountAndTheExtremes() {
        var histogram = StreamingHistogram()
        histogram.add(values: [0.0001, -0.0002])
        histogram.add(values: [5, -3])
        histogram.add(values: [700])
        #expect(histogram.counts.reduce(0, +) == 5)
        #expect(histogram.minimum == -3 && histogram.maximum == 700)
        #expect(histogram.limit == 1024)
        #expect(abs(histogram.quantile(0.5)) < histogram.binWidth)
    }

    @Test func zeroIsAlwaysOnTheGrid() {
        for grid in [Grid.unsigned8, .centred8, .centred16] {
            for (low, high) in [(1.0, 2.0), (-5, -1), (-0.3, 7), (0, 0)] {
                let encoding = grid.encoding(low: low, high: high)
                #expect(grid.type.range.contains(Int64(encoding.zeroPoint)))
                #expect(encoding.scale > 0)
            }
        }
    }

    @Test func minMaxCoversTheWholeRangeToHalfAStep() {
        let encoding = Grid.unsigned8.encoding(low: -1, high: 3)
        let lowest = Double(encoding.scale) * Double(0 - encoding.zeroPoint)
        let highest = Double(encoding.scale) * Double(255 - encoding.zeroPoint)
        #expect(abs(lowest + 1) <= Double(encoding.scale) / 2 + 1e-6)
        #expect(abs(highest - 3) <= Double(encoding.scale) / 2 + 1e-6)
    }

    @Test func theClipByStandardDeviationIsNearTheSearchForAGaussianAndTheWholeRangeElsewhere() {
        var histogram = StreamingHistogram()
        histogram.add(values: gaussian(400_000))
        let moments = histogram.moments
        #expect(abs(moments.mean) < 0.01 && abs(moments.variance - 1) < 0.02 && abs(moments.kurtosis - 2.9) < 0.2)
        let bins = histogram.occupied
        func error(_ rule: Recipe.Activations.Range) -> Double {
            let encoding = RangeSearch.encoding(histogram, grid: .unsigned8, rule: rule)
            return RangeSearch.squaredError(bins, encoding, levels: 255)
        }
        #expect(error(.sigma) < 1.1 * error(.mse))
        // Three standard deviations lose several times that at 8 bit.
        let three = RangeSearch.squaredError(bins, Grid.unsigned8.encoding(low: -3, high: 3), levels: 255)
        #expect(three > 2.5 * error(.sigma))

        var heavy = StreamingHistogram()
        heavy.add(values: gaussian(10_000).map { $0 * $0 * $0 })
        #expect(
            RangeSearch.encoding(heavy, grid: .unsigned8, rule: .sigma)
                == RangeSearch.encoding(heavy, grid: .unsigned8, rule: .minmax))
    }

    /// Initialisation by bit width (Quant.npu): for a Gaussian at 8 bit the best clip is about 3.9 σ; ours is asymmetric, so both ends.
    @Test func theSquaredErrorSearchFindsTheKnownClipOfAGaussian() {
        var histogram = StreamingHistogram()
        // Ten times, so that the two outliers do not weigh against the rest.
        let values = gaussian(400_000)
        for _ in 0..<10 { histogram.add(values: values) }
        histogram.add(values: [12, -12])
        let encoding = RangeSearch.encoding(histogram, grid: .unsigned8, rule: .mse)
        let width = Double(encoding.scale) * 255
        #expect(width > 2 * 3.3 && width < 2 * 4.5)
        let full = RangeSearch.encoding(histogram, grid: .unsigned8, rule: .minmax)
        let bins = histogram.occupied
        #expect(
            RangeSearch.squaredError(bins, encoding, levels: 255)
                < 0.3 * RangeSearch.squaredError(bins, full, levels: 255))
    }

    /// What lies left of −8 is 0 behind a SiLU, however many values there are.
    @Test func theErrorBehindAFunctionCutsWhatTheFunctionIgnores() {
        var histogram = StreamingHistogram()
        histogram.add(values: gaussian(100_000).map { 8 * $0 - 4 })
        func range(_ rule: Recipe.Activations.Range) -> (low: Double, high: Double) {
            let encoding = RangeSearch.encoding(
                histogram, grid: .unsigned8, rule: rule, function: ActivationFunction.silu.value)
            let scale = Double(encoding.scale), zero = Double(encoding.zeroPoint)
            return (-zero * scale, (255 - zero) * scale)
        }
        let (plain, effect) = (range(.mse), range(.effect))
        #expect(plain.low < -20 && effect.low > -10 && effect.low < -2)
        #expect(effect.high > 0.9 * plain.high)
    }

    /// Ranges by effect lose less of the feed-forward product and of the scores than those by each tensor's own error.
    @Test(.needsTorch) func rangesByEffectLoseLessOfWhatTheyAreMultipliedInto() throws {
        final class Recorder: SiteVisitor {
            var encodings: [SiteKey: Encoding] = [:]
            var values: [SiteKey: Tensor] = [:]
            func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
                let rounded = try encodings[key].map { try x.fakeQuantized($0, .u8) } ?? x
                values[key] = rounded
                return rounded
            }
        }
        let decoder = try tinyDecoder()
        for layer in decoder.weights.blocks.indices {
            // Wide gates, and queries that hardly look at one channel of the keys, which is large.
            let gate = WeightKey(.gateWeight, layer: layer)
            decoder.weights[gate] = try decoder.weights[gate].map { try $0 * 6 }
            var factors = [Float](repeating: 1, count: 8)
            (factors[3], factors[7]) = (6, 6)
            for (key, heads, invert) in [(WeightKey.Weight.qWeight, 6, true), (.kWeight, 2, false)] {
                let all = (0..<heads).flatMap { _ in factors.map { invert ? 1 / ($0 * $0) : $0 } }
                let weight = WeightKey(key, layer: layer)
                decoder.weights[weight] = try decoder.weights[weight].map { try $0 * Tensor(all).unsqueeze(1) }
            }
        }
        let text = try tinyText(decoder)
        func errors(_ rule: Recipe.Activations.Range) throws -> (product: Double, scores: Double) {
            var recipe = Recipe(name: "ranges", summary: "")
            recipe.activations.range = rule
            let result = try Calibrator(
                decoder: try decoder.copy(), plan: NetworkPlan(recipe, decoder.configuration, exponentialType: .u8),
                windows: text.calibration, progress: nil
            ).run()
            func run(_ sites: Set<SiteKey.Site>) throws -> [SiteKey: Tensor] {
                let recorder = Recorder()
                recorder.encodings = result.encodings.filter { $0.key.layer == 0 && sites.contains($0.key.site) }
                _ = try withNoGrad { try decoder.hiddenStates(text.calibration, visitor: recorder) }
                return recorder.values
            }
            let exact = try run([])
            func error(_ site: SiteKey.Site, _ sites: Set<SiteKey.Site>) throws -> Double {
                let key = SiteKey(site, layer: 0)
                let (found, expected) = (try #require(try run(sites)[key]), try #require(exact[key]))
                return try (found - expected).square().sum(dtype: .float64).item()
            }
            return (
                try error(.product, [.gateOutput, .upOutput, .activationOutput]),
                try error(.scores, [.kRotated, .qRotated])
            )
        }
        let (plain, effect) = (try errors(.mse), try errors(.effect))
        #expect(effect.product < 0.9 * plain.product)
        #expect(effect.scores < plain.scores)
    }

    /// One token on which a layer writes massive activations does not make the range of what down_proj reads.
    @Test(.needsTorch) func aTokenWithMassiveActivationsCountsAsOneToken() throws {
        let decoder = try tinyDecoder()
        let observer = EffectObserver(decoder.configuration)
        let (tokens, width, hidden) = (512, 96, 48)
        func tensor(_ width: Int, massive: Float) throws -> Tensor {
            var values: [Float] = gaussian(tokens * width)
            for channel in 0..<width { values[channel] *= massive }
            return try Tensor(values, shape: [1, tokens, width])
        }
        func range(_ parts: [EffectObserver.Part]) throws -> Double {
            let part = try #require(parts.first { $0.key.site == .downInput })
            var histogram = StreamingHistogram()
            let (low, high) = try part.values.extrema()
            histogram.widen(minimum: Float(low), maximum: Float(high))
            let (bins, limit) = (StreamingHistogram.binCount, Double(histogram.limit))
            let weights = try part.weights ?? part.values.onesLike()
            histogram.add(
                try part.values.histogram(weights: weights, bins: bins, from: -limit, to: limit).toArray(Double.self))
            return Double(RangeSearch.encoding(histogram, grid: .unsigned8, rule: .effect).scale) * 255
        }
        func parts(stream: Tensor?) throws -> [EffectObserver.Part] {
            let sites: [SiteKey.Site] = [.gateOutput, .upOutput, .activationOutput, .product]
            for site in sites {
                #expect(try observer.parts(SiteKey(site, layer: 0), tensor(width, massive: 1)).isEmpty)
            }
            if let stream { _ = try observer.parts(SiteKey(.attentionResidual, layer: 0), stream) }
            #expect(try observer.parts(SiteKey(.downInput, layer: 0), tensor(width, massive: 100)).isEmpty)
            let parts = try observer.parts(SiteKey(.downOutput, layer: 0), tensor(hidden, massive: 1000))
            // Nothing that waited is lost.
            #expect(Set(parts.map(\.key.site)) == Set(sites + [.downInput, .downOutput]))
            return parts
        }
        let relative = try range(parts(stream: tensor(hidden, massive: 1)))
        // Parallel residuals have no such stream: all tokens count alike.
        let absolute = try range(parts(stream: nil))
        #expect(relative < 20 && absolute > 40)
    }

    @Test func sixteenBitsGetHeadroomInsteadOfClipping() {
        var histogram = StreamingHistogram()
        histogram.add(values: [-4, 10])
        let encoding = RangeSearch.encoding(histogram, grid: .centred16, rule: .mse)
        #expect(abs(Double(encoding.scale) * 32767 - 20) < 1e-3)
        #expect(encoding.zeroPoint == 32768)
    }
}
