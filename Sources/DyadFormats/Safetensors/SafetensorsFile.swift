/// A memory-mapped safetensors file, checked in full when it is opened: header within bounds, every tensor's bytes
/// as many as its shape says, no gap, no overlap, nothing after the last one.
///
/// Format: 8 bytes little-endian header length, the header as a JSON object, the data
/// (github.com/huggingface/safetensors).
public struct SafetensorsFile: Sendable {
    /// The largest header that is read, in bytes; the same limit as the reference implementation's.
    public static let headerLimit = 100_000_000

    /// The mapped file.
    public let mapped: MappedFile
    /// The names of the tensors in the order of their data.
    public let names: [String]
    /// The `__metadata__` of the header; empty when there is none.
    public let metadata: [String: String]
    private let records: [ExactString: Record]

    struct Record: Sendable {
        let name: String
        let type: ElementType
        let shape: [Int]
        /// Offsets from the start of the file.
        let range: Range<Int>
    }

    /// Maps and checks a file; see ``init(_:)-(MappedFile)``.
    public init(path: String) throws(DyadError) {
        try self.init(try MappedFile(path))
    }

    /// Checks a mapped file. Linear in the header; the data is not touched.
    /// - Throws: ``DyadError``: `missing`, `malformed`, or `unsupported` for an element type Dyad does not know.
    public init(_ mapped: MappedFile) throws(DyadError) {
        self.mapped = mapped
        let header = try Self.header(of: mapped)
        var metadata: [String: String] = [:]
        var records: [Record] = []
        records.reserveCapacity(header.end / 64)
        for (name, field) in try JSONField(header.json, file: mapped.path).members() {
            if name == "__metadata__" {
                for (key, value) in try field.members() { metadata[key] = try value.string() }
            } else {
                records.append(try Self.record(name, field, dataStart: header.end, fileSize: mapped.count))
            }
        }
        // A stable order: empty tensors share their offset with the next one.
        let ordered = records.enumerated().sorted {
            ($0.element.range.lowerBound, $0.element.range.upperBound, $0.offset)
                < ($1.element.range.lowerBound, $1.element.range.upperBound, $1.offset)
        }.map { $0.element }
        try Self.checkContiguous(ordered, from: header.end, to: mapped.count, file: mapped.path)
        self.metadata = metadata
        self.names = ordered.map { $0.name }
        self.records = Dictionary(ordered.map { (ExactString($0.name), $0) }) { first, _ in first }
    }

    /// Whether there is a tensor of this name.
    public func contains(_ name: String) -> Bool { records[ExactString(name)] != nil }

    /// A tensor. Constant time.
    /// - Throws: ``DyadError`` `malformed` when there is none of this name.
    public func tensor(_ name: String) throws(DyadError) -> TensorView {
        guard let record = records[ExactString(name)] else {
            throw DyadError(
                .malformed, file: mapped.path, subject: name, found: "no tensor of this name",
                expected: "one among the \(names.count) of the file", remedy: "Check that the file is complete.")
        }
        return TensorView(
            name: record.name, type: record.type, shape: record.shape,
            bytes: UnsafeRawBufferPointer(rebasing: mapped.bytes[record.range]), owner: mapped)
    }

    private static func header(of mapped: MappedFile) throws(DyadError) -> (json: JSONValue, end: Int) {
        func failure(_ found: String, _ expected: String) -> DyadError {
            malformed(mapped.path, "header length", found, expected)
        }
        guard mapped.count >= 8 else { throw failure("a file of \(mapped.count) bytes", "at least 8") }
        let length = UInt64(littleEndian: mapped.bytes.loadUnaligned(as: UInt64.self))
        guard length <= headerLimit else { throw failure("\(length) bytes", "at most \(headerLimit)") }
        let end = 8 + Int(length)
        guard end <= mapped.count else { throw failure("\(length) bytes", "at most the file's \(mapped.count - 8)") }
        let text = UnsafeRawBufferPointer(rebasing: mapped.bytes[8..<end])
        return (try JSONValue.parse(text, file: mapped.path, subject: "header"), end)
    }

    private static func record(_ name: String, _ field: JSONField, dataStart: Int, fileSize: Int)
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
        for dimension in try field.member("shape").elements() { shape.append(try dimension.integer(in: 0...Int.max)) }
        let offsetsField = try field.member("data_offsets")
        let offsets = try offsetsField.elements()
        guard offsets.count == 2 else {
            throw offsetsField.failure(.malformed, found: "\(offsets.count) numbers", expected: "begin and end")
        }
        let limit = fileSize - dataStart
        let begin = try offsets[0].integer(in: 0...limit)
        let end = try offsets[1].integer(in: 0...limit)
        guard begin <= end else {
            throw offsetsField.failure(.malformed, found: "[\(begin), \(end)]", expected: "begin before end")
        }
        guard let byteCount = type.byteCount(of: shape), byteCount == end - begin else {
            let expected = type.byteCount(of: shape).map { "\($0) bytes" } ?? "a product that does not overflow"
            throw malformed(
                field.file, name, "\(end - begin) bytes of data", "\(expected) for \(typeName) of shape \(shape)")
        }
        return Record(name: name, type: type, shape: shape, range: dataStart + begin..<dataStart + end)
    }

    private static func checkContiguous(_ records: [Record], from start: Int, to end: Int, file: String)
        throws(DyadError)
    {
        var position = start
        for record in records {
            guard record.range.lowerBound == position else {
                throw malformed(
                    file, record.name, "data from byte \(record.range.lowerBound)",
                    "it at byte \(position), where the tensor before ends")
            }
            position = record.range.upperBound
        }
        guard position == end else {
            throw malformed(file, "data", "\(end - position) bytes after the last tensor", "none")
        }
    }

    private static func malformed(_ file: String?, _ subject: String, _ found: String, _ expected: String) -> DyadError
    {
        DyadError(
            .malformed, file: file, subject: subject, found: found, expected: expected,
            remedy: "The file is damaged or incomplete: write or download it again.")
    }
}
