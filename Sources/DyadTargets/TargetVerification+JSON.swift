import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph
import DyadRuntime
import Foundation

extension TargetVerification {
    /// For `--json`: `max_lsb` and `within_two_lsb` (the worst layer's 8-bit tensors, fed the integer graph's own),
    /// `outputs_within_one_coarse_lsb` (the worst layer's outputs, 16-bit ones in steps of 8 bits), `sqnr_db` (the worst),
    /// `head_argmax_agreement` (the head's best tokens, fed likewise), of
    /// the chained run `argmax_agreement`, `integer_perplexity`, `target_perplexity`, `mean_kl`; `greedy` behind prompts; `exported_run` of a folder's own files; `cpu_fallback`; `layers`, and `rows` for the tensors.
    public func json() -> JSONValue {
        let list = rows.map { row in
            JSONValue.object(
                JSONObject([
                    ("part", .string(row.part)), ("tensor", .string(row.tensor)), ("tokens", .integer(row.tokens)),
                    ("bits", .integer(row.bits)),
                    ("values", .integer(row.values)), ("max_lsb", .measured(row.maximumSteps)),
                    ("mean_lsb", .measured(row.meanSteps)), ("within_two_lsb", .measured(row.withinTwoSteps)),
                    ("is_output", .bool(row.isOutput)), ("within_one_coarse_lsb", .measured(row.withinOneCoarseStep)),
                    ("sqnr_db", .measured(row.signalToNoise)),
                    ("explanation", row.explanation?.json ?? .null),
                ]))
        }
        let parts = layers.map { layer in
            JSONValue.object(
                JSONObject([
                    ("part", .string(layer.part)), ("tokens", .integer(layer.tokens)),
                    ("max_lsb", .measured(layer.maximumSteps)), ("mean_lsb", .measured(layer.meanSteps)),
                    ("within_two_lsb", .measured(layer.withinTwoSteps)), ("sqnr_db", .measured(layer.signalToNoise)),
                    ("explanation", layer.explanation?.json ?? .null),
                ]))
        }
        var object = JSONObject([
            ("against", .string(library.rawValue)),
            (
                "versions",
                .object(JSONObject(versions.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
            ),
            // QNN's session is made with the fallback disabled: had one node needed it, there would be no result.
            ("cpu_fallback", library.target.isHTP ? .bool(false) : .null), ("max_lsb", .measured(maximumSteps)),
            ("within_two_lsb", .measured(withinTwoSteps)),
            ("outputs_within_one_coarse_lsb", .measured(outputsWithinOneCoarseStep)),
            ("sqnr_db", .measured(rows.map(\.signalToNoise).min() ?? .infinity)),
        ])
        if let headAgreement { object["head_argmax_agreement"] = .measured(headAgreement) }
        if let integer, let target {
            object["windows"] = .integer(target.windows)
            object["context"] = .integer(target.context)
            object["integer_perplexity"] = .measured(integer.perplexity)
            object["target_perplexity"] = .measured(target.perplexity)
            object["perplexity_ratio"] = .measured(target.perplexity / integer.perplexity)
            if let comparison = target.comparison {
                object["argmax_agreement"] = .measured(comparison.top1Agreement)
                object["mean_kl"] = .measured(comparison.meanKL)
            }
        }
        if let greedy { object["greedy"] = greedy.json }
        if let exported { object["exported_run"] = exported.json }
        object["layers"] = .array(parts)
        object["rows"] = .array(list)
        return .object(object)
    }
}
