import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer

/// The quantised network as a function of its learnable parameters: the float weights go through the transforms and the
/// quantisers, the activations through theirs.
///
/// 16-bit tensors pass unchanged: their steps are finer than anything that is learnt here, and their ranges are measured
/// again afterwards.
final class LearningVisitor: SiteVisitor {
    /// By site; only 8-bit ones.
    let encodings: [SiteKey: LearnableEncoding]
    /// By weight.
    let weights: [WeightKey: any LearnableWeight]
    /// Gains and biases.
    let vectors: [WeightKey: LearnableVector]
    /// Scalings and the rotations of values.
    let transforms: [any LearnableTransform]
    /// R1. The embedding and the head stay as they are; the stream is rotated where it begins, and turned back where it ends.
    let residual: LearnableRotation?
    /// In the order in which they are applied: R1 last.
    var allTransforms: [any LearnableTransform] { transforms + [residual].compactMap { $0 } }
    private let plan: NetworkPlan
    /// Whether the relative local errors are added up.
    var collectsLocalErrors = false
    private(set) var localErrors: [Tensor] = []

    init(
        _ plan: NetworkPlan, encodings: [SiteKey: LearnableEncoding], weights: [WeightKey: any LearnableWeight],
        vectors: [WeightKey: LearnableVector] = [:], transforms: [any LearnableTransform] = [],
        residual: LearnableRotation? = nil
    ) {
        (self.plan, self.encodings, self.weights) = (plan, encodings, weights)
        (self.vectors, self.transforms, self.residual) = (vectors, transforms, residual)
    }

    /// The largest max |RᵀR − I| of all learnt rotations; 0 without any.
    func orthogonalityError() throws -> Double {
        let rotations = allTransforms.compactMap { $0 as? LearnableRotation }
        return try rotations.map { try $0.orthogonalityError() }.max() ?? 0
    }

    /// All parameters in a fixed order (dictionaries have none).
    var parameters: [LearnableParameter] {
        var result: [LearnableParameter] = []
        for key in encodings.keys.sorted() { result += encodings[key]?.parameters ?? [] }
        for key in weights.keys.sorted(by: { $0.name < $1.name }) { result += weights[key]?.parameters ?? [] }
        for key in vectors.keys.sorted(by: { $0.name < $1.name }) {
            result += vectors[key].map { [$0.parameter] } ?? []
        }
        for transform in allTransforms { result += transform.parameters }
        return result
    }

    /// Forgets what belongs to one forward pass.
    func beginPass() {
        localErrors = []
        for case let rotation as LearnableRotation in allTransforms { rotation.forget() }
    }

    /// The float weight after the transforms.
    func transformed(_ key: WeightKey, _ w: Tensor) throws(DyadError) -> Tensor {
        var w = w
        for transform in allTransforms { w = try transform.apply(key, w) }
        return w
    }

    func weight(_ key: WeightKey, _ w: Tensor) throws -> Tensor {
        if residual != nil, key.weight == .embedding || key.weight == .headWeight { return w }
        if let vector = vectors[key] { return try vector.value(w) }
        let transformed = try transformed(key, w)
        return try weights[key]?.quantized(transformed) ?? transformed
    }

    func outputFactors(_ key: WeightKey) throws -> Tensor? { try weights[key]?.rowFactors() }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        if let encoding = encodings[key] {
            let rounded = try encoding.quantized(x)
            if collectsLocalErrors {
                // The term teaches the quantiser of this site, not the layers below.
                let fixed = try x.detach()
                let error = try (fixed - encoding.quantized(fixed)).square().sum()
                localErrors.append(try error / (fixed.square().sum() + 1e-12))
            }
            return rounded
        }
        switch plan.rounding(of: key) {
        case .observed, .exact: return try key.site == .embeddingOutput ? residual?.rotate(x) ?? x : x
        case .fixed(let encoding, let type): return try x.fakeQuantized(encoding, type)
        case .steps(let unit): return try (x - x.detach()) + (x.detach() * unit + 0.5).floor() / unit
        case .like(let other): return try prefix(x, key, other)
        }
    }

    /// The prefix is transformed like any key or value, and rounded with the cache's encoding, which it does not teach.
    private func prefix(_ x: Tensor, _ key: SiteKey, _ cache: SiteKey) throws -> Tensor {
        var x = x
        for transform in transforms { x = try transform.apply(prefix: key, x) }
        guard let encoding = encodings[cache] else { return x }
        return try (x - x.detach()) + withNoGrad { try x.detach().fakeQuantized(encoding.encoding(), .u8) }
    }
}
