/// Reads the parts of a GGUF file one after another, never beyond its end, through a window that moves along.
struct GGUFCursor {
    let file: RandomAccessFile
    var position: Int
    private var window: FileBytes
    private var windowStart = 0

    /// Arrays of arrays are legal; nobody writes deeper ones than this.
    static let nestingLimit = 4
    /// The most elements of an array, many times those of the largest vocabulary: a file that is mostly holes may claim any number.
    static let elementLimit = 1 << 24
    /// The longest text, in bytes: chat templates have thousands.
    static let stringLimit = 64 << 20
    private static let windowSize = 1 << 18

    init(_ file: RandomAccessFile, position: Int = 0) throws(DyadError) {
        self.file = file
        self.position = position
        window = try FileBytes(path: file.path, copying: [])
    }

    var remaining: Int { file.count - position }

    /// Runs `body` on the next bytes, of which there are so many left, and steps over them.
    private mutating func next<Result>(_ size: Int, _ body: (UnsafeRawBufferPointer) -> Result) throws(DyadError)
        -> Result
    {
        if position < windowStart || position + size > windowStart + window.count {
            windowStart = position
            window = try file.bytes(position..<position + min(remaining, max(size, Self.windowSize)))
        }
        let start = position - windowStart
        defer { position += size }
        return withExtendedLifetime(window) {
            body(UnsafeRawBufferPointer(rebasing: window.bytes[start..<start + size]))
        }
    }

    func failure(
        _ subject: String, _ found: String, _ expected: String, _ reason: DyadError.Reason = .malformed,
        remedy: String? = nil
    ) -> DyadError {
        DyadError(
            reason, file: file.path, subject: subject, found: found, expected: expected,
            remedy: remedy
                ?? (reason == .unsupported
                    ? "Convert the model to a type that Dyad reads."
                    : "The file contradicts itself: convert the model again."))
    }

    private func ended(_ subject: String, _ needed: String) -> DyadError {
        failure(
            subject, "\(remaining) bytes left at byte \(position)", needed,
            remedy: "The file is incomplete: download or convert it again.")
    }

    mutating func number<Number: BitwiseCopyable>(_ type: Number.Type, subject: String) throws(DyadError) -> Number {
        let size = MemoryLayout<Number>.size
        guard remaining >= size else { throw ended(subject, "\(size) bytes") }
        return try next(size) { $0.loadUnaligned(as: Number.self) }
    }

    /// A 64-bit count that cannot exceed the bytes that are left, `each` at least for one.
    mutating func count(each: Int = 1, subject: String) throws(DyadError) -> Int {
        let count = try number(UInt64.self, subject: subject)
        guard count <= UInt64(remaining / each) else {
            throw failure(subject, "a count of \(count)", "at most \(remaining / each), as \(remaining) bytes are left")
        }
        return Int(count)
    }

    mutating func string(subject: String) throws(DyadError) -> String {
        let length = try count(subject: subject)
        guard length <= Self.stringLimit else {
            throw failure(subject, "a text of \(length) bytes", "at most \(Self.stringLimit)", .unsupported)
        }
        let start = position
        let string = try next(length) { text in
            text.withMemoryRebound(to: UInt8.self) { String(validating: $0, as: UTF8.self) }
        }
        guard let string else { throw failure(subject, "text that is not UTF-8 at byte \(start)", "UTF-8") }
        return string
    }

    /// A string that is not empty.
    mutating func name(subject: String) throws(DyadError) -> String {
        let name = try string(subject: subject)
        guard !name.isEmpty else { throw failure(subject, "an empty name", "a name") }
        return name
    }

    mutating func valueType(subject: String) throws(DyadError) -> GGUFValueType {
        let code = try number(UInt32.self, subject: subject)
        guard let type = GGUFValueType(rawValue: code) else {
            throw failure(subject, "the value type \(code)", "0 to \(GGUFValueType.float64.rawValue)")
        }
        return type
    }

    mutating func value(_ type: GGUFValueType, subject: String, depth: Int = 0) throws(DyadError) -> GGUFValue {
        switch type {
        case .uint8: return .uint8(try number(UInt8.self, subject: subject))
        case .int8: return .int8(try number(Int8.self, subject: subject))
        case .uint16: return .uint16(try number(UInt16.self, subject: subject))
        case .int16: return .int16(try number(Int16.self, subject: subject))
        case .uint32: return .uint32(try number(UInt32.self, subject: subject))
        case .int32: return .int32(try number(Int32.self, subject: subject))
        case .float32: return .float32(try number(Float.self, subject: subject))
        case .uint64: return .uint64(try number(UInt64.self, subject: subject))
        case .int64: return .int64(try number(Int64.self, subject: subject))
        case .float64: return .float64(try number(Double.self, subject: subject))
        case .string: return .string(try string(subject: subject))
        case .bool:
            let byte = try number(UInt8.self, subject: subject)
            guard byte <= 1 else { throw failure(subject, "the Boolean \(byte)", "0 or 1") }
            return .bool(byte == 1)
        case .array: return .array(try array(subject: subject, depth: depth))
        }
    }

    /// Checks the extent of an array and steps over it.
    private mutating func array(subject: String, depth: Int) throws(DyadError) -> GGUFArray {
        guard depth < Self.nestingLimit else {
            throw failure(subject, "arrays nested deeper than \(Self.nestingLimit)", "less nesting", .unsupported)
        }
        let type = try valueType(subject: subject)
        let count = try count(each: type.byteCount ?? 8, subject: subject)
        guard count <= Self.elementLimit else {
            throw failure(subject, "an array of \(count) elements", "at most \(Self.elementLimit)", .unsupported)
        }
        let start = position
        if let size = type.byteCount {
            position += count * size
        } else if type == .string {
            for _ in 0..<count { position += try self.count(subject: subject) }
        } else {
            for _ in 0..<count { _ = try array(subject: subject, depth: depth + 1) }
        }
        return GGUFArray(type, count: count, in: file, start..<position, subject: subject)
    }
}
