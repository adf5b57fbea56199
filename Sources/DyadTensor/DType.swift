import DyadFormats

/// The element type of a tensor. The raw values are those of `c10::ScalarType`.
public enum DType: Int32, Sendable, CaseIterable {
    case uint8 = 0
    case int8 = 1
    case int16 = 2
    case int32 = 3
    case int64 = 4
    case float16 = 5
    case float32 = 6
    case float64 = 7
    case bool = 11
    case bfloat16 = 15

    /// Bytes of one element.
    public var byteCount: Int {
        switch self {
        case .uint8, .int8, .bool: 1
        case .int16, .float16, .bfloat16: 2
        case .int32, .float32: 4
        case .int64, .float64: 8
        }
    }

    /// Whether elements are floating-point numbers, the only ones that can require a gradient.
    public var isFloatingPoint: Bool {
        switch self {
        case .float16, .bfloat16, .float32, .float64: true
        default: false
        }
    }
}

/// A Swift type whose arrays can become tensors and be read back.
public protocol TensorElement: BitwiseCopyable, Sendable {
    /// The element type of such a tensor.
    static var dtype: DType { get }
}

extension UInt8: TensorElement {
    /// The element type of such a tensor.
    public static var dtype: DType { .uint8 }
}
extension Int8: TensorElement {
    /// The element type of such a tensor.
    public static var dtype: DType { .int8 }
}
extension Int16: TensorElement {
    /// The element type of such a tensor.
    public static var dtype: DType { .int16 }
}
extension Int32: TensorElement {
    /// The element type of such a tensor.
    public static var dtype: DType { .int32 }
}
extension Int64: TensorElement {
    /// The element type of such a tensor.
    public static var dtype: DType { .int64 }
}
extension Int: TensorElement {
    /// The element type of such a tensor.
    public static var dtype: DType { .int64 }
}
extension Float: TensorElement {
    /// The element type of such a tensor.
    public static var dtype: DType { .float32 }
}
extension Double: TensorElement {
    /// The element type of such a tensor.
    public static var dtype: DType { .float64 }
}
extension Bool: TensorElement {
    /// The element type of such a tensor.
    public static var dtype: DType { .bool }
}

/// A number that can stand beside a tensor in an operation. An integer leaves an integer tensor one; a floating-point
/// number makes it float32; neither widens a floating-point tensor.
public protocol TensorScalar: Sendable {
    /// The number as an argument of an operator.
    var tensorArgument: TensorArgument { get }
}

extension Int: TensorScalar {
    /// The number as an argument of an operator.
    public var tensorArgument: TensorArgument { .int(self) }
}
extension Double: TensorScalar {
    /// The number as an argument of an operator.
    public var tensorArgument: TensorArgument { .double(self) }
}
extension Float: TensorScalar {
    /// The number as an argument of an operator.
    public var tensorArgument: TensorArgument { .double(Double(self)) }
}
