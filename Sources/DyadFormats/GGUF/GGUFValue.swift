/// A value of a GGUF file's metadata, with the type it has in the file.
public enum GGUFValue: Sendable {
    /// 8-bit unsigned integer
    case uint8(UInt8)
    /// 8-bit integer
    case int8(Int8)
    /// 16-bit unsigned integer
    case uint16(UInt16)
    /// 16-bit integer
    case int16(Int16)
    /// 32-bit unsigned integer
    case uint32(UInt32)
    /// 32-bit integer
    case int32(Int32)
    /// binary32
    case float32(Float)
    /// a byte that is 0 or 1
    case bool(Bool)
    /// UTF-8 text
    case string(String)
    /// elements of one type
    case array(GGUFArray)
    /// 64-bit unsigned integer
    case uint64(UInt64)
    /// 64-bit integer
    case int64(Int64)
    /// binary64
    case float64(Double)

    /// The value of any integer that fits `Int`.
    public var integer: Int? {
        switch self {
        case .uint8(let value): Int(value)
        case .int8(let value): Int(value)
        case .uint16(let value): Int(value)
        case .int16(let value): Int(value)
        case .uint32(let value): Int(value)
        case .int32(let value): Int(value)
        case .uint64(let value): Int(exactly: value)
        case .int64(let value): Int(exactly: value)
        default: nil
        }
    }

    /// The value of any number.
    public var double: Double? {
        switch self {
        case .float32(let value): Double(value)
        case .float64(let value): value
        default: integer.map(Double.init)
        }
    }

    /// The value as text, if it is text.
    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The value as a Boolean, if it is one.
    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The array, if it is one.
    public var array: GGUFArray? {
        if case .array(let value) = self { value } else { nil }
    }

    /// The type.
    public var type: GGUFValueType {
        switch self {
        case .uint8: .uint8
        case .int8: .int8
        case .uint16: .uint16
        case .int16: .int16
        case .uint32: .uint32
        case .int32: .int32
        case .float32: .float32
        case .bool: .bool
        case .string: .string
        case .array: .array
        case .uint64: .uint64
        case .int64: .int64
        case .float64: .float64
        }
    }
}

/// The types of metadata values, with the numbers that stand for them in the file.
public enum GGUFValueType: UInt32, Sendable, CaseIterable {
    /// 8-bit unsigned integer
    case uint8
    /// 8-bit integer
    case int8
    /// 16-bit unsigned integer
    case uint16
    /// 16-bit integer
    case int16
    /// 32-bit unsigned integer
    case uint32
    /// 32-bit integer
    case int32
    /// binary32
    case float32
    /// a byte that is 0 or 1
    case bool
    /// a 64-bit length and UTF-8 text
    case string
    /// an element type, a 64-bit count and the elements
    case array
    /// 64-bit unsigned integer
    case uint64
    /// 64-bit integer
    case int64
    /// binary64
    case float64

    /// The bytes of a value; nil where they vary.
    var byteCount: Int? {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .string, .array: nil
        }
    }
}
