import DyadFormats

// `dims: nil` reduces over all dimensions to a scalar; negative dimensions count from the end.
extension Tensor {
    /// The sum; integers and bools add up in int64. `dtype` is the accumulator's and the result's.
    public func sum(_ dims: [Int]? = nil, keepDim: Bool = false, dtype: DType? = nil) throws(DyadError) -> Tensor {
        try Self.call("aten::sum.dim_IntList", .tensor(self), .optionalInts(dims), .bool(keepDim), .dtype(dtype))
    }
    /// The mean.
    public func mean(_ dims: [Int]? = nil, keepDim: Bool = false, dtype: DType? = nil) throws(DyadError) -> Tensor {
        try Self.call("aten::mean.dim", .tensor(self), .optionalInts(dims), .bool(keepDim), .dtype(dtype))
    }
    /// The variance with the divisor n − `correction`.
    public func variance(_ dims: [Int]? = nil, correction: Int = 1, keepDim: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::var.correction", .tensor(self), .optionalInts(dims), .int(correction), .bool(keepDim))
    }
    /// The standard deviation with the divisor n − `correction`.
    public func std(_ dims: [Int]? = nil, correction: Int = 1, keepDim: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::std.correction", .tensor(self), .optionalInts(dims), .int(correction), .bool(keepDim))
    }
    /// The p-norm of the elements (`order` 2: Euclidean; `.infinity`: largest magnitude).
    public func norm(_ dims: [Int]? = nil, order: Double = 2, keepDim: Bool = false) throws(DyadError) -> Tensor {
        try Self.call(
            "aten::linalg_vector_norm", .tensor(self), .double(order), .optionalInts(dims), .bool(keepDim))
    }
    /// The smallest element of all.
    public func min() throws(DyadError) -> Tensor { try Self.call("aten::min", .tensor(self)) }
    /// The largest element of all.
    public func max() throws(DyadError) -> Tensor { try Self.call("aten::max", .tensor(self)) }
    /// The smallest elements along `dim` and their positions (int64).
    public func min(dim: Int, keepDim: Bool = false) throws(DyadError) -> (values: Tensor, indices: Tensor) {
        let results = try Self.callMany("aten::min.dim", results: 2, .tensor(self), .int(dim), .bool(keepDim))
        return (results[0], results[1])
    }
    /// The largest elements along `dim` and their positions (int64).
    public func max(dim: Int, keepDim: Bool = false) throws(DyadError) -> (values: Tensor, indices: Tensor) {
        let results = try Self.callMany("aten::max.dim", results: 2, .tensor(self), .int(dim), .bool(keepDim))
        return (results[0], results[1])
    }
    /// The smallest elements over several dimensions.
    public func amin(_ dims: [Int], keepDim: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::amin", .tensor(self), .ints(dims), .bool(keepDim))
    }
    /// The largest elements over several dimensions.
    public func amax(_ dims: [Int], keepDim: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::amax", .tensor(self), .ints(dims), .bool(keepDim))
    }
    /// The position of the largest element along `dim` (int64), or in the flattened tensor.
    public func argmax(dim: Int? = nil, keepDim: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::argmax", .tensor(self), .optionalInt(dim), .bool(keepDim))
    }
    /// The position of the smallest element along `dim` (int64), or in the flattened tensor.
    public func argmin(dim: Int? = nil, keepDim: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::argmin", .tensor(self), .optionalInt(dim), .bool(keepDim))
    }
    /// The `k` largest (or smallest) elements along `dim`, sorted, and their positions (int64).
    public func topk(
        _ k: Int, dim: Int = -1, largest: Bool = true
    ) throws(DyadError) -> (values: Tensor, indices: Tensor) {
        let results = try Self.callMany(
            "aten::topk", results: 2, .tensor(self), .int(k), .int(dim), .bool(largest), .bool(true))
        return (results[0], results[1])
    }
    /// The elements in order along `dim`, equal ones in their old order, and their positions (int64).
    public func sort(
        dim: Int = -1, descending: Bool = false
    ) throws(DyadError) -> (values: Tensor, indices: Tensor) {
        let results = try Self.callMany(
            "aten::sort.stable", results: 2, .tensor(self), .bool(true), .int(dim), .bool(descending))
        return (results[0], results[1])
    }
    /// Running sums along `dim`.
    public func cumsum(dim: Int, dtype: DType? = nil) throws(DyadError) -> Tensor {
        try Self.call("aten::cumsum", .tensor(self), .int(dim), .dtype(dtype))
    }
    /// log Σ exp, computed without overflow.
    public func logsumexp(_ dims: [Int], keepDim: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::logsumexp", .tensor(self), .ints(dims), .bool(keepDim))
    }
    /// The `q`-quantile (0 ... 1) along `dim` or of all elements, linearly interpolated. At most 2²⁴ elements a row.
    public func quantile(_ q: Double, dim: Int? = nil, keepDim: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::quantile.scalar", .tensor(self), .double(q), .optionalInt(dim), .bool(keepDim))
    }
}
