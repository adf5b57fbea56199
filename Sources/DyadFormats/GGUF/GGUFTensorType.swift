/// The types of the elements of a GGUF tensor that Dyad reads, with the numbers that stand for them in the file.
///
/// Quantised types store a row in blocks of ``blockSize`` elements with scales of their own.
public enum GGUFTensorType: UInt32, Sendable, CaseIterable {
    /// IEEE binary32
    case f32 = 0
    /// IEEE binary16
    case f16 = 1
    /// 4 bits and a scale
    case q40 = 2
    /// 4 bits, a scale and a minimum
    case q41 = 3
    /// 5 bits and a scale
    case q50 = 6
    /// 5 bits, a scale and a minimum
    case q51 = 7
    /// 8 bits and a scale
    case q80 = 8
    /// 2 bits in a super-block of 256, scales and minima of 4 bits
    case q2K = 10
    /// 3 bits in a super-block of 256, scales of 6 bits
    case q3K = 11
    /// 4 bits in a super-block of 256, scales and minima of 6 bits
    case q4K = 12
    /// 5 bits in a super-block of 256, scales and minima of 6 bits
    case q5K = 13
    /// 6 bits in a super-block of 256, scales of 8 bits
    case q6K = 14
    /// IEEE binary64
    case f64 = 28
    /// the upper half of a binary32
    case bf16 = 30

    /// The type that stores plain elements of a safetensors type, if there is one.
    public init?(_ type: ElementType) {
        switch type {
        case .float64: self = .f64
        case .float32: self = .f32
        case .float16: self = .f16
        case .bfloat16: self = .bf16
        default: return nil
        }
    }

    /// The plain safetensors type with the same bytes; nil for a quantised type.
    public var elementType: ElementType? {
        switch self {
        case .f64: .float64
        case .f32: .float32
        case .f16: .float16
        case .bf16: .bfloat16
        default: nil
        }
    }

    /// The name that the field uses: `Q4_K`.
    public var name: String {
        switch self {
        case .f32: "F32"
        case .f16: "F16"
        case .q40: "Q4_0"
        case .q41: "Q4_1"
        case .q50: "Q5_0"
        case .q51: "Q5_1"
        case .q80: "Q8_0"
        case .q2K: "Q2_K"
        case .q3K: "Q3_K"
        case .q4K: "Q4_K"
        case .q5K: "Q5_K"
        case .q6K: "Q6_K"
        case .f64: "F64"
        case .bf16: "BF16"
        }
    }

    /// Elements a block; 1 for plain types.
    public var blockSize: Int {
        switch self {
        case .f32, .f16, .f64, .bf16: 1
        case .q40, .q41, .q50, .q51, .q80: 32
        case .q2K, .q3K, .q4K, .q5K, .q6K: 256
        }
    }

    /// Bytes a block.
    public var blockBytes: Int {
        switch self {
        case .f64: 8
        case .f32: 4
        case .f16, .bf16: 2
        case .q40: 2 + 16
        case .q41: 4 + 16
        case .q50: 2 + 4 + 16
        case .q51: 4 + 4 + 16
        case .q80: 2 + 32
        case .q2K: 16 + 64 + 4
        case .q3K: 32 + 64 + 12 + 2
        case .q4K: 4 + 12 + 128
        case .q5K: 4 + 12 + 32 + 128
        case .q6K: 128 + 64 + 16 + 2
        }
    }

    /// The bytes of a tensor; nil when the innermost dimension is no multiple of the block or the size overflows.
    func byteCount(of shape: [Int]) -> Int? {
        guard let elements = elementCount(of: shape), (shape.last ?? 1) % blockSize == 0 else { return nil }
        let (bytes, overflow) = (elements / blockSize).multipliedReportingOverflow(by: blockBytes)
        return overflow ? nil : bytes
    }
}
