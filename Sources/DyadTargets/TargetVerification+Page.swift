import DyadEvaluation
import Foundation

extension TargetVerification {
    /// A page of its own (no script, no other file): the chained figures, then every layer, then every tensor.
    ///
    /// - Parameter program: the `.dyad` file's name.
    public func page(of program: String) -> String {
        let title = Self.escaped("\(program) in \(library.rawValue)")
        let packages = versions.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        var body = "<h1>\(title)</h1>\n<p>\(Self.escaped(packages)). Differences are steps (LSB) of the tensor.</p>\n"
        if let integer, let target {
            body += Self.table(
                ["", "integer graph", "exported, chained"],
                [
                    ["perplexity", Self.text(integer.perplexity, 3), Self.text(target.perplexity, 3)],
                    [
                        "argmax agreement", "",
                        target.comparison.map { Self.text($0.top1Agreement * 100, 2) + " %" } ?? "",
                    ],
                    ["mean KL, nats", "", target.comparison.map { Self.text($0.meanKL, 5) } ?? ""],
                    [
                        "windows × tokens", "\(integer.windows) × \(integer.context)",
                        "\(target.windows) × \(target.context)",
                    ],
                ])
        }
        if let greedy {
            body += Self.table(
                ["prompts", "tokens chosen", "the same", "texts the same"],
                [
                    [
                        "\(greedy.prompts)", "\(greedy.positions)", Self.text(greedy.agreement * 100, 2) + " %",
                        "\(greedy.identical)",
                    ]
                ])
        }
        if let headAgreement {
            body += "<p>The head's best token: the same in \(Self.text(headAgreement * 100, 2)) %.</p>\n"
        }
        if let exported {
            body += Self.table(
                ["files", "tokens in chunks", "single steps", "best token the same", "logits, dB"],
                [
                    [
                        exported.files.joined(separator: ", "), "\(exported.prefilled)", "\(exported.steps)",
                        "\(exported.equalBestTokens) of \(exported.positions)", Self.text(exported.signalToNoise, 1),
                    ]
                ])
        }
        body += "<h2>Layers, each given the integer graph's own tensors (8 bit)</h2>\n"
        body += Self.table(
            ["part", "tokens", "max", "mean", "within two, %", "worst SQNR, dB"]
                + Self.explained(layers.map(\.explanation)),
            layers.map { layer in
                [
                    layer.part, "\(layer.tokens)", Self.text(layer.maximumSteps, 0), Self.text(layer.meanSteps, 4),
                    Self.text(layer.withinTwoSteps * 100, 3), Self.text(layer.signalToNoise, 1),
                ] + Self.cells(layer.explanation)
            })
        body += "<h2>Tensors</h2>\n"
        body += Self.table(
            ["tensor", "tokens", "bits", "max", "mean", "within two, %", "SQNR, dB"]
                + Self.explained(rows.map(\.explanation)),
            rows.map { row in
                [
                    row.tensor, "\(row.tokens)", "\(row.bits)", Self.text(row.maximumSteps, 1),
                    Self.text(row.meanSteps, 4), Self.text(row.withinTwoSteps * 100, 3),
                    Self.text(row.signalToNoise, 1),
                ] + Self.cells(row.explanation)
            })
        return """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><title>\(title)</title>
            <style>
            body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
            table { border-collapse: collapse; } th, td { padding: .1rem .8rem; text-align: right; border-bottom: 1px solid #8884; }
            th:first-child, td:first-child { text-align: left; }
            </style></head><body>
            \(body)</body></html>

            """
    }

    /// The heads of the columns for where a difference comes from, if any row says so.
    private static func explained(_ explanations: [Explanation?]) -> [String] {
        explanations.contains { $0 != nil } ? ["the export by itself", "the target by itself", "without low bits"] : []
    }

    private static func cells(_ explanation: Explanation?) -> [String] {
        guard let explanation else { return [] }
        return [
            text(explanation.exportMeanSteps, 4), text(explanation.targetMeanSteps, 4),
            explanation.unexplainedMeanSteps.map { text($0, 4) } ?? "",
        ]
    }

    private static func table(_ header: [String], _ rows: [[String]]) -> String {
        func line(_ cells: [String], _ tag: String) -> String {
            "<tr>" + cells.map { "<\(tag)>\(escaped($0))</\(tag)>" }.joined() + "</tr>\n"
        }
        return "<table>\n" + line(header, "th") + rows.map { line($0, "td") }.joined() + "</table>\n"
    }

    private static func text(_ value: Double, _ digits: Int) -> String {
        value.isFinite ? String(format: "%.\(digits)f", value) : value > 0 ? "∞" : "–"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }
}
