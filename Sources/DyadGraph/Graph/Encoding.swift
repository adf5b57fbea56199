/// The integer types of the program.
public enum IntegerType: String, Codable, CaseIterable, Sendable {
    /// Weights only, in [−7, 7]; packed two a byte, low nibble first.
    case i4
    case u8
    case i8
    case u16
    case i16
    case i32
    /// The prefix columns' attention weights (``Operation/Exponential``).
    case u32

    /// Bits of one stored element.
    public var bitWidth: Int {
        switch self {
        case .i4: 4
        case .u8, .i8: 8
        case .u16, .i16: 16
        case .i32, .u32: 32
        }
    }

    /// The smallest and largest value an element may have.
    public var range: ClosedRange<Int64> {
        switch self {
        case .i4: -7...7
        case .u8: 0...255
        case .i8: -128...127
        case .u16: 0...65535
        case .i16: -32768...32767
        case .i32: Int64(Int32.min)...Int64(Int32.max)
        case .u32: 0...Int64(UInt32.max)
        }
    }
}

/// How the integers of a tensor stand for real numbers: `real = scale · (q − zeroPoint)`.
///
/// The one source for the simulator, the reference, the runtime and the exporters.
public struct Encoding: Equatable, Hashable, Sendable {
    /// The step, finite and positive; its exact bits are what counts.
    public var scale: Float
    /// The integer that stands for zero, inside the type's range.
    public var zeroPoint: Int32

    /// Creates an encoding.
    public init(scale: Float, zeroPoint: Int32) {
        self.scale = scale
        self.zeroPoint = zeroPoint
    }
}

/// One extent of a tensor's shape: fixed, or one of the two symbols of a decoder step.
public enum Dimension: Equatable, Hashable, Sendable {
    case fixed(Int)
    /// The number of tokens of this step (prefill chunk, or 1).
    case tokens
    /// Prefix + tokens already in the cache + tokens of this step.
    case context
}

/// The position of a tensor in ``IntegerGraph/tensors``.
public typealias TensorID = Int

/// A value that flows between operations.
public struct GraphTensor: Equatable, Sendable {
    /// Where it comes from, for example `layers.3.mlp.down_proj.output`.
    public var name: String
    /// Row-major extents.
    public var shape: [Dimension]
    /// The integer type.
    public var type: IntegerType
    /// The encoding; every tensor has one.
    public var encoding: Encoding

    /// Creates a tensor's description.
    public init(name: String, shape: [Dimension], type: IntegerType, encoding: Encoding) {
        self.name = name
        self.shape = shape
        self.type = type
        self.encoding = encoding
    }
}

/// A packed constant of the file: a weight, a bias, a table, scales.
public struct GraphConstant: Equatable, Sendable {
    /// The name under which its bytes stand in the file.
    public var name: String
    /// Row-major extents in elements (not bytes).
    public var shape: [Int]
    /// The element type; `nil` for float32 scales.
    public var type: IntegerType?

    /// Creates a constant's description.
    public init(name: String, shape: [Int], type: IntegerType?) {
        self.name = name
        self.shape = shape
        self.type = type
    }

    /// Bytes of the packed data; `nil` where that overflows or an extent is negative.
    public var byteCount: Int? {
        var bits = type?.bitWidth ?? 32
        for extent in shape {
            let (product, overflow) = bits.multipliedReportingOverflow(by: extent)
            guard !overflow, extent >= 0 else { return nil }
            bits = product
        }
        return bits > Int.max - 7 ? nil : (bits + 7) / 8
    }
}
