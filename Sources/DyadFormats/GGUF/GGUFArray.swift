/// An array of a GGUF file's metadata. Its extent was checked when the file was opened; the elements are decoded
/// when they are asked for, so that an array nobody needs costs nothing.
public struct GGUFArray: Sendable {
    /// The type of the elements.
    public let elementType: GGUFValueType
    /// The number of elements.
    public let count: Int
    private let storage: Storage

    private enum Storage: Sendable {
        case mapped(MappedFile, Range<Int>, subject: String)
        case owned([UInt8])
    }

    init(_ elementType: GGUFValueType, count: Int, in mapped: MappedFile, _ range: Range<Int>, subject: String) {
        self.elementType = elementType
        self.count = count
        storage = .mapped(mapped, range, subject: subject)
    }

    /// An array of strings, for writing.
    public init(strings: [String]) {
        elementType = .string
        count = strings.count
        var bytes: [UInt8] = []
        for string in strings { GGUFWriter.append(string, to: &bytes) }
        storage = .owned(bytes)
    }

    /// An array of 32-bit integers, for writing.
    public init(int32 values: [Int32]) {
        elementType = .int32
        count = values.count
        storage = .owned(values.withUnsafeBytes { Array($0) })
    }

    /// An array of binary32 numbers, for writing.
    public init(float32 values: [Float]) {
        elementType = .float32
        count = values.count
        storage = .owned(values.withUnsafeBytes { Array($0) })
    }

    /// Decodes the elements. Linear.
    /// - Throws: ``DyadError`` `malformed` for a string that is not UTF-8.
    public func values() throws(DyadError) -> [GGUFValue] {
        try read { (cursor, subject) throws(DyadError) in
            var values: [GGUFValue] = []
            values.reserveCapacity(count)  // Safe: every element takes at least a byte of the checked extent.
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
        var integers: [Int] = []
        for value in try values() {
            guard let integer = value.integer else { throw wrongType("integers") }
            integers.append(integer)
        }
        return integers
    }

    /// Decodes an array of numbers of any type. Linear.
    /// - Throws: ``DyadError`` `malformed` if an element is none.
    public func floats() throws(DyadError) -> [Float] {
        var floats: [Float] = []
        for value in try values() {
            guard let double = value.double else { throw wrongType("numbers") }
            floats.append(Float(double))
        }
        return floats
    }

    private func wrongType(_ expected: String) -> DyadError {
        var place: (file: String?, subject: String?) = (nil, nil)
        if case .mapped(let mapped, _, let subject) = storage { place = (mapped.path, subject) }
        return DyadError(
            .malformed, file: place.file, subject: place.subject, found: "an array of \(elementType)",
            expected: "an array of \(expected)", remedy: "Convert the model again.")
    }

    /// The elements as they stand in a file.
    func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws(DyadError) -> R) throws(DyadError) -> R {
        switch storage {
        case .mapped(let mapped, let range, _):
            let result = try body(UnsafeRawBufferPointer(rebasing: mapped.bytes[range]))
            return withExtendedLifetime(mapped) { result }
        case .owned(let bytes):
            return try bytes.withUnsafeBufferPointer { (buffer) throws(DyadError) in
                try body(UnsafeRawBufferPointer(buffer))
            }
        }
    }

    private func read<R>(_ body: (inout GGUFCursor, String) throws(DyadError) -> R) throws(DyadError) -> R {
        switch storage {
        case .mapped(let mapped, let range, let subject):
            var cursor = GGUFCursor(bytes: mapped.bytes, position: range.lowerBound, file: mapped.path, mapped: mapped)
            let result = try body(&cursor, subject)
            return withExtendedLifetime(mapped) { result }
        case .owned(let bytes):
            return try bytes.withUnsafeBufferPointer { (buffer) throws(DyadError) in
                var cursor = GGUFCursor(
                    bytes: UnsafeRawBufferPointer(buffer), position: 0, file: nil, mapped: nil)
                return try body(&cursor, "array")
            }
        }
    }
}
