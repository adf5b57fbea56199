import DyadFormats

// Shapes broadcast as in NumPy; dtypes promote as in libtorch (a number never widens a tensor's floating-point type).
extension Tensor {
    /// The elementwise sum.
    public static func + (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::add.Tensor", .tensor(a), .tensor(b))
    }
    /// Each element plus a number.
    public static func + (a: Tensor, b: some TensorScalar) throws(DyadError) -> Tensor {
        try call("aten::add.Scalar", .tensor(a), b.tensorArgument)
    }
    /// A number plus each element.
    public static func + (a: some TensorScalar, b: Tensor) throws(DyadError) -> Tensor {
        try b + a
    }
    /// The elementwise difference.
    public static func - (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::sub.Tensor", .tensor(a), .tensor(b))
    }
    /// Each element minus a number.
    public static func - (a: Tensor, b: some TensorScalar) throws(DyadError) -> Tensor {
        try call("aten::sub.Scalar", .tensor(a), b.tensorArgument)
    }
    /// A number minus each element.
    public static func - (a: some TensorScalar, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::rsub.Scalar", .tensor(b), a.tensorArgument)
    }
    /// The elementwise product.
    public static func * (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::mul.Tensor", .tensor(a), .tensor(b))
    }
    /// Each element times a number.
    public static func * (a: Tensor, b: some TensorScalar) throws(DyadError) -> Tensor {
        try call("aten::mul.Scalar", .tensor(a), b.tensorArgument)
    }
    /// A number times each element.
    public static func * (a: some TensorScalar, b: Tensor) throws(DyadError) -> Tensor {
        try b * a
    }
    /// The elementwise quotient; integers give float32.
    public static func / (a: Tensor, b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::div.Tensor", .tensor(a), .tensor(b))
    }
    /// Each element divided by a number.
    public static func / (a: Tensor, b: some TensorScalar) throws(DyadError) -> Tensor {
        try call("aten::div.Scalar", .tensor(a), b.tensorArgument)
    }
    /// One correctly rounded division, not a multiplication by the reciprocal.
    public static func / (a: some TensorScalar, b: Tensor) throws(DyadError) -> Tensor {
        let dtype = b.dtype
        return try full([], a, dtype: dtype.isFloatingPoint ? dtype : .float32) / b
    }
    /// Each element negated.
    public static prefix func - (a: Tensor) throws(DyadError) -> Tensor {
        try call("aten::neg", .tensor(a))
    }

    /// The quotient rounded towards −∞.
    public func floorDivide(by divisor: some TensorScalar) throws(DyadError) -> Tensor {
        try Self.call("aten::div.Scalar_mode", .tensor(self), divisor.tensorArgument, .string("floor"))
    }
    /// The remainder with the divisor's sign.
    public func remainder(by divisor: some TensorScalar) throws(DyadError) -> Tensor {
        try Self.call("aten::remainder.Scalar", .tensor(self), divisor.tensorArgument)
    }
    /// Elementwise power.
    public func pow(_ exponent: some TensorScalar) throws(DyadError) -> Tensor {
        try Self.call("aten::pow.Tensor_Scalar", .tensor(self), exponent.tensorArgument)
    }
    /// Elementwise power.
    public func pow(_ exponent: Tensor) throws(DyadError) -> Tensor {
        try Self.call("aten::pow.Tensor_Tensor", .tensor(self), .tensor(exponent))
    }
    /// `base` to the power of each element.
    public static func pow(_ base: some TensorScalar, _ exponent: Tensor) throws(DyadError) -> Tensor {
        try call("aten::pow.Scalar", base.tensorArgument, .tensor(exponent))
    }
    /// The larger of each pair.
    public static func maximum(_ a: Tensor, _ b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::maximum", .tensor(a), .tensor(b))
    }
    /// The smaller of each pair.
    public static func minimum(_ a: Tensor, _ b: Tensor) throws(DyadError) -> Tensor {
        try call("aten::minimum", .tensor(a), .tensor(b))
    }
    /// This + weight · (end − this).
    public func lerp(to end: Tensor, weight: Double) throws(DyadError) -> Tensor {
        try Self.call("aten::lerp.Scalar", .tensor(self), .tensor(end), .double(weight))
    }
}
