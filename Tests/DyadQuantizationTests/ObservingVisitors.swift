import DyadCheckpoint
import DyadTensor
import DyadTransformer

@testable import DyadQuantization

/// Notes what another visitor makes of weights and activations.
final class RecordingVisitor: SiteVisitor {
    private let inner: LearningVisitor
    private(set) var weights: [WeightKey: Tensor] = [:]
    private(set) var values: [SiteKey: Tensor] = [:]

    init(inner: LearningVisitor) { self.inner = inner }

    func weight(_ key: WeightKey, _ w: Tensor) throws -> Tensor {
        let made = try inner.weight(key, w)
        weights[key] = made
        return made
    }

    func outputFactors(_ key: WeightKey) throws -> Tensor? { try inner.outputFactors(key) }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        let made = try inner.visit(key, x)
        values[key] = made
        return made
    }
}

/// Compares each activation with what was noted, and goes on with that, so that every operation reads the same integers.
final class ReplayingVisitor: SiteVisitor {
    private let inner: LearningVisitor
    private let noted: [SiteKey: Tensor]
    private(set) var compared: Set<SiteKey> = []
    private(set) var values = 0
    /// Values that fell to another integer, and the greatest distance of one of them from an edge, in steps.
    private(set) var moved = 0
    private(set) var farthest: Float = 0

    init(inner: LearningVisitor, values: [SiteKey: Tensor]) { (self.inner, noted) = (inner, values) }

    func weight(_ key: WeightKey, _ w: Tensor) throws -> Tensor { try inner.weight(key, w) }
    func outputFactors(_ key: WeightKey) throws -> Tensor? { try inner.outputFactors(key) }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        let made = try inner.visit(key, x)
        guard let encoding = try inner.encodings[key]?.encoding(), let then = noted[key] else { return made }
        let (new, old) = (try made.toArray(Float.self), try then.toArray(Float.self))
        for (index, value) in try x.toArray(Float.self).enumerated() {
            guard abs(new[index] - old[index]) > encoding.scale / 2 else { continue }
            moved += 1
            let step = value / encoding.scale
            farthest = max(farthest, abs(step - step.rounded(.down) - 0.5))
        }
        (compared, values) = (compared.union([key]), values + new.count)
        return then
    }
}
