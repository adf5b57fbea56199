import DyadFormats
import DyadTransformer

/// Every tensor's sensitivity, and what promoting the most sensitive ones gives.
///
/// The curves are measured in float on text that neither calibrated nor ranked anything, with the promoted tensors exact and
/// nothing calibrated again; a program of a chosen budget comes from ``Recipe/allocation``.
public struct SensitivityReport: Sendable {
    /// One budget of a curve.
    public struct Point: Sendable {
        /// Promoted tensors.
        public var count: Int
        /// Their share of the candidates of their kind.
        public var share: Double
        /// Bytes of all integer weights.
        public var weightBytes: Int
        /// Estimated cycles of a token, relative to nothing promoted.
        public var latency: Double
        /// The KL divergence (nats) that the sum over the tensors not promoted predicts, on the text of the ranking.
        public var predictedDivergence: Double
        /// What is measured on the held-out text.
        public var divergence = 0.0
        /// Perplexity on the held-out text.
        public var perplexity = 0.0
    }

    /// Growing budgets, the tensors ranked by one measure.
    public struct Curve: Sendable {
        /// What ranked the tensors.
        public var measure: Allocation.Measure
        /// Whether weights are promoted, or activations.
        public var ofWeights: Bool
        /// From nothing to everything.
        public var points: [Point]
    }

    /// All candidates, the most sensitive first.
    public var tensors: [Sensitivity]
    /// One for activations and each measure, and where weights have 4 bits one for them.
    public var curves: [Curve]
    /// The float model's perplexity on the same text, prefix included.
    public var floatPerplexity: Double
    /// Tokens of the held-out text.
    public var heldOutTokens: Int

    /// As one document.
    public var json: JSONValue {
        func point(_ point: Point) -> JSONValue {
            .object(
                JSONObject([
                    ("count", .integer(point.count)), ("share", .measured(point.share)),
                    ("weight_bytes", .integer(point.weightBytes)), ("latency", .measured(point.latency)),
                    ("predicted_kl", .measured(point.predictedDivergence)), ("kl", .measured(point.divergence)),
                    ("perplexity", .measured(point.perplexity)),
                ]))
        }
        return .object(
            JSONObject([
                ("float_perplexity", .measured(floatPerplexity)), ("held_out_tokens", .integer(heldOutTokens)),
                (
                    "curves",
                    .array(
                        curves.map { curve in
                            .object(
                                JSONObject([
                                    ("measure", .string(curve.measure.rawValue)),
                                    ("promoted", .string(curve.ofWeights ? "weights" : "activations")),
                                    ("points", .array(curve.points.map(point))),
                                ]))
                        })
                ),
                ("tensors", .array(tensors.map(\.json))),
            ]))
    }
}

extension SensitivityAnalysis {
    private static let shares = [0, 0.05, 0.1, 0.2, 0.5, 1]

    /// Measures all tensors and the curves.
    func report(_ patterns: [String], heldOut: [[Int32]]) throws -> SensitivityReport {
        let tensors = try measure(patterns).sorted { ($0.divergence, $1.tensor) > ($1.divergence, $0.tensor) }
        let all = tensors.reduce(0) { $0 + $1.divergence }
        var curves: [SensitivityReport.Curve] = []
        var promoted: [[Set<String>]] = []
        for (ofWeights, measure) in [
            (false, Allocation.Measure.divergence), (false, .relativeError), (true, .divergence),
        ] {
            let candidates = tensors.filter { $0.isWeight == ofWeights }
            guard !candidates.isEmpty else { continue }
            var allocation = Allocation()
            allocation.measure = measure
            (allocation.sixteenBitShare, allocation.weightBytes) = (1, Int.max / 4)
            // Those that gain nothing come last.
            let ranked = allocation.chosen(from: candidates, bytes: 0, cycles: cycles)
            let order = ranked + candidates.filter { !ranked.contains($0) }
            var points: [SensitivityReport.Point] = []
            var sets: [Set<String>] = []
            for share in Self.shares {
                let chosen = order.prefix(Int((share * Double(order.count)).rounded(.down)))
                sets.append(Set(chosen.map(\.tensor)))
                points.append(
                    SensitivityReport.Point(
                        count: chosen.count, share: share,
                        weightBytes: weightBytes + chosen.reduce(0) { $0 + $1.bytes },
                        latency: 1 + Double(chosen.reduce(0) { $0 + $1.cycles }) / Double(max(cycles, 1)),
                        predictedDivergence: all - chosen.reduce(0) { $0 + $1.divergence }))
            }
            promoted.append(sets)
            curves.append(SensitivityReport.Curve(measure: measure, ofWeights: ofWeights, points: points))
        }
        // The curves meet where nothing or everything is promoted.
        var networks: [Set<String>] = []
        for sets in promoted { for set in sets where !networks.contains(set) { networks.append(set) } }
        let scores = try score(networks, windows: heldOut)
        for curve in curves.indices {
            for (point, set) in promoted[curve].enumerated() {
                guard let index = networks.firstIndex(of: set) else { continue }
                curves[curve].points[point].divergence = scores.networks[index].divergence
                curves[curve].points[point].perplexity = scores.networks[index].perplexity
            }
        }
        return SensitivityReport(
            tensors: tensors, curves: curves, floatPerplexity: scores.float,
            heldOutTokens: heldOut.reduce(0) { $0 + $1.count })
    }
}
