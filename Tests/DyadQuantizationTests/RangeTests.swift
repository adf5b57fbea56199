import DyadCheckpoint
import DyadGraph
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

    /// research/quantnpu.md §1.5: for a Gaussian at 8 bit the best clip is about 3.9 σ; ours is asymmetric, so both ends.
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

    @Test func sixteenBitsGetHeadroomInsteadOfClipping() {
        var histogram = StreamingHistogram()
        histogram.add(values: [-4, 10])
        let encoding = RangeSearch.encoding(histogram, grid: .centred16, rule: .mse)
        #expect(abs(Double(encoding.scale) * 32767 - 20) < 1e-3)
        #expect(encoding.zeroPoint == 32768)
    }
}
