import DyadEvaluation

extension EvaluationJob.Result {
    /// The result for people.
    public var table: String {
        var lines = model.map { [$0.table] } ?? []
        if let prefixedReference, let ratio = ratioToLowerReference {
            lines.append(
                "with the prefix      reference perplexity \(text(prefixedReference.perplexity, 3)); KL and top-1 are to this"
            )
            lines.append("ratio to the lower   \(text(ratio, 4))")
        }
        if let conversations { lines.append(conversations.table) }
        if let answers { lines.append(answers.table) }
        return (lines + tasks.map(\.table)).joined(separator: "\n")
    }
}

extension QuantizationJob.Report {
    /// The report for people.
    public var table: String {
        let results = [float, folded] + (exposed.map { [$0] } ?? []) + [simulated, integer]
        let rows = results.map { result in
            let name = result.model.padding(toLength: 12, withPad: " ", startingAt: 0)
            guard let comparison = result.comparison else { return name + text(result.perplexity, 3) }
            return name
                + "\(text(result.perplexity, 3))   KL \(text(comparison.meanKL, 4))   top-1 \(text(comparison.top1Agreement * 100, 2)) %"
        }
        return (["\(output): \(bytes) bytes, \(text(seconds, 0)) s", "perplexity on held-out text:"] + rows)
            .joined(separator: "\n")
    }
}
