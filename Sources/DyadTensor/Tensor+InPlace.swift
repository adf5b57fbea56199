import DyadFormats

// These change values that every view and alias sees. On a leaf that requires a gradient they need `withNoGrad`;
// on memory borrowed from a file's bytes they throw.
extension Tensor {
    /// Overwrites all elements from `source`, converting dtype and device, broadcasting the shape.
    public func copy(from source: Tensor) throws(DyadError) {
        try Self.callInPlace("aten::copy_", .tensor(self), .tensor(source))
    }
    /// Overwrites `source.size(dim)` slices along `dim` from `start`: how a KV cache is written.
    public func assign(_ source: Tensor, dim: Int, start: Int) throws(DyadError) {
        try narrow(dim, start: start, length: try source.size(dim)).copy(from: source)
    }
    /// Overwrites all elements with a number.
    public func fill(_ value: some TensorScalar) throws(DyadError) {
        try Self.callInPlace("aten::fill_.Scalar", .tensor(self), value.tensorArgument)
    }
    /// self += factor · other.
    public func addInPlace(_ other: Tensor, factor: Double = 1) throws(DyadError) {
        // A floating-point factor is refused for integer tensors.
        let whole = !dtype.isFloatingPoint && factor.rounded() == factor
        try Self.callInPlace(
            "aten::add_.Tensor", .tensor(self), .tensor(other),
            whole ? Int(exactly: factor).map { .int($0) } ?? .double(factor) : .double(factor))
    }
    /// self += number.
    public func addInPlace(_ number: some TensorScalar) throws(DyadError) {
        try Self.callInPlace("aten::add_.Scalar", .tensor(self), number.tensorArgument)
    }
    /// self *= other.
    public func multiplyInPlace(_ other: Tensor) throws(DyadError) {
        try Self.callInPlace("aten::mul_.Tensor", .tensor(self), .tensor(other))
    }
    /// self *= number.
    public func multiplyInPlace(_ number: some TensorScalar) throws(DyadError) {
        try Self.callInPlace("aten::mul_.Scalar", .tensor(self), number.tensorArgument)
    }
    /// self /= other.
    public func divideInPlace(_ other: Tensor) throws(DyadError) {
        try Self.callInPlace("aten::div_.Tensor", .tensor(self), .tensor(other))
    }
    /// self += factor · a / b.
    public func addQuotientInPlace(_ a: Tensor, _ b: Tensor, factor: Double) throws(DyadError) {
        try Self.callInPlace("aten::addcdiv_", .tensor(self), .tensor(a), .tensor(b), .double(factor))
    }
    /// self += factor · a · b.
    public func addProductInPlace(_ a: Tensor, _ b: Tensor, factor: Double) throws(DyadError) {
        try Self.callInPlace("aten::addcmul_", .tensor(self), .tensor(a), .tensor(b), .double(factor))
    }
    /// self += Σ over rows of `index`: slices of `source` added along `dim`.
    public func indexAddInPlace(_ dim: Int, _ index: Tensor, _ source: Tensor) throws(DyadError) {
        try Self.callInPlace("aten::index_add_", .tensor(self), .int(dim), .tensor(index), .tensor(source))
    }
    /// Overwrites the places where `mask` is true with a number.
    public func maskedFillInPlace(_ mask: Tensor, _ value: some TensorScalar) throws(DyadError) {
        try Self.callInPlace("aten::masked_fill_.Scalar", .tensor(self), .tensor(mask), value.tensorArgument)
    }
}
