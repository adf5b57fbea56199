/// A GGUF file (version 2 or 3, little-endian), checked in full when it is opened: every value of the
/// metadata and the bytes of every tensor lie within the file. Of a model that is split into several files it is all of
/// them, opened by the first.
///
/// Format: github.com/ggml-org/ggml/blob/master/docs/gguf.md
public struct GGUFFile: Sendable {
    /// The open file; of several, the first.
    public var file: RandomAccessFile { parts[0] }
    /// The open files in order; one, unless the model is split.
    public let parts: [RandomAccessFile]
    /// The version of the format.
    public let version: Int
    /// The metadata in order.
    public let metadata: [(key: String, value: GGUFValue)]
    /// The names of the tensors in order.
    public let names: [String]
    /// Positions in ``metadata`` by key.
    private let positions: [ExactString: Int]
    private let records: [ExactString: Record]

    struct Record: Sendable {
        let type: GGUFTensorType
        /// Outermost dimension first; the file has them the other way round.
        let shape: [Int]
        let bytes: Int
        /// From the start of the data; from the start of the file once that is known.
        var offset: Int
        /// Index into ``GGUFFile/parts``.
        var part = 0
    }

    /// The most dimensions a tensor has.
    static let dimensionLimit = 4

    /// Opens and checks a file; see ``init(_:)-(RandomAccessFile)``.
    public init(path: String) throws(DyadError) {
        try self.init(try RandomAccessFile(path))
    }

    /// Checks a file, and opens and checks the others where it is the first of several. Linear in the metadata; tensors
    /// are not read.
    /// - Throws: ``DyadError``: `malformed`; `unsupported` for another version or a tensor type Dyad does not know;
    ///   `missing` or `mismatch` for a part that is not there or is another model's.
    public init(_ file: RandomAccessFile) throws(DyadError) {
        let first = try Contents(file)
        let all = [first] + (try first.furtherParts())
        parts = all.map { $0.file }
        version = first.version
        metadata = first.metadata
        positions = first.positions
        names = all.flatMap { $0.names }
        var table: [ExactString: Record] = [:]
        for (index, part) in all.enumerated() {
            for (name, record) in zip(part.names, part.records) {
                var record = record
                record.part = index
                guard table.updateValue(record, forKey: ExactString(name)) == nil else {
                    throw DyadError(
                        .malformed, file: part.file.path, subject: name, found: "the tensor's name twice",
                        expected: "every name once", remedy: "The file contradicts itself: convert the model again.")
                }
            }
        }
        records = table
    }

    /// What one file holds.
    struct Contents {
        let file: RandomAccessFile
        let version: Int
        let metadata: [(key: String, value: GGUFValue)]
        let positions: [ExactString: Int]
        let names: [String]
        let records: [Record]

        init(_ file: RandomAccessFile) throws(DyadError) {
            self.file = file
            var cursor = try GGUFCursor(file)
            version = try GGUFFile.version(&cursor)
            let tensorCount = try cursor.count(subject: "tensor count")
            let valueCount = try cursor.count(subject: "metadata count")
            var metadata: [(key: String, value: GGUFValue)] = []
            var positions: [ExactString: Int] = [:]
            for index in 0..<valueCount {
                let key = try cursor.name(subject: "metadata key \(index)")
                let value = try cursor.value(try cursor.valueType(subject: key), subject: key)
                guard positions.updateValue(index, forKey: ExactString(key)) == nil else {
                    throw cursor.failure(key, "the key twice", "every key once")
                }
                metadata.append((key, value))
            }
            var (names, records): ([String], [Record]) = ([], [])
            for index in 0..<tensorCount {
                let name = try cursor.name(subject: "name of tensor \(index)")
                names.append(name)
                records.append(try GGUFFile.record(&cursor, name))
            }
            let alignment = try GGUFFile.alignment(
                positions[ExactString("general.alignment")].map { metadata[$0].value }, cursor)
            try GGUFFile.place(&records, names, after: cursor, alignment: alignment)
            (self.metadata, self.positions, self.names, self.records) = (metadata, positions, names, records)
        }

