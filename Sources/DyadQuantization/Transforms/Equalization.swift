import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer

/// Channel equalisation of the gated feed-forward part (cross-layer equalisation, Nagel et al. 2019, "Data-Free Quantization Through
/// Weight Equalization and Bias Correction", §4.1; MobileQuant, Tan et al. 2024, scales the same pair).
///
/// act(gate)·up is linear in up, so up's rows may be divided and down's columns multiplied by any s > 0. Per-tensor ranges are
/// made by the widest channels, and all others waste their levels. For each block s_c = P_c^a · U_c^b, with P_c and U_c the root mean
/// squares of the product's and of up's channels; the exponents are those of a grid that give the least error behind down_proj
/// with up, the product (or its online rotation) and the weight rounded on the calibration text. The grid holds (0, 0): no scaling.
///
/// The error of a position counts relative to the energy of the residual stream there, as in ``EffectObserver``.
/// Cost: a float pass over the text, and for every block and point of the grid a product of down_proj's size.
struct Equalization {
    /// With everything folded but this, and without an online rotation.
    let decoder: Decoder
    /// Of the linears' weights.
    let weightBits: (WeightKey) -> Int
    /// What the program will turn the product by.
    let online: OnlineRotation?
    let progress: ProgressReporter?

    private static let step = 0.25
    /// What a block's feed-forward part holds for the text, `[tokens, channels]`.
    private struct Sample {
        var activated: Tensor, up: Tensor, output: Tensor
        /// What a squared error at each position counts, `[tokens, 1]`.
        var share: Tensor
    }

    /// Scales every block of the decoder.
    func run(_ windows: [[Int32]]) throws {
        guard decoder.configuration.gated else { return }
        let float = try decoder.copy()
        float.attentionForm = .softmax
        var hidden = try windows.map { window in try withNoGrad { try float.embed([window]) } }
        for layer in decoder.weights.blocks.indices {
            let sample = try withNoGrad { try advance(float, layer, &hidden) }
            let scale = try withNoGrad { try best(layer, sample) }
            if let scale {
                try Transform.scale(outputsOf: &decoder.weights.blocks[layer].upProj, by: scale.reciprocal())
                let down = decoder.weights.blocks[layer].downProj.weight
                decoder.weights.blocks[layer].downProj.weight = try Transform.scaled(down, columns: scale)
            }
            progress?.update(phase: "equalize", completed: layer + 1, total: decoder.weights.blocks.count)
        }
    }

    private func advance(_ float: Decoder, _ layer: Int, _ hidden: inout [Tensor]) throws -> Sample {
        let sites: [SiteKey.Site] = [.activationOutput, .upOutput, .attentionResidual, .downOutput]
        let recorder = SiteRecorder(Set(sites))
        var parts: [SiteKey.Site: [Tensor]] = [:]
        for index in hidden.indices {
            hidden[index] = try float.blockForward(layer, hidden[index], visitor: recorder)
            for site in sites {
                if let value = recorder.values[site] { parts[site, default: []].append(try value.squeeze(0)) }
            }
        }
        func joined(_ site: SiteKey.Site) throws -> Tensor { try Tensor.cat(parts[site] ?? [], dim: 0) }
        let (stream, output) = (try joined(.attentionResidual), try joined(.downOutput))
        return Sample(
            activated: try joined(.activationOutput), up: try joined(.upOutput), output: output,
            share: try EffectObserver.positionWeights(stream: stream, output: output))
    }

    /// The factors of the grid's best point; nil for none.
    private func best(_ layer: Int, _ sample: Sample) throws -> Tensor? {
        let product = try sample.activated * sample.up
        let total = try sample.share.sum().item()
        let inProduct = try roots((product.square() * sample.share).sum([0]) / total)
        let inUp = try roots(sample.up.square().mean([0]))
        var (least, chosen) = (Double.infinity, Tensor?.none)
        for a in stride(from: 0, through: 1, by: Self.step) {
            for b in stride(from: 0, through: 1 - a, by: Self.step) {
                let logs = try inProduct.log() * a + inUp.log() * b
                let scale = try (logs - logs.mean()).exp()
                let error = try error(layer, sample, scale: scale.to(.float32))
                if error < least { (least, chosen) = (error, a + b > 0 ? scale : nil) }
            }
        }
        return chosen
    }

    /// Root mean squares in float64; channels that are hardly used count as a thousandth of the largest.
    private func roots(_ meanSquares: Tensor) throws -> Tensor {
        let values = try meanSquares.to(.float64).sqrt()
        return try values.clamp(max(try values.max().item() * 1e-3, 1e-30), nil)
    }

    /// The weighted squared error behind down_proj with everything that the factors touch rounded.
    private func error(_ layer: Int, _ sample: Sample, scale: Tensor) throws -> Double {
        let up = try sample.up / scale
        let upWeights = try sample.activated.square() * sample.share
        var product = try sample.activated * rounded(up, weights: upWeights)
        let key = WeightKey(.downWeight, layer: layer)
        var weight = try Transform.scaled(decoder.weights.blocks[layer].downProj.weight, columns: scale)
        if let online { (product, weight) = (try online.apply(product), try online.apply(weight)) }
        product = try rounded(product, weights: sample.share.expand(product.shape))
        let largest = Double(WeightQuantizer.largest(bits: weightBits(key)))
        let steps = try (weight.abs().amax([1], keepDim: true) / largest).clamp(1e-30, nil)
        let output = try product.linear((weight / steps).round() * steps)
        return try ((output - sample.output).square() * sample.share).sum(dtype: .float64).item()
    }

    /// On the 8-bit range with the least weighted squared error.
    private func rounded(_ x: Tensor, weights: Tensor) throws -> Tensor {
        var histogram = StreamingHistogram()
        let (low, high) = try x.extrema()
        histogram.widen(minimum: Float(low), maximum: Float(high))
        let limit = Double(histogram.limit)
        histogram.add(
            try x.histogram(weights: weights, bins: StreamingHistogram.binCount, from: -limit, to: limit)
                .toArray(Double.self))
        let encoding = RangeSearch.encoding(histogram, grid: .unsigned8, rule: .mse)
        return try x.fakeQuantized(encoding, .u8)
    }
}
