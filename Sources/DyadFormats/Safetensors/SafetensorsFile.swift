/// A safetensors file, checked in full when it is opened: header within bounds, every tensor's bytes as many as its
/// shape says, no gap, no overlap, nothing after the last one.
///
/// Format: 8 bytes little-endian header length, the header as a JSON object, the data
/// (github.com/huggingface/safetensors).
public struct SafetensorsFile: Sendable {
    /// The largest header that is read, in bytes; the same limit as the reference implementation's.
    public static let headerLimit = 100_000_000

    /// The memory that a header, the descriptions of its tensors and its metadata may take together, in bytes: enough for 300,000 tensors
    /// with names of 60 bytes, or the tokenizer of a vocabulary of 262,144 tokens.
    static let memoryLimit = 160 << 20
    /// The most tensors of a file: each costs a few microseconds, and models have hundreds or thousands.
    static let tensorLimit = 327_680
    /// The most dimensions a tensor has; the same limit as PyTorch's.
    static let dimensionLimit = 64
    /// The most entries of `__metadata__`, and the most bytes of their keys, which Swift compares slowly where they are not ASCII.
    static let metadataLimit = 65536
    static let metadataKeyLimit = 4 << 20

    /// The open file.
    public let file: RandomAccessFile
    /// The names of the tensors in the order of their data.
    public let names: [String]
    /// The `__metadata__` of the header; empty when there is none.
    public let metadata: [String: String]
    private let records: [ExactString: Record]

    struct Record: Sendable {
        let type: ElementType
        let shape: [Int]
        /// Offsets from the start of the file.
        let range: Range<Int>
        /// How many stand before it in the header.
        let number: Int
        /// By what tensors are ordered.
        var place: (Int, Int, Int) { (range.lowerBound, range.upperBound, number) }
    }

    // What a tensor and an entry of the metadata take beside their text, with the room that growing tables leave.
    private static let recordBytes = 256
    private static let entryBytes = 160

    /// Opens and checks a file; see ``init(_:)-(RandomAccessFile)``.
    public init(path: String) throws(DyadError) {
        try self.init(try RandomAccessFile(path))
    }

    /// Checks a file. Linear in the header; the data is not read.
    /// - Throws: ``DyadError``: `missing`, `malformed`, or `unsupported` for an element type Dyad does not know.
    public init(_ file: RandomAccessFile) throws(DyadError) {
        self.file = file
        let dataStart = try Self.dataStart(of: file)
        var metadata: [String: String] = [:]
        var keyBytes = 0
        var records: [ExactString: Record] = [:]
        let text = try file.bytes(8..<dataStart)
        // Member by member: the whole header as JSON values would take many times its bytes.
        try JSONValue.parseMembers(
            of: text.bytes, file: file.path, subject: "header", budget: Self.memoryLimit - text.count,
            group: "__metadata__"
        ) { (group, name, field) throws(DyadError) in
            guard group == nil else {
                let value = try field.string()
                keyBytes += name.utf8.count
                guard metadata.count < Self.metadataLimit, keyBytes <= Self.metadataKeyLimit else {
                    throw DyadError(
                        .unsupported, file: file.path, subject: "__metadata__",
                        found: "more than \(metadata.count) entries, \(keyBytes) bytes of keys",
                        expected: "at most \(Self.metadataLimit) entries and \(Self.metadataKeyLimit) bytes of keys",
                        remedy: "Write the file with less metadata.")
                }
                guard metadata.updateValue(value, forKey: name) == nil else { return nil }
                return Self.entryBytes + value.utf8.count
            }
            guard records.count < Self.tensorLimit else {
                throw DyadError(
                    .unsupported, file: file.path, subject: "header", found: "more than \(records.count) tensors",
                    expected: "at most \(Self.tensorLimit)", remedy: "Write the tensors into several files.")
            }
            let record = try Self.record(
                name, field, number: records.count, dataStart: dataStart, fileSize: file.count)
            guard records.updateValue(record, forKey: ExactString(name)) == nil else { return nil }
            return Self.recordBytes + 8 * record.shape.count
        }
        withExtendedLifetime(text) {}
        // An empty tensor shares its offset with the next one, and empty ones with each other: they stay as the header has them.
        let ordered = records.sorted { $0.value.place < $1.value.place }
        try Self.checkContiguous(ordered, from: dataStart, to: file.count, file: file.path)
        self.metadata = metadata
        self.names = ordered.map { $0.key.string }
        self.records = records
    }

