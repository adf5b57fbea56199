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

extension ConversationResult {
    /// The result for people.
    public var table: String {
        var lines = ["conversations        \(count), \(tokens) tokens of answers, perplexity \(text(perplexity, 3))"]
        if let comparison {
            let error = comparison.klStandardError.map { " ± " + text($0, 4) } ?? ""
            lines.append("  reference          \(comparison.reference), perplexity \(text(comparison.perplexity, 3))")
            lines.append("  mean KL            \(text(comparison.meanKL, 4))\(error) nats")
            lines.append("  top-1 agreement    \(text(comparison.top1Agreement * 100, 2)) %")
        }
        return lines.joined(separator: "\n")
    }
}

extension AnswerAgreement {
    /// The result for people.
    public var table: String {
        var lines = [
            "answers              \(count) greedy ones of up to \(maximumTokens) tokens, \(equal) as the reference's to the end",
            "  first token        as the reference's in \(text(firstTokenAgreement * 100, 2)) %",
        ]
        for margin in margins where margin.count > 0 {
            let range = text(margin.least, 1) + (margin.most.map { " to " + text($0, 1) } ?? " or more")
            lines.append("    margin           \(range) nats: \(margin.equal) of \(margin.count)")
        }
        lines.append("  tokens in common   \(text(meanCommonTokens, 1)) from the first on, in the mean")
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
