import DyadCheckpoint
import DyadGraph
import DyadTransformer

/// What is known of the integers of a network: the value that travels from calibration through learning to lowering.
///
/// Prefix and transforms are in the float decoder beside it, whose weights they are folded into.
struct QuantizedNetwork {
    var encodings: [SiteKey: Encoding] = [:]
    var types: [SiteKey: IntegerType] = [:]
    /// Integer weights by key (`.embedding` and `.headWeight` included).
    var weights: [WeightKey: QuantizedWeight] = [:]
    /// Learnt gains and biases, which stand in for the float decoder's.
    var vectors: [WeightKey: [Float]] = [:]

    /// What calibration after a learning stage leaves as it was learnt.
    func kept(after stage: Recipe.Learning, _ plan: NetworkPlan) -> QuantizedNetwork {
        var kept = QuantizedNetwork()
        if stage.rates[.activations] > 0 {
            for (key, encoding) in encodings where types[key] == .u8 {
                guard stage.activations == .all || !plan.topology.readers(of: key.site).isEmpty else { continue }
                (kept.encodings[key], kept.types[key]) = (encoding, .u8)
            }
        }
        if stage.rates[.clipping] > 0 || stage.rates[.rounding] > 0 {
            kept.weights = weights.filter { $0.key.layer != nil }
        }
        return kept
    }
}
