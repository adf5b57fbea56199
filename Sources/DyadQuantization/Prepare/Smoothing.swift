import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer

/// Equivalent channel scaling: SmoothQuant (Xiao et al. 2023) on the norms, and MobileQuant's further pairs
/// (MobileQuant, Tan et al. 2024, §3): up→down, v→o also under grouped queries, q↔k tied per rotary pair.
extension Transform {
    /// Largest magnitudes per channel of the sites that smoothing balances.
    final class ChannelMagnitudes: SiteVisitor {
        private(set) var values: [SiteKey: Tensor] = [:]
        private static let wanted: Set<SiteKey.Site> = [
            .attentionNormOutput, .feedForwardNormOutput, .product, .vOutput, .qOutput, .kOutput,
        ]

        func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
            guard Self.wanted.contains(key.site) else { return x }
            let magnitude = try x.abs().amax([0, 1])
            values[key] = try values[key].map { try Tensor.maximum($0, magnitude) } ?? magnitude
            return x
        }
    }

    /// s = amax^α / wmax^(1−α), both at least 1e-5, so that dividing the producer by s balances activation and weight.
    private static func migration(
        _ magnitude: Tensor, weights: [Tensor], alpha: Double
    ) throws(DyadError) -> Tensor {
        var largest = try weights[0].abs().amax([0])
        for weight in weights.dropFirst() { largest = try Tensor.maximum(largest, weight.abs().amax([0])) }
        return try
            (magnitude.to(.float64).clamp(1e-5, nil).pow(alpha)
            / largest.to(.float64).clamp(1e-5, nil).pow(1 - alpha)).clamp(1e-5, nil)
    }

    /// Applies the scalings of a recipe to one layer.
    static func smooth(
        _ weights: inout DecoderWeights, layer: Int, magnitudes: [SiteKey: Tensor], _ smoothing: Recipe.Smoothing,
        configuration: DecoderConfiguration
    ) throws(DyadError) {
        func magnitude(_ site: SiteKey.Site) -> Tensor? { magnitudes[SiteKey(site, layer: layer)] }
        func fold(
            _ pair: Recipe.Smoothing.Site, isFeedForward: Bool = false, by factors: Tensor
        ) throws(DyadError) {
            let scaling = ChannelScaling(
                pair: pair, isFeedForward: isFeedForward, layer: layer, configuration: configuration, factors: factors)
            try weights.fold([scaling], layer: layer)
        }
        func matrices(_ wanted: [WeightKey.Weight]) -> [Tensor] {
            wanted.compactMap { weights[WeightKey($0, layer: layer)] }
        }
        let alpha = smoothing.alpha
        if smoothing.sites.contains(.norms) {
            try weights.giveGains(hiddenSize: configuration.hiddenSize)
            if weights.blocks[layer].inputNorm != nil, let magnitude = magnitude(.attentionNormOutput) {
                let shared: [WeightKey.Weight] = configuration.sharedNorm ? [.upWeight, .gateWeight] : []
                let readers = matrices([.qWeight, .kWeight, .vWeight] + shared)
                try fold(.norms, by: migration(magnitude, weights: readers, alpha: alpha))
            }
            if weights.blocks[layer].feedForwardNorm != nil, let magnitude = magnitude(.feedForwardNormOutput) {
                let scale = try migration(magnitude, weights: matrices([.upWeight, .gateWeight]), alpha: alpha)
                try fold(.norms, isFeedForward: true, by: scale)
            }
        }
        if smoothing.sites.contains(.upDown), configuration.gated, let magnitude = magnitude(.product) {
            try fold(.upDown, by: migration(magnitude, weights: matrices([.downWeight]), alpha: alpha))
        }
        let (groups, size) = (configuration.keyValueHeadCount, configuration.headDimension)
        let share = configuration.headCount / groups
        if smoothing.sites.contains(.valueOutput), let magnitude = magnitude(.vOutput) {
            // A channel of a key/value head feeds the same channel of every query head of its group.
            let output = weights.blocks[layer].oProj.weight
            let hidden = try output.size(0)
            let columns = try output.reshape([hidden, groups, share, size]).permute([0, 2, 1, 3])
            let scale = try migration(
                magnitude, weights: [columns.reshape([hidden * share, groups * size])], alpha: alpha)
            try fold(.valueOutput, by: scale.reshape([groups, size]))
        }
        if smoothing.sites.contains(.queryKey), !configuration.queryKeyNorm,
            let query = magnitude(.qOutput), let key = magnitude(.kOutput)
        {
            // Scores are unchanged when q is divided and k multiplied by s = amax(q)^(1−α) / amax(k)^α: with α = ½ both are balanced,
            // with α = 1 all channels of k have one range, which is right where q has bits to spare.
            let queries = try query.to(.float64).reshape([groups, share, size]).amax([1]).clamp(1e-5, nil)
            let keys = try key.to(.float64).reshape([groups, size]).clamp(1e-5, nil)
            let ratio = try queries.pow(1 - alpha) / keys.pow(alpha)
            let rotated = configuration.rotaryDimension
            let first = try ratio.narrow(1, start: 0, length: rotated / 2)
            let second = try ratio.narrow(1, start: rotated / 2, length: rotated / 2)
            let rest = try ratio.narrow(1, start: rotated, length: size - rotated)
            try fold(.queryKey, by: Tensor.cat([(first * second).sqrt(), rest], dim: 1))
        }
    }
}
