import DyadCheckpoint
import DyadTensor
import DyadTransformer

/// Weights values by what their error does, for `range: effect`.
///
/// The feed-forward product is f(gate)·up: an error of `up` counts f(gate)² times, one of f(gate) counts up² times, and an
/// error of the gate is that of f, whose left side is flat. These, and errors of what down_proj reads and puts out, count relative to the
/// residual stream at the token's position: a token on which a layer writes massive activations is one token, and a range that
/// holds them is lost for all others. A score is q·k: an error of a key's channel counts with the mean square of the queries'
/// channel, and the reverse. The factors are seen after the values that they weigh, so values wait here.
final class EffectObserver {
    private let configuration: DecoderConfiguration
    private var waiting: [SiteKey.Site: Tensor] = [:]

    init(_ configuration: DecoderConfiguration) { self.configuration = configuration }

    typealias Part = (key: SiteKey, values: Tensor, weights: Tensor?)

    /// What is applied to a tensor's values before they are multiplied.
    func function(behind key: SiteKey) -> ((Double) -> Double)? {
        guard key.site == .gateOutput else { return nil }
        return configuration.activation.value
    }

    /// The values to count now: none where they wait for their factors, several where those have come.
    func parts(_ key: SiteKey, _ x: Tensor) throws -> [Part] {
        let gated = configuration.gated
        switch key.site {
        case .gateOutput, .upOutput, .activationOutput, .product, .downInput:
            guard gated else { return [(key, x, nil)] }
            waiting[key.site] = x
            return []
        case .attentionResidual:
            waiting[key.site] = x
            return [(key, x, nil)]
        case .downOutput:
            guard gated else { return [(key, x, nil)] }
            let sites: [SiteKey.Site] = [.gateOutput, .upOutput, .activationOutput, .product, .downInput]
            let values = sites.compactMap { site in waiting.removeValue(forKey: site).map { (site, $0) } }
            let stream = waiting.removeValue(forKey: .attentionResidual)
            let share = try stream.map { try positionWeights(stream: $0, output: x) }
            let factors = Dictionary(uniqueKeysWithValues: values)
            return try values.map { site, values in
                // Without an online rotation the product is what down_proj reads.
                let factor: Tensor? =
                    switch site {
                    case .gateOutput, .activationOutput: factors[.upOutput]
                    case .upOutput: factors[.activationOutput]
                    default: nil
                    }
                let weights = try share.map { share in
                    try factor.map { try $0.square() * share } ?? share.expand(values.shape)
                }
                return (SiteKey(site, layer: key.layer), values, weights)
            } + [(key, x, try share?.expand(x.shape))]
        case .qOutput, .kOutput, .qRotated:
            // With norms between, the error of what the linears put out acts through them.
            if configuration.queryKeyNorm, key.site != .qRotated { return [(key, x, nil)] }
            waiting[key.site] = x
            return []
        case .kRotated:
            guard let queries = waiting.removeValue(forKey: .qRotated) else { return [(key, x, nil)] }
            let (byQuery, byKey) = try channelWeights(queries: queries, keys: x)
            var parts: [Part] = [
                (key, x, try byQuery.expand(x.shape)),
                (SiteKey(.qRotated, layer: key.layer), queries, try byKey.expand(queries.shape)),
            ]
            for (site, weights) in [(SiteKey.Site.qOutput, byKey), (.kOutput, byQuery)] {
                guard let values = waiting.removeValue(forKey: site) else { continue }
                parts.append((SiteKey(site, layer: key.layer), values, try pairMeans(weights).expand(values.shape)))
            }
            return parts
        default:
            return [(key, x, nil)]
        }
    }

    /// What an error of the product counts at each position, `[batch, tokens, 1]`: relative to the energy of the stream behind the
    /// addition, by which the next norm divides, and to what is added. Otherwise the few tokens on which a layer writes or cancels
    /// massive activations would be all that counts.
    private func positionWeights(stream: Tensor, output: Tensor) throws -> Tensor {
        let energy = try (stream + output).square().mean([-1], keepDim: true)
        return try (energy + output.square().mean([-1], keepDim: true) + 1e-12).reciprocal()
    }

    /// For each channel of the keys the mean square of the queries that it meets, and the reverse: `[heads · d]`.
    private func channelWeights(queries: Tensor, keys: Tensor) throws -> (byQuery: Tensor, byKey: Tensor) {
        let (size, groups) = (configuration.headDimension, configuration.keyValueHeadCount)
        let shared = configuration.headCount / groups
        let query = try queries.reshape([-1, groups, shared, size]).square().mean([0, 2])
        let key = try keys.reshape([-1, groups, size]).square().mean([0])
        return (
            try query.reshape([groups * size]),
            try key.unsqueeze(1).expand([groups, shared, size]).reshape([groups * shared * size])
        )
    }

    /// The mean of both channels of each rotary pair, between which an error wanders with the position.
    private func pairMeans(_ weights: Tensor) throws -> Tensor {
        let rotated = configuration.rotaryDimension
        let heads = try weights.reshape([-1, configuration.headDimension])
        let first = try heads.narrow(1, start: 0, length: rotated / 2)
        let mean = try (first + heads.narrow(1, start: rotated / 2, length: rotated / 2)) / 2
        let rest = try heads.narrow(1, start: rotated, length: configuration.headDimension - rotated)
        return try Tensor.cat([mean, mean, rest], dim: 1).reshape([-1])
    }
}
