/// Writes GGUF files, version 3, tensor by tensor.
public enum GGUFWriter {
    /// A tensor to write.
    public struct Tensor {
        /// The name, unique in the file.
        public let name: String
        /// The type of the elements.
        public let type: GGUFTensorType
        /// The dimensions, outermost first.
        public let shape: [Int]
        /// Writes exactly the tensor's blocks, row-major.
        public let body: (FileSink) throws(DyadError) -> Void

        /// A tensor whose bytes are made when it is its turn.
        public init(
            _ name: String, _ type: GGUFTensorType, _ shape: [Int],
            body: @escaping (FileSink) throws(DyadError) -> Void
        ) {
            self.name = name
            self.type = type
            self.shape = shape
            self.body = body
        }

        /// A tensor whose blocks (or plain elements) are in memory.
        public init<Element: BitwiseCopyable & Sendable>(
            _ name: String, _ type: GGUFTensorType, _ shape: [Int], _ elements: [Element]
        ) {
            self.init(name, type, shape) { (sink) throws(DyadError) in try sink.write(elements) }
        }
    }

    /// The alignment of the data, GGUF's default.
    static let alignment = 32

    /// Writes a file beside its target and renames it. Equal input gives equal bytes.
    /// - Throws: ``DyadError``: `cannotWrite`; `failed` when a tensor's body wrote another number of bytes than its
    ///   shape says or the shape does not consist of whole blocks; whatever a body throws.
    public static func write(_ path: String, metadata: [(key: String, value: GGUFValue)], tensors: [Tensor])
        throws(DyadError)
    {
        var header: [UInt8] = Array("GGUF".utf8)
        append(UInt32(3), to: &header)
        append(UInt64(tensors.count), to: &header)
        append(UInt64(metadata.count), to: &header)
        for (key, value) in metadata {
            append(key, to: &header)
            append(value.type.rawValue, to: &header)
            try append(value, to: &header)
        }
        var offset = 0
        var sizes: [Int] = []
        for tensor in tensors {
            guard let bytes = tensor.type.byteCount(of: tensor.shape) else {
                throw failed(path, tensor.name, "shape \(tensor.shape)", "whole blocks of \(tensor.type.name)")
            }
            append(tensor.name, to: &header)
            append(UInt32(tensor.shape.count), to: &header)
            for dimension in tensor.shape.reversed() { append(UInt64(dimension), to: &header) }
            append(tensor.type.rawValue, to: &header)
            append(UInt64(offset), to: &header)
            sizes.append(bytes)
            offset += aligned(bytes)
        }
        header.append(contentsOf: repeatElement(0, count: aligned(header.count) - header.count))
        try AtomicFile.write(path, expectedBytes: header.count + offset) { (sink) throws(DyadError) in
            try sink.write(header)
            for (tensor, bytes) in zip(tensors, sizes) {
                let before = sink.count
                try tensor.body(sink)
                guard sink.count - before == bytes else {
                    throw failed(path, tensor.name, "\(sink.count - before) bytes", "\(bytes) bytes")
                }
                try sink.writeZeros(aligned(bytes) - bytes)
            }
        }
    }

    private static func aligned(_ bytes: Int) -> Int { (bytes + alignment - 1) & -alignment }

    private static func failed(_ path: String, _ subject: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .failed, file: path, subject: subject, found: found, expected: expected,
            remedy: "This is a mistake in the program that writes the file; please report it.")
    }

    private static func append<Number: BitwiseCopyable>(_ number: Number, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: number) { bytes.append(contentsOf: $0) }
    }

    static func append(_ string: String, to bytes: inout [UInt8]) {
        append(UInt64(string.utf8.count), to: &bytes)
        bytes.append(contentsOf: string.utf8)
    }

    private static func append(_ value: GGUFValue, to bytes: inout [UInt8]) throws(DyadError) {
        switch value {
        case .uint8(let number): append(number, to: &bytes)
        case .int8(let number): append(number, to: &bytes)
        case .uint16(let number): append(number, to: &bytes)
        case .int16(let number): append(number, to: &bytes)
        case .uint32(let number): append(number, to: &bytes)
        case .int32(let number): append(number, to: &bytes)
        case .float32(let number): append(number, to: &bytes)
        case .uint64(let number): append(number, to: &bytes)
        case .int64(let number): append(number, to: &bytes)
        case .float64(let number): append(number, to: &bytes)
        case .bool(let flag): bytes.append(flag ? 1 : 0)
        case .string(let text): append(text, to: &bytes)
        case .array(let array):
            append(array.elementType.rawValue, to: &bytes)
            append(UInt64(array.count), to: &bytes)
            let elements = try array.bytes()
            withExtendedLifetime(elements) { bytes.append(contentsOf: elements.bytes) }
        }
    }
}
