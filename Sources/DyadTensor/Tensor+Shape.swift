import DyadFormats

// Views share memory with this tensor; `reshape` and `contiguous` copy only when they must. Cost: none but the call.
extension Tensor {
    /// The same elements in another shape; one size may be −1. A view when the layout allows, else a copy.
    public func reshape(_ shape: [Int]) throws(DyadError) -> Tensor {
        try Self.call("aten::reshape", .tensor(self), .ints(shape))
    }
    /// As `reshape`, but throws where a copy would be needed.
    public func view(_ shape: [Int]) throws(DyadError) -> Tensor {
        try Self.call("aten::view", .tensor(self), .ints(shape))
    }
    /// Dimensions `start ... end` made one.
    public func flatten(_ start: Int = 0, _ end: Int = -1) throws(DyadError) -> Tensor {
        try Self.call("aten::flatten.using_ints", .tensor(self), .int(start), .int(end))
    }
    /// Dimensions in another order.
    public func permute(_ order: [Int]) throws(DyadError) -> Tensor {
        try Self.call("aten::permute", .tensor(self), .ints(order))
    }
    /// Two dimensions exchanged.
    public func transpose(_ a: Int = -2, _ b: Int = -1) throws(DyadError) -> Tensor {
        try Self.call("aten::transpose.int", .tensor(self), .int(a), .int(b))
    }
    /// A view that repeats dimensions of size 1; −1 keeps a size.
    public func expand(_ shape: [Int]) throws(DyadError) -> Tensor {
        try Self.call("aten::expand", .tensor(self), .ints(shape))
    }
    /// A new dimension of size 1 at `dim`.
    public func unsqueeze(_ dim: Int) throws(DyadError) -> Tensor {
        try Self.call("aten::unsqueeze", .tensor(self), .int(dim))
    }
    /// Without dimension `dim` when its size is 1.
    public func squeeze(_ dim: Int) throws(DyadError) -> Tensor {
        try Self.call("aten::squeeze.dim", .tensor(self), .int(dim))
    }
    /// `length` elements along `dim` from `start`.
    public func narrow(_ dim: Int, start: Int, length: Int) throws(DyadError) -> Tensor {
        try Self.call("aten::narrow", .tensor(self), .int(dim), .int(start), .int(length))
    }
    /// The elements of `range` along `dim`. Unlike Python's slices, a range outside the tensor throws.
    public func slice(_ dim: Int, _ range: Range<Int>) throws(DyadError) -> Tensor {
        try narrow(dim, start: range.lowerBound, length: range.count)
    }
    /// Every `step`-th element along `dim` from `start` up to `end`.
    public func stride(_ dim: Int, from start: Int = 0, to end: Int? = nil, by step: Int) throws(DyadError) -> Tensor {
        try Self.call(
            "aten::slice.Tensor", .tensor(self), .int(dim), .int(start), .optionalInt(end), .int(step))
    }
    /// Element `index` along `dim`, without that dimension.
    public func select(_ dim: Int, _ index: Int) throws(DyadError) -> Tensor {
        try Self.call("aten::select.int", .tensor(self), .int(dim), .int(index))
    }
    /// Pieces of the given sizes along `dim`.
    public func split(_ sizes: [Int], dim: Int) throws(DyadError) -> [Tensor] {
        try Self.callMany("aten::split_with_sizes", results: sizes.count, .tensor(self), .ints(sizes), .int(dim))
    }
    /// `count` equal pieces along `dim`. Throws when the size is not divisible.
    public func chunk(_ count: Int, dim: Int) throws(DyadError) -> [Tensor] {
        let size = try size(dim)
        guard count > 0, size % count == 0 else {
            throw DyadError(
                .mismatch, subject: "\(self)", found: "size \(size) along dimension \(dim)",
                expected: "a multiple of \(count)", remedy: "Use split with explicit sizes.")
        }
        return try split([Int](repeating: size / count, count: count), dim: dim)
    }
    /// Tensors joined along an existing dimension.
    public static func cat(_ tensors: [Tensor], dim: Int = 0) throws(DyadError) -> Tensor {
        try call("aten::cat", .tensors(tensors), .int(dim))
    }
    /// Tensors of equal shape joined along a new dimension.
    public static func stack(_ tensors: [Tensor], dim: Int = 0) throws(DyadError) -> Tensor {
        try call("aten::stack", .tensors(tensors), .int(dim))
    }
    /// Each element (or slice along `dim`) `repeats` times in a row.
    public func repeatInterleave(_ repeats: Int, dim: Int? = nil) throws(DyadError) -> Tensor {
        try Self.call("aten::repeat_interleave.self_int", .tensor(self), .int(repeats), .optionalInt(dim))
    }
    /// The whole tensor repeated along each dimension.
    public func tile(_ repeats: [Int]) throws(DyadError) -> Tensor {
        try Self.call("aten::repeat", .tensor(self), .ints(repeats))
    }
    /// Reversed along dimensions.
    public func flip(_ dims: [Int]) throws(DyadError) -> Tensor {
        try Self.call("aten::flip", .tensor(self), .ints(dims))
    }
    /// Moved cyclically along a dimension.
    public func roll(_ shift: Int, dim: Int) throws(DyadError) -> Tensor {
        try Self.call("aten::roll", .tensor(self), .ints([shift]), .ints([dim]))
    }
    /// Zeros (or `value`) added before and after dimensions; pairs start from the last dimension.
    public func pad(_ pairs: [Int], value: Double = 0) throws(DyadError) -> Tensor {
        try Self.call("aten::constant_pad_nd", .tensor(self), .ints(pairs), .double(value))
    }
}
