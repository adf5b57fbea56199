import DyadFormats

extension Tensor {
    /// A tensor of zeros.
    public static func zeros(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws(DyadError) -> Tensor
    {
        try call("aten::zeros", .ints(shape), .dtype(dtype), .none, .device(device))
    }

    /// A tensor of ones.
    public static func ones(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws(DyadError) -> Tensor
    {
        try call("aten::ones", .ints(shape), .dtype(dtype), .none, .device(device))
    }

    /// A tensor whose elements all are `value`.
    public static func full(
        _ shape: [Int], _ value: some TensorScalar, dtype: DType = .float32, device: Device = .cpu
    ) throws(DyadError) -> Tensor {
        try call("aten::full", .ints(shape), value.tensorArgument, .dtype(dtype), .none, .device(device))
    }

    /// Zeros of this tensor's shape, dtype and device.
    public func zerosLike() throws(DyadError) -> Tensor { try Self.call("aten::zeros_like", .tensor(self)) }

    /// Ones of this tensor's shape, dtype and device.
    public func onesLike() throws(DyadError) -> Tensor { try Self.call("aten::ones_like", .tensor(self)) }

    /// `start`, `start + step`, ... below `end`.
    public static func arange<Scalar: TensorScalar>(
        from start: Scalar, to end: Scalar, by step: Scalar, dtype: DType = .int64, device: Device = .cpu
    ) throws(DyadError) -> Tensor {
        try call(
            "aten::arange.start_step", start.tensorArgument, end.tensorArgument, step.tensorArgument, .dtype(dtype),
            .none, .device(device))
    }

    /// 0, 1, ... `end` − 1.
    public static func arange(_ end: Int, dtype: DType = .int64, device: Device = .cpu) throws(DyadError) -> Tensor {
        try arange(from: 0, to: end, by: 1, dtype: dtype, device: device)
    }

    /// `count` numbers from `start` to `end`, both included.
    public static func linspace(
        from start: Double, to end: Double, count: Int, dtype: DType = .float32, device: Device = .cpu
    ) throws(DyadError) -> Tensor {
        try call(
            "aten::linspace", .double(start), .double(end), .int(count), .dtype(dtype), .none, .device(device))
    }

    /// The identity matrix `[size, size]`.
    public static func eye(_ size: Int, dtype: DType = .float32, device: Device = .cpu) throws(DyadError) -> Tensor {
        try call("aten::eye", .int(size), .dtype(dtype), .none, .device(device))
    }

    /// Standard normal numbers, on the generator's device.
    public static func randn(
        _ shape: [Int], dtype: DType = .float32, generator: Generator
    ) throws(DyadError) -> Tensor {
        try call(
            "aten::randn.generator", .ints(shape), .generator(generator), .dtype(dtype), .none,
            .device(generator.device))
    }

    /// Uniform numbers in [0, 1), on the generator's device.
    public static func rand(
        _ shape: [Int], dtype: DType = .float32, generator: Generator
    ) throws(DyadError) -> Tensor {
        try call(
            "aten::rand.generator", .ints(shape), .generator(generator), .dtype(dtype), .none,
            .device(generator.device))
    }

    /// Uniform integers in `range`, on the generator's device.
    public static func randint(
        _ range: Range<Int>, _ shape: [Int], dtype: DType = .int64, generator: Generator
    ) throws(DyadError) -> Tensor {
        try call(
            "aten::randint.low_generator", .int(range.lowerBound), .int(range.upperBound), .ints(shape),
            .generator(generator), .dtype(dtype), .none, .device(generator.device))
    }

    /// The numbers 0 ..< `count` in random order, int64 `[count]`, on the generator's device.
    public static func randperm(_ count: Int, generator: Generator) throws(DyadError) -> Tensor {
        try call(
            "aten::randperm.generator", .int(count), .generator(generator), .dtype(.int64), .none,
            .device(generator.device))
    }
}
