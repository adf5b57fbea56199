/// The types of the elements of a tensor in a safetensors file.
public enum ElementType: String, Sendable, CaseIterable {
    /// IEEE binary64
    case float64 = "F64"
    /// IEEE binary32
    case float32 = "F32"
    /// IEEE binary16
    case float16 = "F16"
    /// the upper half of a binary32
    case bfloat16 = "BF16"
    /// 8-bit float with 4 exponent bits
    case float8E4M3 = "F8_E4M3"
    /// 8-bit float with 5 exponent bits
    case float8E5M2 = "F8_E5M2"
    /// 64-bit integer
    case int64 = "I64"
    /// 32-bit integer
    case int32 = "I32"
    /// 16-bit integer
    case int16 = "I16"
    /// 8-bit integer
    case int8 = "I8"
    /// 64-bit unsigned integer
    case uint64 = "U64"
    /// 32-bit unsigned integer
    case uint32 = "U32"
    /// 16-bit unsigned integer
    case uint16 = "U16"
    /// 8-bit unsigned integer
    case uint8 = "U8"
    /// a byte that is 0 or 1
    case bool = "BOOL"

    /// Bytes an element.
    public var byteCount: Int {
        switch self {
        case .float64, .int64, .uint64: 8
        case .float32, .int32, .uint32: 4
        case .float16, .bfloat16, .int16, .uint16: 2
        case .float8E4M3, .float8E5M2, .int8, .uint8, .bool: 1
        }
    }

    /// The bytes of a tensor of this type; nil when a dimension is negative or the product overflows.
    func byteCount(of shape: [Int]) -> Int? {
        elementCount(of: shape).flatMap {
            let (bytes, overflow) = $0.multipliedReportingOverflow(by: byteCount)
            return overflow ? nil : bytes
        }
    }
}

/// The product of the dimensions; nil when one is negative or the product overflows.
func elementCount(of shape: [Int]) -> Int? {
    var product = 1
    for dimension in shape {
        let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
        guard dimension >= 0, !overflow else { return nil }
        product = next
    }
    return product
}
