import DyadFormats
import DyadTensor
import DyadTransformer

/// How strongly the network's prediction depends on each linear's output: the second moments H_O = E[g·gᵀ] of the gradient
/// g of the log-likelihood at that output (the Kronecker factor of the Fisher information on the output's side; Martens
/// and Grosse 2015, Tseng et al. 2025, sketch A).
///
/// The labels are drawn from the model's own distribution, one a position: with them this is the curvature of the KL
/// divergence from the float model, and no text is fitted.
enum OutputMoments {
    /// Measures all linears of the blocks, float32 `[outputs, outputs]` each, up to a common factor.
    ///
    /// Memory: the moments, and the activations of one window. Time: about three forward passes over the windows.
    static func measure(
        _ decoder: Decoder, windows: [[Int32]], seed: UInt64, progress: ProgressReporter?
    ) throws -> [WeightKey: Tensor] {
        let model = try decoder.copy()
        // The same function in real numbers, with libtorch's fused attention.
        model.attentionForm = .softmax
        let head = model.weights.head ?? LinearWeights(weight: model.weights.embedding)
        let objective = OutputObjective(teacherHead: head, studentHead: head)
        let generator = try Generator(seed: seed)
        let probe = OutputProbe()
        var moments: [WeightKey: Tensor] = [:]
        for (index, window) in windows.enumerated() {
            probe.leaves = [:]
            let hidden = try model.normalizedHidden(try model.hiddenStates([window], visitor: probe), visitor: probe)
            let flat = try hidden.reshape([window.count, -1])
            try flat.backward(gradient: try objective.sampledScore(flat.detach(), generator: generator))
            for (key, leaf) in probe.leaves {
                guard let gradient = try leaf.grad() else { continue }
                let rows = try gradient.reshape([window.count, -1])
                let product = try withNoGrad { () throws(DyadError) in try rows.transpose().matmul(rows) }
                if let sum = moments[key] { try sum.addInPlace(product) } else { moments[key] = product }
            }
            progress?.update(phase: "output curvature", completed: index + 1, total: windows.count)
        }
        return moments
    }
}

/// Adds a leaf of zeros to the output of every linear of the blocks; its gradient is the output's.
private final class OutputProbe: SiteVisitor {
    var leaves: [WeightKey: Tensor] = [:]

    private static let weights: [SiteKey.Site: WeightKey.Weight] = Dictionary(
        uniqueKeysWithValues: WeightKey.Weight.allCases.compactMap { weight in weight.outputSite.map { ($0, weight) } })

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        guard let weight = Self.weights[key.site] else { return x }
        let leaf = try Tensor.zeros(x.shape).requiresGrad(true)
        leaves[WeightKey(weight, layer: key.layer)] = leaf
        return try x + leaf
    }
}

extension WeightKey.Weight {
    /// The tensor that a linear of the blocks puts out; nil for other weights.
    var outputSite: SiteKey.Site? {
        switch self {
        case .qWeight: .qOutput
        case .kWeight: .kOutput
        case .vWeight: .vOutput
        case .oWeight: .oOutput
        case .gateWeight: .gateOutput
        case .upWeight: .upOutput
        case .downWeight: .downOutput
        default: nil
        }
    }
}
