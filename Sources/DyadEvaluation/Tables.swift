import DyadFormats
import Foundation

extension PerplexityResult {
    /// The result for people.
    public var table: String {
        var lines = [
            "model                \(model)",
            "perplexity           \(text(perplexity, 3))",
            "tokens               \(tokens) in \(windows) windows of \(context)",
        ]
        if let tempered {
            lines.append(
                "perplexity at best   \(text(tempered.perplexity, 3)), temperature \(text(tempered.temperature, 2))")
        }
        if let comparison {
            lines.append("reference            \(comparison.reference), perplexity \(text(comparison.perplexity, 3))")
            if let tempered = comparison.tempered {
                lines.append(
                    "reference at best    \(text(tempered.perplexity, 3)), temperature \(text(tempered.temperature, 2))"
                )
            }
            if let ratio {
                let error = ratioStandardError.map { " ± " + text($0, 4) } ?? ""
                lines.append("ratio                \(text(ratio, 4))\(error)")
            }
            lines.append("mean KL              \(text(comparison.meanKL, 4)) nats")
            lines.append("top-1 agreement      \(text(comparison.top1Agreement * 100, 2)) %")
        }
        return lines.joined(separator: "\n")
    }
}

extension TaskResult {
    /// The result for people, one line.
    public var table: String {
        func percent(_ share: Double, _ error: Double?) -> String {
            text(share * 100, 2) + (error.map { " ± " + text($0 * 100, 2) } ?? "") + " %"
        }
        var parts = ["accuracy " + percent(accuracy, standardError)]
        if let accuracyNorm { parts.append("per byte " + percent(accuracyNorm, accuracyNormStandardError)) }
        if let perplexity { parts.append("perplexity of the word \(text(perplexity, 3))") }
        parts.append("\(count) rows")
        return task.padding(toLength: max(21, task.count + 1), withPad: " ", startingAt: 0)
            + parts.joined(separator: ", ")
    }
}

/// A number with so many decimals.
package func text(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
