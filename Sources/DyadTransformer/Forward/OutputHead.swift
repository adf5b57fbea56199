import DyadTensor

/// From what the head reads to the logits: one matrix, and what is done to its output.
///
/// Who needs logits of some positions only, or their gradient without recording it, asks here, so that no two places can
/// have another function behind the head.
public struct OutputHead {
    /// The matrix `[vocabulary, hidden]`.
    public let linear: LinearWeights
    /// c in c · tanh(logit / c); nil where logits are not capped.
    public let cap: Double?

    /// Creates a head.
    public init(linear: LinearWeights, cap: Double?) { (self.linear, self.cap) = (linear, cap) }

    /// The logits `[n, vocabulary]` of `[n, hidden]`.
    public func logits(_ hidden: Tensor) throws -> Tensor {
        try finished(try hidden.linear(linear.weight, bias: linear.bias))
    }

    /// What is done to the matrix's output.
    func finished(_ output: Tensor) throws -> Tensor { try cap.map { try output.softCapped(at: $0) } ?? output }

    /// The gradient `[n, hidden]` with respect to what the head reads.
    ///
    /// - Parameters:
    ///   - gradient: with respect to the logits.
    ///   - logits: what ``logits(_:)`` gave.
    public func backward(_ gradient: Tensor, logits: Tensor) throws -> Tensor {
        guard let cap else { return try gradient.matmul(linear.weight) }
        // The derivative of c · tanh(z/c) is 1 − tanh²(z/c).
        return try (gradient * (1 - (logits * (1 / cap)).square())).matmul(linear.weight)
    }
}

extension Decoder {
    /// The head, and what is done to its output.
    public var outputHead: OutputHead { OutputHead(linear: weights.effectiveHead, cap: configuration.logitCap) }
}
