/// Writes a safetensors file tensor by tensor, so that the whole never has to be in memory.
///
/// The format allows no gap between tensors. To align them nevertheless, the header is padded with spaces so that
/// the data starts at a multiple of 64, and tensors whose size is a multiple of 64 come first, then those of 32,
/// 16, ..., in the given order otherwise: each is aligned to min(64, the largest power of two in its size).
/// Equal input gives equal bytes.
public enum SafetensorsWriter {
    /// A tensor to write.
    public struct Tensor {
        /// The name, unique in the file.
        public let name: String
        /// The type of the elements.
        public let type: ElementType
        /// The dimensions, outermost first.
        public let shape: [Int]
        /// Writes exactly the tensor's bytes, row-major and little-endian.
        public let body: (FileSink) throws(DyadError) -> Void

        /// A tensor whose bytes are made when it is its turn.
        public init(
            _ name: String, _ type: ElementType, _ shape: [Int], body: @escaping (FileSink) throws(DyadError) -> Void
        ) {
            self.name = name
            self.type = type
            self.shape = shape
            self.body = body
        }

        /// A tensor whose elements are in memory, with the layout of `type` (`[Float]` for F32, `[Int8]` for I8,
        /// `[UInt8]` for packed nibbles ...).
        public init<Element: BitwiseCopyable & Sendable>(
            _ name: String, _ type: ElementType, _ shape: [Int], _ elements: [Element]
        ) {
            self.init(name, type, shape) { (sink) throws(DyadError) in try sink.write(elements) }
        }
    }

    /// Writes a file beside its target and renames it.
    /// - Parameters:
    ///   - path: the final name.
    ///   - tensors: in the order in which they should stand, alignment permitting.
    ///   - metadata: strings for the header's `__metadata__`; written sorted by key.
    /// - Throws: ``DyadError``: `cannotWrite`; `failed` when a tensor's body wrote another number of bytes than its
    ///   shape says, or a name occurs twice; whatever a body throws.
    public static func write(_ path: String, _ tensors: [Tensor], metadata: [String: String] = [:])
        throws(DyadError)
    {
        var sized: [(tensor: Tensor, bytes: Int)] = []
        for tensor in tensors {
            guard let bytes = tensor.type.byteCount(of: tensor.shape) else {
                throw failed(path, tensor.name, "shape \(tensor.shape)", "a size that fits 64 bits")
            }
            sized.append((tensor, bytes))
        }
        let ordered = sized.enumerated().sorted {
            (-alignment($0.element.bytes), $0.offset) < (-alignment($1.element.bytes), $1.offset)
        }.map { $0.element }
        let header = try header(ordered, metadata, path)
        let total = ordered.reduce(header.count) { $0 + $1.bytes }
        try AtomicFile.write(path, expectedBytes: total) { (sink) throws(DyadError) in
            try sink.write(header)
            for (tensor, bytes) in ordered {
                let before = sink.count
                try tensor.body(sink)
                guard sink.count - before == bytes else {
                    throw failed(path, tensor.name, "\(sink.count - before) bytes", "\(bytes) bytes")
                }
            }
        }
    }

    private static func alignment(_ bytes: Int) -> Int {
        bytes == 0 ? 64 : min(64, 1 << bytes.trailingZeroBitCount)
    }

    private static func header(_ tensors: [(tensor: Tensor, bytes: Int)], _ metadata: [String: String], _ path: String)
        throws(DyadError) -> [UInt8]
    {
        var header = JSONObject()
        if !metadata.isEmpty {
            let sorted = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            header.append("__metadata__", .object(JSONObject(sorted.map { ($0.key, .string($0.value)) })))
        }
        var offset = 0
        for (tensor, bytes) in tensors {
            let record: JSONValue = [
                "dtype": .string(tensor.type.rawValue), "shape": .array(tensor.shape.map { .integer($0) }),
                "data_offsets": [.integer(offset), .integer(offset + bytes)],
            ]
            guard header.append(tensor.name, record) else {
                throw failed(path, tensor.name, "the name twice", "every name once")
            }
            offset += bytes
        }
        var text = Array(JSONValue.object(header).text().utf8)
        text.append(contentsOf: repeatElement(0x20, count: -(text.count + 8) & 63))
        guard text.count <= SafetensorsFile.headerLimit else {
            throw failed(path, "header", "\(text.count) bytes", "at most \(SafetensorsFile.headerLimit)")
        }
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
    }

    private static func failed(_ path: String, _ subject: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .failed, file: path, subject: subject, found: found, expected: expected,
            remedy: "This is a mistake in the program that writes the file; please report it.")
    }
}
