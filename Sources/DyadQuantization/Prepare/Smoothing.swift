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

    /// Applies the scalings of a recipe to one block.
    static func smooth(
        _ block: inout BlockWeights, layer: Int, magnitudes: [SiteKey: Tensor], _ smoothing: Recipe.Smoothing,
        configuration: DecoderConfiguration
    ) throws(DyadError) {
        if smoothing.sites.contains(.norms) {
            if let norm = block.inputNorm, let magnitude = magnitudes[SiteKey(.attentionNormOutput, layer: layer)] {
                var readers = [\BlockWeights.qProj, \.kProj, \.vProj]
                if block.feedForwardNorm == nil { readers.append(\.upProj) }
                let gate = block.feedForwardNorm == nil ? block.gateProj : nil
                let scale = try migration(
                    magnitude, weights: readers.map { block[keyPath: $0].weight } + (gate.map { [$0.weight] } ?? []),
                    alpha: smoothing.alpha)
                for reader in readers {
                    block[keyPath: reader].weight = try scaled(block[keyPath: reader].weight, columns: scale)
                }
                if let gate { block.gateProj?.weight = try scaled(gate.weight, columns: scale) }
                block.inputNorm = try divided(norm, by: scale)
            }
            if let norm = block.feedForwardNorm,
                let magnitude = magnitudes[SiteKey(.feedForwardNormOutput, layer: layer)]
            {
                let gate = block.gateProj
                let scale = try migration(
                    magnitude, weights: [block.upProj.weight] + (gate.map { [$0.weight] } ?? []), alpha: smoothing.alpha
                )
                block.upProj.weight = try scaled(block.upProj.weight, columns: scale)
                if let gate { block.gateProj?.weight = try scaled(gate.weight, columns: scale) }
                block.feedForwardNorm = try divided(norm, by: scale)
            }
        }
        if smoothing.sites.contains(.upDown), block.gateProj != nil,
            let magnitude = magnitudes[SiteKey(.product, layer: layer)]
        {
            // Exact because act(gate)·up is linear in up.
            let scale = try migration(magnitude, weights: [block.downProj.weight], alpha: smoothing.alpha)
            try Transform.scale(outputsOf: &block.upProj, by: scale.reciprocal())
            block.downProj.weight = try scaled(block.downProj.weight, columns: scale)
        }
        if smoothing.sites.contains(.valueOutput), let magnitude = magnitudes[SiteKey(.vOutput, layer: layer)] {
            try smoothValues(&block, magnitude, smoothing.alpha, configuration)
        }
        if smoothing.sites.contains(.queryKey), !configuration.queryKeyNorm,
            let query = magnitudes[SiteKey(.qOutput, layer: layer)],
            let key = magnitudes[SiteKey(.kOutput, layer: layer)]
        {
            try balanceQueriesAndKeys(&block, query: query, key: key, configuration)
        }
    }

    private static func divided(
        _ norm: NormalizationWeights, by scale: Tensor
    ) throws(DyadError) -> NormalizationWeights {
        let gain = if let gain = norm.gain { gain } else { try Tensor.ones(scale.shape) }
        return NormalizationWeights(
            gain: try scaled(gain, rows: scale.reciprocal()),
            bias: try norm.bias.map { bias throws(DyadError) in try scaled(bias, rows: scale.reciprocal()) })
    }

    /// v→o: a channel of a key/value head feeds the same channel of every query head of its group, so they share s.
    private static func smoothValues(
        _ block: inout BlockWeights, _ magnitude: Tensor, _ alpha: Double, _ configuration: DecoderConfiguration
    ) throws(DyadError) {
        let (groups, size) = (configuration.keyValueHeadCount, configuration.headDimension)
        let share = configuration.headCount / groups
        let hidden = try block.oProj.weight.size(0)
        let columns = try block.oProj.weight.reshape([hidden, groups, share, size]).permute([0, 2, 1, 3])
        let scale = try migration(
            magnitude, weights: [columns.reshape([hidden * share, groups * size])], alpha: alpha)
        try Transform.scale(outputsOf: &block.vProj, by: scale.reciprocal())
        let perQuery = try scale.reshape([groups, 1, size]).expand([groups, share, size]).reshape([-1])
        block.oProj.weight = try scaled(block.oProj.weight, columns: perQuery)
    }

    /// q↔k: scores are unchanged when q is divided and k multiplied by s; rotary mixes channel i with i + rotated/2, so the
    /// two share s, and so do the query heads of a group. s = √(amax q / amax k).
    private static func balanceQueriesAndKeys(
        _ block: inout BlockWeights, query: Tensor, key: Tensor, _ configuration: DecoderConfiguration
    ) throws(DyadError) {
        let (groups, size) = (configuration.keyValueHeadCount, configuration.headDimension)
        let share = configuration.headCount / groups
        let rotated = configuration.rotaryDimension
        let queries = try query.to(.float64).reshape([groups, share, size]).amax([1])
        let ratio = try (queries.clamp(1e-5, nil) / key.to(.float64).reshape([groups, size]).clamp(1e-5, nil)).sqrt()
        let first = try ratio.narrow(1, start: 0, length: rotated / 2)
        let second = try ratio.narrow(1, start: rotated / 2, length: rotated / 2)
        let pair = try (first * second).sqrt()
        let rest = try ratio.narrow(1, start: rotated, length: size - rotated)
        let scale = try Tensor.cat([pair, pair, rest], dim: 1)
        let perQuery = try scale.unsqueeze(1).expand([groups, share, size]).reshape([-1])
        try Transform.scale(outputsOf: &block.qProj, by: perQuery.reciprocal())
        try Transform.scale(outputsOf: &block.kProj, by: scale.reshape([-1]))
    }
}
