import DyadQuantization

extension SensitivityReport {
    /// Perplexity against the share of 16-bit activations, and where weights have 4 bits against their bytes, as SVG.
    public func figure(title: String) -> String {
        func name(_ curve: Curve) -> String { "ranked by " + curve.measure.rawValue }
        var charts: [LineChart] = []
        let activations = curves.filter { !$0.ofWeights }, weights = curves.filter(\.ofWeights)
        if !activations.isEmpty {
            charts.append(
                LineChart(
                    title: title, xLabel: "share of the 8-bit activations at 16 bit", yLabel: "perplexity (held-out)",
                    series: activations.map { curve in
                        LineChart.Series(name: name(curve), points: curve.points.map { ($0.share, $0.perplexity) })
                    }))
        }
        if !weights.isEmpty {
            charts.append(
                LineChart(
                    title: title, xLabel: "MB of integer weights", yLabel: "perplexity (held-out)",
                    series: weights.map { curve in
                        LineChart.Series(
                            name: name(curve),
                            points: curve.points.map { (Double($0.weightBytes) / 1e6, $0.perplexity) })
                    }))
        }
        return LineChart.document(charts)
    }

    /// The most sensitive tensors and the curves, for people.
    public var table: String {
        var lines = ["tensor                                       KL alone  relative error"]
        for tensor in tensors.prefix(20) {
            lines.append(
                tensor.tensor.padding(toLength: 44, withPad: " ", startingAt: 0)
                    + " \(text(tensor.divergence, 5))   \(text(tensor.relativeError, 4))")
        }
        lines.append("float perplexity \(text(floatPerplexity, 3)) on \(heldOutTokens) held-out tokens")
        for curve in curves {
            lines.append("\(curve.ofWeights ? "weights" : "activations") ranked by \(curve.measure.rawValue)")
            for point in curve.points {
                lines.append(
                    "  \(text(point.share * 100, 0)) % (\(point.count))  perplexity \(text(point.perplexity, 3))  "
                        + "KL \(text(point.divergence, 4))  predicted \(text(point.predictedDivergence, 4))")
            }
        }
        return lines.joined(separator: "\n")
    }
}
