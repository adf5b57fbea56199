/// An array of a GGUF file's metadata. Its extent was checked when the file was opened; the elements are decoded
/// when they are asked for, so that an array nobody needs costs nothing.
public struct GGUFArray: Sendable {
    /// The type of the elements.
    public let elementType: GGUFValueType
    /// The number of elements.
    public let count: Int
    private let storage: Storage

    /// Where the elements are, behind one reference so that a ``GGUFValue`` stays small.
    private final class Storage: Sendable {
        let file: RandomAccessFile
        let range: Range<Int>
        let subject: String

        init(_ file: RandomAccessFile, _ range: Range<Int>, _ subject: String) {
            (self.file, self.range, self.subject) = (file, range, subject)
        }
    }

    init(_ elementType: GGUFValueType, count: Int, in file: RandomAccessFile, _ range: Range<Int>, subject: String) {
        self.elementType = elementType
        self.count = count
        storage = Storage(file, range, subject)
    }

    private init(_ elementType: GGUFValueType, count: Int, _ bytes: [UInt8]) throws(DyadError) {
        let file = try RandomAccessFile(path: "an array in memory", bytes: bytes)
        self.init(elementType, count: count, in: file, 0..<bytes.count, subject: "array")
    }

    /// An array of strings, for writing. Throws `failed` without memory.
    public init(strings: [String]) throws(DyadError) {
        var bytes: [UInt8] = []
        for string in strings { GGUFWriter.append(string, to: &bytes) }
        try self.init(.string, count: strings.count, bytes)
    }

    /// An array of 32-bit integers, for writing. Throws `failed` without memory.
    public init(int32 values: [Int32]) throws(DyadError) {
        try self.init(.int32, count: values.count, values.withUnsafeBytes { Array($0) })
    }

    /// An array of binary32 numbers, for writing. Throws `failed` without memory.
    public init(float32 values: [Float]) throws(DyadError) {
        try self.init(.float32, count: values.count, values.withUnsafeBytes { Array($0) })
    }

    /// Decodes the elements. Linear.
    /// - Throws: ``DyadError`` `malformed` for a string that is not UTF-8.
    public func values() throws(DyadError) -> [GGUFValue] {
        try read { (cursor, subject) throws(DyadError) in
            var values: [GGUFValue] = []
            values.reserveCapacity(count)  // At most elementLimit, each with a byte in the file.
            for _ in 0..<count { values.append(try cursor.value(elementType, subject: subject)) }
            return values
        }
    }

    /// Decodes an array of strings. Linear.
    /// - Throws: ``DyadError`` `malformed` if the elements are no strings or not UTF-8.
    public func strings() throws(DyadError) -> [String] {
        guard elementType == .string else { throw wrongType("strings") }
        return try read { (cursor, subject) throws(DyadError) in
            var strings: [String] = []
            strings.reserveCapacity(count)
            for _ in 0..<count { strings.append(try cursor.string(subject: subject)) }
            return strings
        }
    }

    /// Decodes an array of integers of any type. Linear.
    /// - Throws: ``DyadError`` `malformed` if an element is none or does not fit `Int`.
    public func integers() throws(DyadError) -> [Int] {
        try read { (cursor, subject) throws(DyadError) in
            var integers: [Int] = []
            integers.reserveCapacity(count)
            for _ in 0..<count {
                guard let integer = try cursor.value(elementType, subject: subject).integer else {
                    throw wrongType("integers")
                }
                integers.append(integer)
            }
            return integers
        }
    }

    /// Decodes an array of numbers of any type. Linear.
    /// - Throws: ``DyadError`` `malformed` if an element is none.
    public func floats() throws(DyadError) -> [Float] {
        try read { (cursor, subject) throws(DyadError) in
            var floats: [Float] = []
            floats.reserveCapacity(count)
            for _ in 0..<count {
                guard let double = try cursor.value(elementType, subject: subject).double else {
                    throw wrongType("numbers")
                }
                floats.append(Float(double))
            }
            return floats
        }
    }

    private func wrongType(_ expected: String) -> DyadError {
        DyadError(
            .malformed, file: storage.file.path, subject: storage.subject, found: "an array of \(elementType)",
            expected: "an array of \(expected)", remedy: "Convert the model again.")
    }

    /// The elements as they stand in a file.
    func bytes() throws(DyadError) -> FileBytes { try storage.file.bytes(storage.range) }

    private func read<R>(_ body: (inout GGUFCursor, String) throws(DyadError) -> R) throws(DyadError) -> R {
        var cursor = try GGUFCursor(storage.file, position: storage.range.lowerBound)
        return try body(&cursor, storage.subject)
    }
}
