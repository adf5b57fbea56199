import DyadCheckpoint
import DyadTensor

/// Sees every activation and every weight of a forward pass, and may replace it.
///
/// What a method returns is what the rest of the network computes with, and gradients flow through it. So an observer
/// returns its argument, a quantiser the rounded tensor, a learnable transform the transformed one; the forward pass
/// itself knows of none of them.
public protocol SiteVisitor {
    /// The activation at `key`, with the shape that ``SiteKey/Site`` gives.
    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor
    /// The weight `key`, before it is used. A tied head is asked for as `headWeight`, with the embedding's tensor.
    func weight(_ key: WeightKey, _ w: Tensor) throws -> Tensor
    /// What multiplies the outputs of the linear with weight `key` before its bias is added, `[out]`; nil for nothing.
    func outputFactors(_ key: WeightKey) throws -> Tensor?
}

extension SiteVisitor {
    /// Leaves the activation as it is.
    public func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor { x }
    /// Leaves the weight as it is.
    public func weight(_ key: WeightKey, _ w: Tensor) throws -> Tensor { w }
    /// Nothing.
    public func outputFactors(_ key: WeightKey) throws -> Tensor? { nil }
}

/// One part of a forward pass: its layer, and the visitor, if any.
struct Pass {
    let layer: Int?
    let visitor: (any SiteVisitor)?

    /// The activation as the rest of the network sees it.
    func site(_ site: SiteKey.Site, _ x: Tensor) throws -> Tensor {
        guard let visitor else { return x }
        return try visitor.visit(SiteKey(site, layer: layer), x)
    }

    /// The weight as the network uses it.
    func weight(_ weight: WeightKey.Weight, _ w: Tensor) throws -> Tensor {
        guard let visitor else { return w }
        return try visitor.weight(WeightKey(weight, layer: layer), w)
    }

    /// The same of a weight that may be absent.
    func optional(_ weight: WeightKey.Weight, _ w: Tensor?) throws -> Tensor? {
        guard let w else { return nil }
        return try self.weight(weight, w)
    }

    /// x·Wᵀ + b, or f·(x·Wᵀ) + b with a visitor's factors.
    func linear(
        _ x: Tensor, _ w: LinearWeights, _ weight: WeightKey.Weight, _ bias: WeightKey.Weight
    ) throws -> Tensor {
        let (matrix, vector) = (try self.weight(weight, w.weight), try optional(bias, w.bias))
        guard let factors = try visitor?.outputFactors(WeightKey(weight, layer: layer)) else {
            return try x.linear(matrix, bias: vector)
        }
        let scaled = try x.linear(matrix) * factors
        return try vector.map { try scaled + $0 } ?? scaled
    }
}
