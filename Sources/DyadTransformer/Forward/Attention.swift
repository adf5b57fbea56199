import DyadCheckpoint
import DyadTensor

/// Where attention divides by the sum of its exponentials. In real numbers both give the same.
public enum AttentionForm: String, Sendable, CaseIterable {
    /// Before the product with V: probabilities exist as a tensor, and quantised to 8 bits they lose the small ones.
    case softmax
    /// After it: (Σ e·v + Σ w·v_prefix) / (Σ e + Σ w) with e = exp(score − m), m the maximum of the row's visible token
    /// columns. The prefix's weights w stand apart, since a sink would push every other e below half a step.
    /// (The page Numerics, exponential and lateAttention.)
    case lateDivision
}

/// The core of attention, over keys and values that already include prefix and cache.
struct Attention {
    let form: AttentionForm
    let prefixCount: Int
    /// Nil when each token sees everything (one new token).
    let mask: CausalMasks.Mask?
    let configuration: DecoderConfiguration
    /// 1/√d
    private var factor: Double { 1 / Double(configuration.headDimension).squareRoot() }

    /// - Parameters:
    ///   - q: `[b, heads, t, d]`
    ///   - k: `[b, keyValueHeads, context, d]`, v likewise
    /// - Returns: `[b, t, heads · d]`, visited as `attentionOutput`
    func apply(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ pass: Pass) throws -> Tensor {
        let shape = q.shape
        let mixed: Tensor
        switch (pass.visitor, form) {
        case (nil, .softmax) where configuration.scoreCap == nil: mixed = try fused(q, k, v)
        case (_, .softmax): mixed = try withProbabilities(q, k, v, pass)
        case (_, .lateDivision): mixed = try withLateDivision(q, k, v, pass)
        }
        let joined = try mixed.transpose(1, 2).reshape([shape[0], shape[2], shape[1] * shape[3]])
        return try pass.site(.attentionOutput, joined)
    }

    /// libtorch's fused kernel: nothing between q, k, v and the result can be seen.
    private func fused(_ q: Tensor, _ k: Tensor, _ v: Tensor) throws -> Tensor {
        guard let mask else {
            // One token: the query heads of a group become rows of one product, six times faster in bfloat16.
            let (shape, keyValueHeads) = (q.shape, try k.size(1))
            let rows = try q.reshape([shape[0], keyValueHeads, shape[1] / keyValueHeads, shape[3]])
            return try Tensor.attention(rows, k, v, scale: factor).reshape(shape)
        }
        let grouped = try k.size(1) != q.size(1)
        let causal = try q.size(2) == k.size(2)
        return try Tensor.attention(
            q, k, v, mask: causal ? nil : mask.visible, causal: causal, scale: factor, groupedQuery: grouped)
    }

    private func withProbabilities(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ pass: Pass) throws -> Tensor {
        let scores = try withHiddenColumns(try visibleScores(q, k, pass))
        let probabilities = try scores.softmax(-1, dtype: .float32).to(q.dtype)
        return try product(try pass.site(.probabilities, probabilities), v)
    }

    private func withLateDivision(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ pass: Pass) throws -> Tensor {
        let scores = try withHiddenColumns(try visibleScores(q, k, pass).to(.float32))
        let tokens = try scores.size(-1) - prefixCount
        let tokenScores = try scores.narrow(-1, start: prefixCount, length: tokens)
        let maximum = try tokenScores.detach().amax([-1], keepDim: true)
        let exponentials = try pass.site(.exponentials, try (tokenScores - maximum).exp().to(q.dtype))
        var numerator = try product(
            exponentials, try v.narrow(2, start: prefixCount, length: tokens)
        ).to(.float32)
        var denominator = try exponentials.sum([-1], keepDim: true, dtype: .float32)
        if prefixCount > 0 {
            // e^60 is far beyond what the integer form can hold, and keeps float32 finite.
            let difference = try (scores.narrow(-1, start: 0, length: prefixCount) - maximum).clamp(nil, 60.0)
            let weights = try pass.site(.prefixWeights, try difference.exp())
            let prefixValues = try v.narrow(2, start: 0, length: prefixCount).to(.float32)
            numerator = try numerator + (try product(weights, prefixValues))
            denominator = try denominator + (try weights.sum([-1], keepDim: true))
        }
        return try (numerator / denominator).to(q.dtype)
    }

    /// q·kᵀ·factor, `[b, heads, t, context]`, capped, with 0 where a token may not look.
    private func visibleScores(_ q: Tensor, _ k: Tensor, _ pass: Pass) throws -> Tensor {
        var scores = try product(q, try k.transpose(2, 3)) * factor
        if let mask { scores = try scores * mask.visible.to(scores.dtype) }
        scores = try pass.site(.scores, scores)
        return try configuration.scoreCap.map { try scores.softCapped(at: $0) } ?? scores
    }

    /// The scores with −∞ where a token may not look. (A product and a sum with the mask are vectorised, filling is not.)
    private func withHiddenColumns(_ scores: Tensor) throws -> Tensor {
        guard let mask else { return scores }
        return try scores + mask.term.to(scores.dtype)
    }

    /// `[b, heads, t, n]` times `[b, keyValueHeads, n, m]`, query head h with key/value head h / (heads / keyValueHeads):
    /// the heads of a group are rows of one product, so nothing is repeated in memory.
    private func product(_ a: Tensor, _ b: Tensor) throws -> Tensor {
        let (shape, keyValueHeads) = (a.shape, try b.size(1))
        let grouped = try a.reshape([shape[0], keyValueHeads, shape[1] / keyValueHeads * shape[2], shape[3]])
        return try grouped.matmul(b).reshape([shape[0], shape[1], shape[2], try b.size(3)])
    }
}

/// Which columns each token may see, kept from one layer to the next.
struct CausalMasks {
    /// Two forms of one mask, `[tokens, start + tokens]`.
    struct Mask {
        /// Bool, true where a token may look.
        let visible: Tensor
        /// Float, −∞ where it may not, else 0.
        let term: Tensor
    }
    private var last: (tokens: Int, start: Int, mask: Mask)?

    /// The token i stands at column `start + i` and sees the columns 0 ... start + i. Nil for a single token.
    mutating func mask(tokens: Int, start: Int, device: Device) throws -> Mask? {
        if tokens == 1 { return nil }
        if let last, last.tokens == tokens, last.start == start { return last.mask }
        let rows = try Tensor.arange(tokens, device: device).unsqueeze(1)
        let columns = try Tensor.arange(start + tokens, device: device).unsqueeze(0)
        let hidden = try columns .> (try rows + start)
        let zeros = try Tensor.zeros(hidden.shape, device: device)
        let mask = Mask(visible: try .!hidden, term: try zeros.maskedFill(hidden, -Double.infinity))
        last = (tokens, start, mask)
        return mask
    }
}

extension Tensor {
    /// cap · tanh(self / cap): between −cap and cap, with slope 1 at 0.
    func softCapped(at cap: Double) throws -> Tensor { try (self * (1 / cap)).tanh() * cap }
}
