import DyadGraph

/// The integer grid that a tensor must use.
enum Grid: Equatable, Sendable {
    /// u8, any zero point.
    case unsigned8
    /// u8 with zero point 128: keys and values in the cache.
    case centred8
    /// u16 with zero point 32768.
    case centred16

    var type: IntegerType { self == .centred16 ? .u16 : .u8 }
    var levels: Double { self == .centred16 ? 65535 : 255 }

    /// The encoding of the real range `[low, high]`, which is widened to contain 0.
    func encoding(low: Double, high: Double) -> Encoding {
        let low = min(low, 0), high = max(high, 0)
        // A tensor that is always zero still needs a positive step.
        let smallest = 1e-12
        switch self {
        case .unsigned8:
            let scale = Float(max((high - low) / 255, smallest))
            let zeroPoint = (-low / Double(scale)).rounded(.toNearestOrAwayFromZero)
            return Encoding(scale: scale, zeroPoint: Int32(min(max(zeroPoint, 0), 255)))
        case .centred8:
            return Encoding(scale: Float(max(high / 127, -low / 128, smallest)), zeroPoint: 128)
        case .centred16:
            return Encoding(scale: Float(max(high / 32767, -low / 32768, smallest)), zeroPoint: 32768)
        }
    }
}

/// Chooses static ranges from histograms.
enum RangeSearch {
    /// The encoding for a tensor with the observed values.
    ///
    /// 16-bit tensors always get min–max with headroom ×2: clipping a rare massive activation costs more than the bit.
    ///
    /// - Parameter function: what is applied to the values next, for `.effect`: the error counts behind it.
    static func encoding(
        _ histogram: StreamingHistogram, grid: Grid, rule: Recipe.Activations.Range,
        function: ((Double) -> Double)? = nil
    ) -> Encoding {
        guard !histogram.isEmpty else { return grid.encoding(low: 0, high: 0) }
        let (low, high) = (Double(histogram.minimum), Double(histogram.maximum))
        if grid == .centred16 { return grid.encoding(low: 2 * low, high: 2 * high) }
        switch rule {
        case .minmax: return grid.encoding(low: low, high: high)
        case .percentile: return grid.encoding(low: histogram.quantile(1e-4), high: histogram.quantile(1 - 1e-4))
        case .mse: return leastSquares(histogram, grid: grid, function: nil)
        case .effect: return leastSquares(histogram, grid: grid, function: function)
        case .sigma:
            let moments = histogram.moments
            // A Gaussian's kurtosis is 3; a SiLU's or a product's output has tails that carry most of the energy.
            guard moments.kurtosis < 4.5 else { return grid.encoding(low: low, high: high) }
            let reach = gaussianClip(bits: 8) * moments.variance.squareRoot()
            return grid.encoding(low: max(low, moments.mean - reach), high: min(high, moments.mean + reach))
        }
    }

    /// The clip in standard deviations that gives a Gaussian the least squared error, to 0.1 from 4 to 8 bits (2.4 at 4,
    /// 3.2 at 6, 3.9 at 8). The 3σ of the papers is right in between, and loses threefold at 8.
    static func gaussianClip(bits: Int) -> Double { 0.9 + 0.375 * Double(bits) }

    /// Minimises the squared error over the histogram: both ends shrink together first, then one at a time, to 0.5 %.
    private static func leastSquares(
        _ histogram: StreamingHistogram, grid: Grid, function: ((Double) -> Double)?
    ) -> Encoding {
        let bins = histogram.occupied
        let images = function.map { function in bins.map { function($0.value) } }
        let (low, high) = (min(Double(histogram.minimum), 0), max(Double(histogram.maximum), 0))
        var best = (error: Double.infinity, low: 1.0, high: 1.0)
        func attempt(_ lowShare: Double, _ highShare: Double) {
            let encoding = grid.encoding(low: low * lowShare, high: high * highShare)
            let error =
                if let function, let images {
                    squaredError(bins, images, encoding, levels: Int(grid.levels), function, limit: best.error)
                } else {
                    squaredError(bins, encoding, levels: grid.levels, limit: best.error)
                }
            if error < best.error { best = (error, lowShare, highShare) }
        }
        // Down to 1/40 of the range: a histogram with one far outlier needs a deep cut.
        for step in 0..<60 { attempt(pow(0.94, step), pow(0.94, step)) }
        if function != nil {
            // One side may not matter at all, as the left of a SiLU.
            for _ in 0..<2 {
                for step in 0..<60 { attempt(pow(0.94, step), best.high) }
                for step in 0..<60 { attempt(best.low, pow(0.94, step)) }
            }
        }
        for width in [0.2, 0.05, 0.01] {
            for _ in 0..<2 {
                let centre = best
                for step in -4...4 where step != 0 {
                    attempt(min(centre.low * (1 + width * Double(step) / 4), 1), centre.high)
                }
                let moved = best
                for step in -4...4 where step != 0 {
                    attempt(moved.low, min(moved.high * (1 + width * Double(step) / 4), 1))
                }
            }
        }
        return grid.encoding(low: low * best.low, high: high * best.high)
    }

    private static func pow(_ base: Double, _ exponent: Int) -> Double {
        (0..<exponent).reduce(1) { product, _ in product * base }
    }

    /// Σ count·(f(x) − f(x̂))², abandoned once above `limit`; `images` are f of the bins' values.
    private static func squaredError(
        _ bins: [(value: Double, count: Double)], _ images: [Double], _ encoding: Encoding, levels: Int,
        _ function: (Double) -> Double, limit: Double
    ) -> Double {
        let scale = Double(encoding.scale), zero = Double(encoding.zeroPoint)
        let table = (0...levels).map { function((Double($0) - zero) * scale) }
        var sum = 0.0
        for (index, bin) in bins.enumerated() {
            let q = min(max((bin.value / scale + 0.5).rounded(.down) + zero, 0), Double(levels))
            let error = images[index] - table[Int(q)]
            sum += bin.count * error * error
            if sum > limit { return sum }
        }
        return sum
    }

    /// Σ count·(x − x̂)², abandoned once above `limit`.
    static func squaredError(
        _ bins: [(value: Double, count: Double)], _ encoding: Encoding, levels: Double, limit: Double = .infinity
    ) -> Double {
        let scale = Double(encoding.scale), zero = Double(encoding.zeroPoint)
        let inverse = 1 / scale
        var sum = 0.0
        for (value, count) in bins {
            let q = min(max((value * inverse + 0.5).rounded(.down) + zero, 0), levels)
            let error = value - (q - zero) * scale
            sum += count * error * error
            if sum > limit { return sum }
        }
        return sum
    }
}
