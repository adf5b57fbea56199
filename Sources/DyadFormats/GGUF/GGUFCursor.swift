/// Reads the parts of a GGUF file one after another, never beyond its end.
struct GGUFCursor {
    let bytes: UnsafeRawBufferPointer
    var position: Int
    let file: String?
    /// The file that arrays refer to; nil for arrays made in memory, whose elements are scalars or strings.
    let mapped: MappedFile?

    /// Arrays of arrays are legal; nobody writes deeper ones than this.
    static let nestingLimit = 4

    var remaining: Int { bytes.count - position }

    func failure(_ subject: String, _ found: String, _ expected: String, _ reason: DyadError.Reason = .malformed)
        -> DyadError
    {
        DyadError(
            reason, file: file, subject: subject, found: found, expected: expected,
            remedy: reason == .unsupported
                ? "Convert the model to a type that Dyad reads."
                : "The file is damaged or incomplete: download or convert it again.")
    }

    private func ended(_ subject: String, _ needed: String) -> DyadError {
        failure(subject, "\(remaining) bytes left at byte \(position)", needed)
    }

    mutating func number<Number: BitwiseCopyable>(_ type: Number.Type, subject: String) throws(DyadError) -> Number {
        let size = MemoryLayout<Number>.size
        guard remaining >= size else { throw ended(subject, "\(size) bytes") }
        defer { position += size }
        return bytes.loadUnaligned(fromByteOffset: position, as: Number.self)
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
        let text = UnsafeRawBufferPointer(rebasing: bytes[position..<position + length])
        let string = text.withMemoryRebound(to: UInt8.self) { String(validating: $0, as: UTF8.self) }
        guard let string else { throw failure(subject, "text that is not UTF-8 at byte \(position)", "UTF-8") }
        position += length
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
        guard depth < Self.nestingLimit, let mapped else {
            throw failure(subject, "arrays nested deeper than \(Self.nestingLimit)", "less nesting", .unsupported)
        }
        let type = try valueType(subject: subject)
        let count = try count(each: type.byteCount ?? 8, subject: subject)
        let start = position
        if let size = type.byteCount {
            position += count * size
        } else if type == .string {
            for _ in 0..<count { position += try self.count(subject: subject) }
        } else {
            for _ in 0..<count { _ = try array(subject: subject, depth: depth + 1) }
        }
        return GGUFArray(type, count: count, in: mapped, start..<position, subject: subject)
    }
}