        /// The value of a key, if it is there. Constant time.
        func value(_ key: String) -> GGUFValue? { positions[ExactString(key)].map { metadata[$0].value } }
    }

    private static func version(_ cursor: inout GGUFCursor) throws(DyadError) -> Int {
        let magic = try cursor.number(UInt32.self, subject: "magic")
        guard magic == 0x4655_4747 else { throw cursor.failure("magic", "another file type", "\"GGUF\"") }
        let version = try cursor.number(UInt32.self, subject: "version")
        guard version == 2 || version == 3 else {
            let found = (version.byteSwapped <= 3 ? "a big-endian file" : "version \(version)")
            throw cursor.failure("version", found, "version 2 or 3, little-endian", .unsupported)
        }
        return Int(version)
    }

    private static func alignment(_ value: GGUFValue?, _ cursor: GGUFCursor) throws(DyadError) -> Int {
        guard let value else { return 32 }
        guard let alignment = value.integer, alignment > 0, alignment <= 1 << 20, alignment.nonzeroBitCount == 1 else {
            throw cursor.failure(
                "general.alignment", value.integer.map { "\($0)" } ?? "\(value.type)", "a power of two up to 2^20")
        }
        return alignment
    }

    private static func record(_ cursor: inout GGUFCursor, _ name: String) throws(DyadError) -> Record {
        let dimensions = try cursor.number(UInt32.self, subject: name)
        guard dimensions <= dimensionLimit else {
            throw cursor.failure(name, "\(dimensions) dimensions", "at most \(dimensionLimit)")
        }
        var shape: [Int] = []
        for _ in 0..<dimensions {
            let dimension = try cursor.number(UInt64.self, subject: name)
            guard let dimension = Int(exactly: dimension) else {
                throw cursor.failure(name, "the dimension \(dimension)", "one below 2^63")
            }
            shape.insert(dimension, at: 0)
        }
        let code = try cursor.number(UInt32.self, subject: name)
        guard let type = GGUFTensorType(rawValue: code) else {
            let known = GGUFTensorType.allCases.map { $0.name }.joined(separator: " ")
            throw cursor.failure(name, "the tensor type \(code)", "one of " + known, .unsupported)
        }
        guard let bytes = type.byteCount(of: shape) else {
            let expected = "whole blocks of \(type.blockSize) and a size that fits 63 bits"
            throw cursor.failure(name, "\(type.name) of shape \(shape)", expected)
        }
        let offset = try cursor.number(UInt64.self, subject: name)
        guard let offset = Int(exactly: offset) else {
            throw cursor.failure(name, "the offset \(offset)", "one below 2^63")
        }
        return Record(type: type, shape: shape, bytes: bytes, offset: offset)
    }

    /// Moves offsets to the start of the file and checks alignment, bounds and overlap.
    private static func place(
        _ records: inout [Record], _ names: [String], after cursor: GGUFCursor, alignment: Int
    ) throws(DyadError) {
        let start = (cursor.position + alignment - 1) & -alignment
        for index in records.indices {
            let record = records[index]
            guard record.offset % alignment == 0 else {
                throw cursor.failure(names[index], "the offset \(record.offset)", "a multiple of \(alignment)")
            }
            let (begin, first) = record.offset.addingReportingOverflow(start)
            let (end, second) = begin.addingReportingOverflow(record.bytes)
            guard !first, !second, end <= cursor.file.count else {
                throw cursor.failure(
                    names[index], "\(record.bytes) bytes of data at offset \(record.offset)",
                    "them within the \(max(0, cursor.file.count - start)) bytes of data",
                    remedy: "The file is incomplete: download or convert it again.")
            }
            records[index].offset = begin
        }
        var position = start
        let ordered = records.indices.filter { records[$0].bytes > 0 }.sorted {
            records[$0].offset < records[$1].offset
        }
        for index in ordered {
            guard records[index].offset >= position else {
                throw cursor.failure(names[index], "data that overlaps another tensor's", "data of its own")
            }
            position = records[index].offset + records[index].bytes
        }
    }
}

