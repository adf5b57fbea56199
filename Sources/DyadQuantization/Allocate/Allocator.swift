import DyadFormats
import DyadTransformer

/// Chooses what a recipe's allocation gives more bits: measures every tensor, and takes the best under the limits.
struct Allocator {
    let allocation: Allocation
    let plan: NetworkPlan
    let text: CalibrationText
    let log: RunDirectory?
    let progress: ProgressReporter?

    /// The names of the tensors to promote.
    func run(_ folded: Decoder, _ network: QuantizedNetwork) throws -> [String] {
        let analysis = try SensitivityAnalysis(
            plan, folded: folded, result: network, windows: SensitivityAnalysis.windows(of: text), progress: progress)
        func unusable(_ key: String, _ found: String, _ expected: String, _ remedy: String) -> DyadError {
            DyadError(
                .mismatch, file: "recipe \(plan.recipe.name)", subject: "allocation.\(key)", found: found,
                expected: expected,
                remedy: remedy)
        }
        if let limit = allocation.weightBytes, limit < analysis.weightBytes {
            throw unusable(
                "weight-bytes", "\(limit)",
                "at least \(analysis.weightBytes), what the weights take with nothing promoted",
                "Give a larger --max-bytes, or a recipe with narrower weights.")
        }
        let measured = try analysis.measure(allocation.candidates)
        guard !measured.isEmpty else {
            throw unusable(
                "candidates", "no tensor that these patterns name and that could get more bits",
                "names as `dyad sensitivity` prints them", "Correct the patterns, or leave them out for all tensors.")
        }
        for sensitivity in measured { log?.log(sensitivity.json) }
        let choices = (allocation.measure.map { [$0] } ?? Allocation.Measure.allCases).map { measure in
            var ranked = allocation
            ranked.measure = measure
            return ranked.chosen(from: measured, bytes: analysis.weightBytes, cycles: analysis.cycles).map(\.tensor)
        }
        return try better(of: choices, analysis)
    }

    /// Windows of the text on which choices are tried.
    private static let trialWindows = 16

    /// The choice with which the rounded network, nothing calibrated again, predicts the text best; the first of equal ones.
    private func better(
        of choices: [[String]], _ analysis: SensitivityAnalysis
    ) throws -> [String] {
        let sets = choices.map(Set.init)
        guard Set(sets).count > 1 else { return choices[0] }
        let stride = max(1, text.training.count / Self.trialWindows)
        let windows = (0..<min(Self.trialWindows, text.training.count)).map { text.training[$0 * stride] }
        let scores = try analysis.score(sets, windows: windows).networks
        for (measure, score) in zip(Allocation.Measure.allCases, scores) {
            log?.log([
                "ranked_by": .string(measure.rawValue), "trial_perplexity": .measured(score.perplexity),
                "trial_kl": .measured(score.divergence),
            ])
        }
        let best = scores.indices.min { scores[$0].perplexity < scores[$1].perplexity } ?? 0
        return choices[best]
    }
}
