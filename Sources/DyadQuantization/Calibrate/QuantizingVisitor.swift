import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer

/// Observes sites, or rounds them to their grids, in the float forward pass.
///
/// Weights are not its business: the calibrator replaces them in the decoder.
final class QuantizingVisitor: SiteVisitor {
    /// What to do with a site that needs a range.
    enum Mode { case observe, quantize }

    var mode = Mode.observe
    private(set) var histograms: [SiteKey: StreamingHistogram] = [:]
    private(set) var encodings: [SiteKey: Encoding] = [:]
    private(set) var types: [SiteKey: IntegerType] = [:]
    /// Sites whose inputs' second moments are summed (for GPTQ), and the sums, float64 `[channels, channels]`.
    var momentSites: Set<SiteKey.Site> = []
    private(set) var moments: [SiteKey: Tensor] = [:]

    /// For `range: effect`: observes gate, up, activation, queries and keys where they are multiplied.
    var effects: EffectObserver?

    /// Sites that stay exact, as if they had a wider type.
    var exempt: Set<SiteKey> = []

    private let plan: NetworkPlan

    /// Sites whose encodings are given.
    private let fixed: Set<SiteKey>

    init(_ plan: NetworkPlan, fixed: QuantizedNetwork? = nil) {
        self.plan = plan
        (encodings, types) = (fixed?.encodings ?? [:], fixed?.types ?? [:])
        self.fixed = Set(encodings.keys)
    }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        switch plan.rounding(of: key) {
        case .observed(let grid):
            guard mode == .quantize, let encoding = encodings[key] else {
                try observe(key, x)
                return x
            }
            if exempt.contains(key) { return x }
            let rounded = try x.fakeQuantized(encoding, grid.type)
            if momentSites.contains(key.site) { try addMoments(key, rounded) }
            return rounded
        case .fixed(let encoding, let type): return try mode == .quantize ? x.fakeQuantized(encoding, type) : x
        case .steps(let unit): return try mode == .quantize ? (x * unit + 0.5).floor() / unit : x
        case .like(let other): return try mode == .quantize ? rounded(x, like: other) : x
        case .exact: return x
        }
    }

    /// Fixes the encodings of everything observed since the last call.
    func fixRanges(rule: Recipe.Activations.Range) {
        for (key, histogram) in histograms {
            guard let grid = plan.grid(key) else { continue }
            encodings[key] = RangeSearch.encoding(
                histogram, grid: grid, rule: rule, function: effects?.function(behind: key))
            types[key] = grid.type
        }
        histograms = [:]
    }

    func forgetMoments() { moments = [:] }

    private func rounded(_ x: Tensor, like key: SiteKey) throws -> Tensor {
        guard let encoding = encodings[key] else { return x }
        return try x.fakeQuantized(encoding, .u8)
    }

    private func observe(_ key: SiteKey, _ x: Tensor) throws {
        let (low, high) = try x.extrema()
        guard low.isFinite, high.isFinite else {
            throw DyadError(
                .failed, subject: key.name, found: "a value that is not finite", expected: "finite activations",
                remedy: "Check the checkpoint with `dyad evaluate MODEL --mode float`.")
        }
        for part in try effects?.parts(key, x) ?? [(key, x, nil)] where !fixed.contains(part.key) {
            try count(part.key, part.values, weights: part.weights)
        }
    }

    private func count(_ key: SiteKey, _ x: Tensor, weights: Tensor?) throws {
        var histogram = histograms.removeValue(forKey: key) ?? StreamingHistogram()
        let (low, high) = try x.extrema()
        histogram.widen(minimum: Float(low), maximum: Float(high))
        let (bins, limit) = (StreamingHistogram.binCount, Double(histogram.limit))
        let counts =
            if let weights {
                try x.histogram(weights: weights, bins: bins, from: -limit, to: limit)
            } else {
                try x.histogram(bins: bins, from: -limit, to: limit).to(.float64)
            }
        histogram.add(try counts.toArray(Double.self))
        histograms[key] = histogram
    }

    private func addMoments(_ key: SiteKey, _ x: Tensor) throws {
        let rows = try x.detach().reshape([-1, x.size(-1)])
        let product = try rows.transpose().matmul(rows).to(.float64)
        if let sum = moments[key] { try sum.addInPlace(product) } else { moments[key] = product }
    }
}

extension Tensor {
    /// Quantised and dequantised on an encoding.
    func fakeQuantized(_ encoding: Encoding, _ type: IntegerType) throws(DyadError) -> Tensor {
        try fakeQuantize(
            scale: Tensor(scalar: encoding.scale), zeroPoint: Tensor(scalar: Float(encoding.zeroPoint)),
            range: Int(type.range.lowerBound)...Int(type.range.upperBound))
    }
}