extension GGUFFile {
    /// The value of a key, if it is there. Constant time.
    public func value(_ key: String) -> GGUFValue? { positions[ExactString(key)].map { metadata[$0].value } }

    /// The integer of a key, nil if it is not there. Throws `malformed` if it is no integer in `range`.
    public func integer(_ key: String, in range: ClosedRange<Int> = Int.min...Int.max) throws(DyadError) -> Int? {
        guard let value = value(key) else { return nil }
        guard let integer = value.integer, range.contains(integer) else {
            let bounds = range == Int.min...Int.max ? "" : " from \(range.lowerBound) to \(range.upperBound)"
            throw wrong(key, value, "an integer" + bounds)
        }
        return integer
    }

    /// The number of a key, nil if it is not there. Throws `malformed` if it is no finite number.
    public func double(_ key: String) throws(DyadError) -> Double? {
        guard let value = value(key) else { return nil }
        guard let double = value.double, double.isFinite else { throw wrong(key, value, "a finite number") }
        return double
    }

    /// The text of a key, nil if it is not there. Throws `malformed` if it is no text.
    public func string(_ key: String) throws(DyadError) -> String? {
        guard let value = value(key) else { return nil }
        guard let string = value.string else { throw wrong(key, value, "text") }
        return string
    }

    /// The Boolean of a key, nil if it is not there. Throws `malformed` if it is none.
    public func bool(_ key: String) throws(DyadError) -> Bool? {
        guard let value = value(key) else { return nil }
        guard let bool = value.bool else { throw wrong(key, value, "a Boolean") }
        return bool
    }

    /// The array of a key, nil if it is not there. Throws `malformed` if it is none.
    public func array(_ key: String) throws(DyadError) -> GGUFArray? {
        guard let value = value(key) else { return nil }
        guard let array = value.array else { throw wrong(key, value, "an array") }
        return array
    }

    private func wrong(_ key: String, _ value: GGUFValue, _ expected: String) -> DyadError {
        let number = value.double.map { " \($0)" } ?? ""
        return DyadError(
            .malformed, file: file.path, subject: key, found: "\(value.type)\(number)", expected: expected,
            remedy: "Convert the model again.")
    }

    /// Whether there is a tensor of this name.
    public func contains(_ name: String) -> Bool { records[ExactString(name)] != nil }

    /// The file that a tensor is in; of one that is not there, the first. Constant time.
    public func path(of name: String) -> String { parts[records[ExactString(name)]?.part ?? 0].path }

    /// A tensor. Constant time.
    /// - Throws: ``DyadError`` `malformed` when there is none of this name.
    public func tensor(_ name: String) throws(DyadError) -> GGUFTensor {
        guard let record = records[ExactString(name)] else {
            throw DyadError(
                .malformed, file: file.path, subject: name, found: "no tensor of this name",
                expected: "one among the \(names.count) of the file", remedy: "Check that the file is complete.")
        }
        return GGUFTensor(
            name: name, type: record.type, shape: record.shape, file: parts[record.part],
            range: record.offset..<record.offset + record.bytes)
    }
}

/// A tensor of a GGUF file: its description and where its bytes are. Nothing is read before it is asked for.
public struct GGUFTensor: Sendable {
    /// The name in the file.
    public let name: String
    /// The type of the elements.
    public let type: GGUFTensorType
    /// The dimensions, outermost first (the file has them the other way round).
    public let shape: [Int]
    /// The file.
    public let file: RandomAccessFile
    /// Where the blocks are in it, row-major.
    public let range: Range<Int>

    /// The number of elements.
    public var count: Int { range.count / type.blockBytes * type.blockSize }

    /// A copy of the blocks as they are stored. Linear; allocates it.
    /// - Throws: ``DyadError`` `failed` when the file shrank or changed, cannot be read, or there is no memory.
    public func bytes() throws(DyadError) -> FileBytes { try file.bytes(range) }

    /// The elements as `Float`, row-major. Linear; allocates the result.
    /// - Throws: as ``bytes()``.
    public func floats() throws(DyadError) -> [Float] { try type.floats(of: file, range, count: count) }
}
