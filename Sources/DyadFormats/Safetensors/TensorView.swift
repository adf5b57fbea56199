/// A tensor of a mapped file: its description and its bytes, which stay mapped as long as the view lives.
public struct TensorView: @unchecked Sendable {
    // Unchecked: the pointer is to read-only memory that `owner` keeps mapped.

    /// The name in the file.
    public let name: String
    /// The type of the elements.
    public let type: ElementType
    /// The dimensions, outermost first; empty for a scalar.
    public let shape: [Int]
    /// The elements, row-major, little-endian. Not necessarily aligned to the element.
    public let bytes: UnsafeRawBufferPointer
    /// The file; hold it (or this view) while using ``bytes``.
    public let owner: MappedFile

    /// Describes mapped bytes; traps if they are not as many as type and shape say.
    public init(name: String, type: ElementType, shape: [Int], bytes: UnsafeRawBufferPointer, owner: MappedFile) {
        precondition(type.byteCount(of: shape) == bytes.count, "bytes do not fit type and shape")
        self.name = name
        self.type = type
        self.shape = shape
        self.bytes = bytes
        self.owner = owner
    }

    /// The number of elements.
    public var count: Int { bytes.count / type.byteCount }

    /// The elements as `Float`. Linear; allocates the result.
    /// - Throws: ``DyadError`` `unsupported` unless the type is F64, F32, F16 or BF16.
    public func floats() throws(DyadError) -> [Float] {
        guard let blockType = GGUFTensorType(type) else {
            throw DyadError(
                .unsupported, file: owner.path, subject: name, found: "elements of type \(type.rawValue)",
                expected: "F64, F32, F16 or BF16", remedy: "Convert the checkpoint to one of these types.")
        }
        let floats = [Float](unsafeUninitializedCapacity: count) { output, filled in
            blockType.dequantize(bytes, into: UnsafeMutableBufferPointer(rebasing: output[..<count]))
            filled = count
        }
        return withExtendedLifetime(owner) { floats }
    }
}
