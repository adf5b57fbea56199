import DyadFormats

// Indices are int64 (or int32 where said); one outside the tensor throws.
extension Tensor {
    /// result[i][j] = self[index[i][j]][j] for `dim` 0, and so on.
    public func gather(_ dim: Int, _ index: Tensor) throws(DyadError) -> Tensor {
        try Self.call("aten::gather", .tensor(self), .int(dim), .tensor(index))
    }
    /// The slices along `dim` that a vector of indices (int32 or int64) names.
    public func indexSelect(_ dim: Int, _ index: Tensor) throws(DyadError) -> Tensor {
        try Self.call("aten::index_select", .tensor(self), .int(dim), .tensor(index))
    }
    /// NumPy's advanced indexing: one index (or boolean mask) per dimension, nil for all of it.
    public func index(_ indices: [Tensor?]) throws(DyadError) -> Tensor {
        try Self.call("aten::index.Tensor", .tensor(self), .optionals(indices))
    }
    /// A copy with `values` at the indexed places; `accumulate` adds them instead.
    public func indexPut(_ indices: [Tensor?], _ values: Tensor, accumulate: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::index_put", .tensor(self), .optionals(indices), .tensor(values), .bool(accumulate))
    }
    /// A copy with `source` written at `index` along `dim` (the inverse of `gather`).
    public func scatter(_ dim: Int, _ index: Tensor, _ source: Tensor) throws(DyadError) -> Tensor {
        try Self.call("aten::scatter.src", .tensor(self), .int(dim), .tensor(index), .tensor(source))
    }
    /// A copy with `source` added at `index` along `dim`.
    public func scatterAdd(_ dim: Int, _ index: Tensor, _ source: Tensor) throws(DyadError) -> Tensor {
        try Self.call("aten::scatter_add", .tensor(self), .int(dim), .tensor(index), .tensor(source))
    }
    /// The rows of this table `[vocabulary, width]` that `ids` (int32 or int64, any shape) name: `[ids..., width]`.
    public func embedding(_ ids: Tensor) throws(DyadError) -> Tensor {
        try Self.call("aten::embedding", .tensor(self), .tensor(ids))
    }
    /// Counts of the values 0, 1, ... in a vector of non-negative integers, int64; at least `minimumLength` long.
    public func bincount(minimumLength: Int = 0) throws(DyadError) -> Tensor {
        try Self.call("aten::bincount", .tensor(self), .none, .int(minimumLength))
    }
    /// The index of the bucket of each element between sorted boundaries, int64. An element equal to a boundary belongs
    /// to the bucket left of it, or with `right` right of it.
    public func bucketize(_ boundaries: Tensor, right: Bool = false) throws(DyadError) -> Tensor {
        try Self.call("aten::bucketize.Tensor", .tensor(self), .tensor(boundaries), .bool(false), .bool(right))
    }
}
