import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer

/// The quantised network as a function of its learnable parameters.
///
/// 16-bit tensors pass unchanged: their steps are finer than anything that is learnt here, and their ranges are measured
/// again afterwards.
final class LearningVisitor: SiteVisitor {
    /// By site; only 8-bit ones.
    let encodings: [SiteKey: LearnableEncoding]
    /// By weight.
    let weights: [WeightKey: LearnableWeight]
    private let exponentialType: IntegerType

    init(
        encodings: [SiteKey: LearnableEncoding], weights: [WeightKey: LearnableWeight], exponentialType: IntegerType
    ) {
        (self.encodings, self.weights, self.exponentialType) = (encodings, weights, exponentialType)
    }

    func weight(_ key: WeightKey, _ w: Tensor) throws -> Tensor {
        try weights[key]?.quantized() ?? w
    }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        if let encoding = encodings[key] { return try encoding.quantized(x) }
        let unit = Float(exponentialType.range.upperBound)
        switch key.site {
        case .exponentials: return try x.fakeQuantized(Encoding(scale: 1 / unit, zeroPoint: 0), exponentialType)
        case .prefixWeights: return try (x - x.detach()) + (x.detach() * unit + 0.5).floor() / unit
        case .probabilities: return try x.fakeQuantized(Encoding(scale: 1 / 65535, zeroPoint: 0), .u16)
        case .prefixKeys: return try roundedPrefix(x, SiteKey(.kRotated, layer: key.layer))
        case .prefixValues: return try roundedPrefix(x, SiteKey(.vOutput, layer: key.layer))
        default: return x
        }
    }

    /// The prefix is a constant: it is rounded with the cache's encoding and teaches it nothing.
    private func roundedPrefix(_ x: Tensor, _ cache: SiteKey) throws -> Tensor {
        guard let encoding = encodings[cache] else { return x }
        return try withNoGrad { try x.fakeQuantized(encoding.encoding(), .u8) }
    }
}
