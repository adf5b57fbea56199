import DyadFormats

extension Tensor {
    /// This tensor in another dtype; itself when it already has it. Floats become integers by truncation.
    public func to(_ dtype: DType) throws(DyadError) -> Tensor {
        if dtype == self.dtype { return self }
        return try Self.call("aten::to.dtype", .tensor(self), .dtype(dtype))
    }

    /// This tensor on another device, and in another dtype if one is named; itself when nothing changes.
    public func to(_ device: Device, dtype: DType? = nil) throws(DyadError) -> Tensor {
        if device == self.device && (dtype ?? self.dtype) == self.dtype { return self }
        return try Self.call("aten::to.dtype_layout", .tensor(self), .dtype(dtype), .none, .device(device))
    }

    /// A copy with memory of its own, differentiable.
    public func clone() throws(DyadError) -> Tensor { try Self.call("aten::clone", .tensor(self)) }

    /// This tensor in row-major order; itself when it already is.
    public func contiguous() throws(DyadError) -> Tensor {
        if isContiguous { return self }
        return try Self.call("aten::contiguous", .tensor(self))
    }
}
