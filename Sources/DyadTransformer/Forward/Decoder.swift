import DyadCheckpoint
import DyadFormats
import DyadTensor

/// The one decoder: every family is this forward pass with other switches of ``DecoderConfiguration``.
///
/// Activations are `[batch, tokens, width]`. Nothing here rounds anything: what quantises, observes or learns comes
/// from outside, as a ``SiteVisitor`` through which every tensor passes, or as replaced ``weights``.
///
/// Not for use from several threads at once (tables are kept between calls).
public final class Decoder {
    /// The switches. A transform that changes the form of the network (not only its weights) changes them too.
    public var configuration: DecoderConfiguration
    /// The weights; transforms replace them.
    public var weights: DecoderWeights
    /// How attention is divided.
    public var attentionForm = AttentionForm.softmax
    /// Keys and values in front of every sequence; tokens then start at position `prefix.count`.
    public var prefix: Prefix?
    /// The rotation of down_proj's input, computed at run time; nil for none.
    public var onlineRotation: OnlineRotation?
    /// The element type of weights and activations.
    public let dtype: DType
    /// Where it computes.
    public let device: Device

    var rotary: RotaryTable
    var masks = CausalMasks()

    /// Creates a decoder from weights, taking dtype and device from the embedding.
    ///
    /// Throws `.mismatch` naming the tensor when a shape is not the one that the configuration gives.
    public init(configuration: DecoderConfiguration, weights: DecoderWeights) throws(DyadError) {
        try Self.check(weights, against: configuration)
        self.configuration = configuration
        self.weights = weights
        dtype = weights.embedding.dtype
        device = weights.embedding.device
        rotary = RotaryTable(frequencies: configuration.inverseFrequencies(), dtype: dtype, device: device)
    }

    /// A decoder with the same switches, prefix and rotation, and the same tensors until one of the two replaces them.
    public func copy() throws(DyadError) -> Decoder {
        let copy = try Decoder(configuration: configuration, weights: weights)
        copy.attentionForm = attentionForm
        copy.prefix = prefix
        copy.onlineRotation = onlineRotation
        return copy
    }

    /// The logits of every token, `[batch, tokens, vocabulary]`.
    ///
    /// - Parameters:
    ///   - tokens: one sequence per row, all of one length.
    ///   - cache: keys and values of earlier tokens of these sequences; the new ones are appended.
    ///   - visitor: what sees (and may replace) every tensor and weight.
    ///
    /// Gradients are recorded unless the caller is inside `withNoGrad`. Throws for ids outside the vocabulary.
    public func forward(
        _ tokens: [[Int32]], cache: KeyValueCache? = nil, visitor: (any SiteVisitor)? = nil
    ) throws -> Tensor {
        try finalLogits(try hiddenStates(tokens, cache: cache, visitor: visitor), visitor: visitor)
    }

    /// All blocks without the head: `[batch, tokens, hidden]`.
    public func hiddenStates(
        _ tokens: [[Int32]], cache: KeyValueCache? = nil, visitor: (any SiteVisitor)? = nil
    ) throws -> Tensor {
        var hidden = try embed(tokens, visitor: visitor)
        for layer in 0..<configuration.layerCount {
            hidden = try blockForward(layer, hidden, cache: cache, visitor: visitor)
        }
        return hidden
    }

    /// Embeds tokens, `[batch, tokens, hidden]`. The site `embeddingOutput` is visited by block 0, as its input.
    public func embed(_ tokens: [[Int32]], visitor: (any SiteVisitor)? = nil) throws -> Tensor {
        let ids = try tensor(of: tokens)
        let table = try Pass(layer: nil, visitor: visitor).weight(.embedding, weights.embedding)
        let embedded = try table.embedding(ids)
        return configuration.embeddingScale == 1 ? embedded : try embedded * configuration.embeddingScale
    }

    /// The final norm and the head: `[batch, tokens, vocabulary]` from the output of the last block.
    public func finalLogits(_ hidden: Tensor, visitor: (any SiteVisitor)? = nil) throws -> Tensor {
        let pass = Pass(layer: nil, visitor: visitor)
        let x = try normalizedHidden(hidden, visitor: visitor)
        let head = outputHead
        return try head.finished(try pass.site(.logits, try pass.linear(x, head.linear, .headWeight, .headBias)))
    }

    /// The final norm alone: what the head reads, `[batch, tokens, hidden]`.
    public func normalizedHidden(_ hidden: Tensor, visitor: (any SiteVisitor)? = nil) throws -> Tensor {
        let pass = Pass(layer: nil, visitor: visitor)
        let residual = try pass.site(.finalResidual, hidden)
        let normed = try norm(residual, weights.finalNorm, .finalNormGain, .finalNormBias, pass)
        return try pass.site(.finalNormOutput, normed)
    }

    /// The configuration's norm, over the last axis.
    func norm(
        _ x: Tensor, _ w: NormalizationWeights, _ gain: WeightKey.Weight, _ bias: WeightKey.Weight, _ pass: Pass
    ) throws -> Tensor {
        let factor = try pass.optional(gain, w.gain)
        switch configuration.normKind {
        case .rms:
            return try x.rmsNorm(weight: factor, eps: configuration.normEpsilon)
        case .layer:
            return try x.layerNorm(
                weight: factor, bias: try pass.optional(bias, w.bias), eps: configuration.normEpsilon)
        }
    }

    /// Checks a batch and makes it int64 `[batch, tokens]`.
    private func tensor(of tokens: [[Int32]]) throws(DyadError) -> Tensor {
        let length = tokens.first?.count ?? 0
        guard length > 0, tokens.allSatisfy({ $0.count == length }) else {
            throw DyadError(
                .usage, subject: "tokens", found: "sequences of \(Set(tokens.map(\.count)).sorted()) tokens",
                expected: "at least one token, and one length for the whole batch",
                remedy: "Cut the text into windows of equal length.")
        }
        let flat = tokens.flatMap { $0.map(Int64.init) }
        if let stray = flat.first(where: { $0 < 0 || $0 >= configuration.vocabularySize }) {
            throw DyadError(
                .mismatch, subject: "tokens", found: "token id \(stray)",
                expected: "ids below the vocabulary's \(configuration.vocabularySize)",
                remedy: "Tokenise with the model's own tokenizer.")
        }
        return try Tensor(flat, shape: [tokens.count, length], device: device)
    }

    /// Compares the shape of every weight with the configuration's. Biases and gains may be absent or additional,
    /// since transforms fold the ones and create the others.
    private static func check(
        _ weights: DecoderWeights, against configuration: DecoderConfiguration
    ) throws(DyadError) {
        guard weights.blocks.count == configuration.layerCount else {
            throw DyadError(
                .mismatch, subject: "weights", found: "\(weights.blocks.count) blocks",
                expected: "\(configuration.layerCount)", remedy: "Give one set of weights per layer.")
        }
        for (name, shape) in configuration.tensorShapes() {
            guard let key = WeightKey(checkpointName: name), let tensor = weights[key] else { continue }
            guard tensor.shape == shape else {
                throw DyadError(
                    .mismatch, subject: name, found: "shape \(tensor.shape)", expected: "\(shape)",
                    remedy: "Check that configuration and weights belong to the same model.")
            }
        }
    }
}
