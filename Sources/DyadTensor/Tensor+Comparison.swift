import DyadFormats

// Elementwise comparisons and logic, in the notation of Swift's SIMD types. Results are bool tensors.
extension Tensor {
    /// True where equal.
    public static func .== (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::eq.Tensor", .tensor(a), .tensor(b))
    }
    /// True where equal.
    public static func .== (a: Tensor, b: some TensorScalar) throws(DyadError) -> Tensor {
        try call("aten::eq.Scalar", .tensor(a), b.tensorArgument)
    }
    /// True where different.
    public static func .!= (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::ne.Tensor", .tensor(a), .tensor(b))
    }
    /// True where different.
    public static func .!= (a: Tensor, b: some TensorScalar) throws(DyadError) -> Tensor {
        try call("aten::ne.Scalar", .tensor(a), b.tensorArgument)
    }
    /// True where less.
    public static func .< (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::lt.Tensor", .tensor(a), .tensor(b))
    }
    /// True where less.
    public static func .< (a: Tensor, b: some TensorScalar) throws(DyadError) -> Tensor {
        try call("aten::lt.Scalar", .tensor(a), b.tensorArgument)
    }
    /// True where less or equal.
    public static func .<= (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::le.Tensor", .tensor(a), .tensor(b))
    }
    /// True where less or equal.
    public static func .<= (a: Tensor, b: some TensorScalar) throws(DyadError) -> Tensor {
        try call("aten::le.Scalar", .tensor(a), b.tensorArgument)
    }
    /// True where greater.
    public static func .> (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::gt.Tensor", .tensor(a), .tensor(b))
    }
    /// True where greater.
    public static func .> (a: Tensor, b: some TensorScalar) throws(DyadError) -> Tensor {
        try call("aten::gt.Scalar", .tensor(a), b.tensorArgument)
    }
    /// True where greater or equal.
    public static func .>= (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::ge.Tensor", .tensor(a), .tensor(b))
    }
    /// True where greater or equal.
    public static func .>= (a: Tensor, b: some TensorScalar) throws(DyadError) -> Tensor {
        try call("aten::ge.Scalar", .tensor(a), b.tensorArgument)
    }
    /// True where both are.
    public static func .& (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::logical_and", .tensor(a), .tensor(b))
    }
    /// True where either is.
    public static func .| (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::logical_or", .tensor(a), .tensor(b))
    }
    /// True where false.
    public static prefix func .! (a: Tensor) throws(DyadError) -> Tensor {
        try call("aten::logical_not", .tensor(a))
    }

    /// Whether every element is true (not zero).
    public func allTrue() throws(DyadError) -> Bool { try Self.call("aten::all", .tensor(self)).item() != 0 }
    /// Whether any element is true (not zero).
    public func anyTrue() throws(DyadError) -> Bool { try Self.call("aten::any", .tensor(self)).item() != 0 }
    /// Whether shapes and all elements are equal.
    public func isEqual(to other: Tensor) throws(DyadError) -> Bool {
        guard
            case .bool(let equal)? = try Self.results(of: "aten::equal", [.tensor(self), .tensor(other)], capacity: 1)
                .first
        else { throw Self.unexpected("aten::equal") }
        return equal
    }

    /// `a` where `condition` is true, else `b`; all three broadcast.
    public static func select(where condition: Tensor, _ a: Tensor, _ b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::where.self", .tensor(condition), .tensor(a), .tensor(b))
    }
    /// `a` where `condition` is true, else the number `b`.
    public static func select(where condition: Tensor, _ a: Tensor, _ b: some TensorScalar) throws(DyadError) -> Tensor
    {
        try call("aten::where.ScalarOther", .tensor(condition), .tensor(a), b.tensorArgument)
    }
    /// This tensor with `value` where `mask` is true.
    public func maskedFill(_ mask: Tensor, _ value: some TensorScalar) throws(DyadError) -> Tensor {
        try Self.call("aten::masked_fill.Scalar", .tensor(self), .tensor(mask), value.tensorArgument)
    }
    /// The elements where `mask` is true, as a vector.
    public func maskedSelect(_ mask: Tensor) throws(DyadError) -> Tensor {
        try Self.call("aten::masked_select", .tensor(self), .tensor(mask))
    }
    /// The indices of elements that are not zero, int64 `[n, rank]`.
    public func nonzero() throws(DyadError) -> Tensor { try Self.call("aten::nonzero", .tensor(self)) }
}
