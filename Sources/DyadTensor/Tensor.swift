import CDyadTorch
import DyadFormats

/// An n-dimensional array of libtorch, on a CPU or GPU, with autograd.
///
/// A tensor is a reference: operations make new tensors, views (`reshape`, `narrow`, `transpose`, ...) share memory
/// with what they view, and only the operations named `…InPlace`, `fill` and `copy(from:)` change values.
/// Every operation throws a `DyadError` with libtorch's message when shapes, dtypes or devices do not fit or memory
/// runs out; the process goes on. Cost of calling an operation: about a microsecond plus the work itself.
///
/// `@unchecked Sendable`: the handle never changes, libtorch counts references atomically, and any number of threads
/// may read one tensor. What changes a tensor (in-place operations, `backward`, gradients) needs exclusive access to
/// it and its views, which the caller arranges, as with the memory behind an `UnsafeMutablePointer`.
public final class Tensor: @unchecked Sendable {
    let handle: OpaquePointer

    /// Takes over one reference. Throws for a tensor that Dyad has no words for (complex or sparse elements, another device).
    init(owning handle: OpaquePointer) throws(DyadError) {
        self.handle = handle
        var layout = DyadTorchDescription()
        try checked("tensor") { dyad_torch_describe(handle, &layout, $0) }
        guard DType(rawValue: layout.elementType) != nil else {
            throw DyadError(
                .failed, subject: "tensor", found: "element type \(layout.elementType) of c10::ScalarType",
                expected: "a real floating-point, integer or boolean type", remedy: "Convert it inside libtorch first.")
        }
    }

    deinit {
        dyad_torch_release_tensor(handle)
    }

    var layout: DyadTorchDescription {
        var layout = DyadTorchDescription()
        let status = dyad_torch_describe(handle, &layout, nil)
        precondition(status == 0, "a tensor that was described once can be described again")
        return layout
    }

    /// The size of each dimension; empty for a scalar.
    public var shape: [Int] {
        withExtendedLifetime(self) {
            let layout = layout
            return UnsafeBufferPointer(start: layout.sizes, count: Int(layout.rank)).map { Int($0) }
        }
    }

    /// Elements between neighbours of each dimension.
    public var strides: [Int] {
        withExtendedLifetime(self) {
            let layout = layout
            return UnsafeBufferPointer(start: layout.strides, count: Int(layout.rank)).map { Int($0) }
        }
    }

    /// The number of dimensions.
    public var rank: Int { Int(layout.rank) }

    /// The number of elements.
    public var count: Int { Int(layout.elementCount) }

    /// The element type.
    public var dtype: DType {
        // Checked when the tensor was made, and no operation changes it.
        DType(rawValue: layout.elementType) ?? .float32
    }

    /// Where the tensor lives.
    public var device: Device {
        let layout = layout
        return Device(type: layout.deviceType, index: layout.deviceIndex)
    }

    /// Whether elements lie in row-major order without gaps.
    public var isContiguous: Bool { layout.contiguous }

    /// Whether the tensor lies in memory that in-place operations refuse to change (the bytes of a file).
    public var isReadOnly: Bool { layout.readOnly }

    /// The size of dimension `dim`; a negative one counts from the end.
    public func size(_ dim: Int) throws(DyadError) -> Int {
        let shape = shape
        let index = dim < 0 ? dim + shape.count : dim
        guard shape.indices.contains(index) else {
            throw DyadError(
                .failed, subject: "tensor of shape \(shape)", found: "dimension \(dim)",
                expected: "\(-shape.count) ... \(shape.count - 1)", remedy: "Name a dimension that the tensor has.")
        }
        return shape[index]
    }
}

extension Tensor: CustomStringConvertible {
    /// Dtype, shape and device, not the elements.
    public var description: String {
        "Tensor(\(dtype) \(shape) on \(device))"
    }
}