    /// Whether there is a tensor of this name.
    public func contains(_ name: String) -> Bool { records[ExactString(name)] != nil }

    /// A tensor. Constant time.
    /// - Throws: ``DyadError`` `malformed` when there is none of this name.
    public func tensor(_ name: String) throws(DyadError) -> TensorView {
        guard let record = records[ExactString(name)] else {
            throw DyadError(
                .malformed, file: file.path, subject: name, found: "no tensor of this name",
                expected: "one among the \(names.count) of the file", remedy: "Check that the file is complete.")
        }
        return TensorView(name: name, type: record.type, shape: record.shape, file: file, range: record.range)
    }

    private static func dataStart(of file: RandomAccessFile) throws(DyadError) -> Int {
        func failure(_ found: String, _ expected: String, _ remedy: String) -> DyadError {
            DyadError(
                .malformed, file: file.path, subject: "header length", found: found, expected: expected,
                remedy: remedy)
        }
        guard file.count >= 8 else { throw failure("a file of \(file.count) bytes", "at least 8", truncated) }
        let first = try file.bytes(0..<8)
        let length = withExtendedLifetime(first) { UInt64(littleEndian: first.bytes.loadUnaligned(as: UInt64.self)) }
        guard length <= headerLimit else {
            throw failure("\(length) bytes", "at most \(headerLimit)", "Check that this is a safetensors file.")
        }
        guard Int(length) <= file.count - 8 else {
            throw failure("\(length) bytes", "at most the file's \(file.count - 8)", truncated)
        }
        return 8 + Int(length)
    }

    private static func record(_ name: String, _ field: JSONField, number: Int, dataStart: Int, fileSize: Int)
        throws(DyadError) -> Record
    {
        let typeField = try field.member("dtype")
        let typeName = try typeField.string()
        guard let type = ElementType(rawValue: typeName) else {
            throw typeField.failure(
                .unsupported, found: "\"\(typeName)\"",
                expected: "one of " + ElementType.allCases.map { $0.rawValue }.joined(separator: " "),
                remedy: "Convert the file to one of these types.")
        }
        var shape: [Int] = []
        let dimensions = try field.member("shape").elements()
        guard dimensions.count <= dimensionLimit else {
            throw malformed(field.file, name, "\(dimensions.count) dimensions", "at most \(dimensionLimit)")
        }
        shape.reserveCapacity(dimensions.count)
        for dimension in dimensions { shape.append(try dimension.integer(in: 0...Int.max)) }
        let offsetsField = try field.member("data_offsets")
        let offsets = try offsetsField.elements()
        guard offsets.count == 2 else {
            throw offsetsField.failure(.malformed, found: "\(offsets.count) numbers", expected: "begin and end")
        }
        let begin = try offsets[0].integer(in: 0...Int.max)
        let end = try offsets[1].integer(in: 0...Int.max)
        guard begin <= end else {
            throw offsetsField.failure(.malformed, found: "[\(begin), \(end)]", expected: "begin before end")
        }
        guard end <= fileSize - dataStart else {
            throw offsets[1].failure(
                .malformed, found: "\(end)", expected: "an end within the \(fileSize - dataStart) bytes of data",
                remedy: truncated)
        }
        guard let byteCount = type.byteCount(of: shape), byteCount == end - begin else {
            let expected = type.byteCount(of: shape).map { "\($0) bytes" } ?? "a product that does not overflow"
            throw malformed(
                field.file, name, "\(end - begin) bytes of data", "\(expected) for \(typeName) of shape \(shape)")
        }
        return Record(type: type, shape: shape, range: dataStart + begin..<dataStart + end, number: number)
    }

    private static func checkContiguous(
        _ records: [(key: ExactString, value: Record)], from start: Int, to end: Int, file: String
    ) throws(DyadError) {
        var position = start
        for (name, record) in records {
            guard record.range.lowerBound == position else {
                throw malformed(
                    file, name.string, "data from byte \(record.range.lowerBound)",
                    "it at byte \(position), where the tensor before ends")
            }
            position = record.range.upperBound
        }
        guard position == end else {
            throw malformed(file, "data", "\(end - position) bytes after the last tensor", "none")
        }
    }

    private static let truncated = "The file is incomplete: write or download it again."

    private static func malformed(_ file: String?, _ subject: String, _ found: String, _ expected: String) -> DyadError
    {
        DyadError(
            .malformed, file: file, subject: subject, found: found, expected: expected,
            remedy: "The header contradicts itself or the data: write the file again.")
    }
}
