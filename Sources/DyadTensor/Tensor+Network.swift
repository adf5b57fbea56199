import DyadFormats

/// How a loss over many elements becomes its result.
public enum Reduction: Int, Sendable {
    /// One loss per element.
    case none = 0
    case mean = 1
    case sum = 2
}

extension Tensor {
    /// exp(x) / Σ exp(x) along `dim`, computed in `dtype` when one is named.
    public func softmax(_ dim: Int = -1, dtype: DType? = nil) throws(DyadError) -> Tensor {
        try Self.call("aten::softmax.int", .tensor(self), .int(dim), .dtype(dtype))
    }
    /// log(softmax).
    public func logSoftmax(_ dim: Int = -1, dtype: DType? = nil) throws(DyadError) -> Tensor {
        try Self.call("aten::log_softmax.int", .tensor(self), .int(dim), .dtype(dtype))
    }
    /// x / √(mean(x²) + eps) · weight over the last dimension.
    public func rmsNorm(weight: Tensor?, eps: Double) throws(DyadError) -> Tensor {
        try Self.call(
            "aten::rms_norm", .tensor(self), .ints([try size(-1)]), .optional(weight), .double(eps))
    }
    /// (x − mean) / √(variance + eps) · weight + bias over the last dimension.
    public func layerNorm(weight: Tensor?, bias: Tensor?, eps: Double) throws(DyadError) -> Tensor {
        try Self.call(
            "aten::layer_norm", .tensor(self), .ints([try size(-1)]), .optional(weight), .optional(bias), .double(eps))
    }
    /// softmax(q·kᵀ·scale + mask)·v for q `[batch, heads, queries, d]` and k, v `[batch, kvHeads, keys, d]`, fused.
    ///
    /// `mask` broadcasts to `[batch, heads, queries, keys]`: added, or when bool, true where a key may be seen.
    /// `causal` masks keys after the query, both counted from 0, so use it only without a cache. `scale` nil: 1/√d.
    /// `groupedQuery` lets `kvHeads` be a divisor of `heads`.
    public static func attention(
        _ query: Tensor, _ key: Tensor, _ value: Tensor, mask: Tensor? = nil, causal: Bool = false,
        scale: Double? = nil, groupedQuery: Bool = false
    ) throws(DyadError) -> Tensor {
        try call(
            "aten::scaled_dot_product_attention", .tensor(query), .tensor(key), .tensor(value), .optional(mask),
            .double(0), .bool(causal), .scalar(scale), .bool(groupedQuery))
    }
    /// −log softmax(logits)[target] for logits `[n, classes]` and target int64 `[n]`; `ignoreIndex` counts nowhere.
    public func crossEntropy(
        _ target: Tensor, reduction: Reduction = .mean, ignoreIndex: Int = -100
    ) throws(DyadError) -> Tensor {
        try Self.call(
            "aten::cross_entropy_loss", .tensor(self), .tensor(target), .none, .int(reduction.rawValue),
            .int(ignoreIndex))
    }
    /// −x[target] for log-probabilities `[n, classes]`.
    public func negativeLogLikelihood(
        _ target: Tensor, reduction: Reduction = .mean, ignoreIndex: Int = -100
    ) throws(DyadError) -> Tensor {
        try Self.call(
            "aten::nll_loss", .tensor(self), .tensor(target), .none, .int(reduction.rawValue), .int(ignoreIndex))
    }
    /// target · (log target − x), x being log-probabilities and `target` log-probabilities too when `logTarget`.
    /// `.mean` divides by all elements; for the mean per row use `.sum` and divide by the rows.
    public func klDivergence(
        _ target: Tensor, reduction: Reduction = .mean, logTarget: Bool = true
    ) throws(DyadError) -> Tensor {
        try Self.call(
            "aten::kl_div", .tensor(self), .tensor(target), .int(reduction.rawValue), .bool(logTarget))
    }
    /// (x − target)².
    public func meanSquaredError(_ target: Tensor, reduction: Reduction = .mean) throws(DyadError) -> Tensor {
        try Self.call("aten::mse_loss", .tensor(self), .tensor(target), .int(reduction.rawValue))
    }
}
