extension JSONValue {
    /// How deep arrays and objects may nest. The parser recurses, so this also bounds the stack it uses.
    public static let depthLimit = 128

    /// Parses one JSON document (RFC 8259, UTF-8, no byte-order mark, nothing after it but white space).
    ///
    /// A key that occurs twice in one object, a lone surrogate, nesting beyond ``depthLimit`` and a text whose values would take far
    /// more memory than it has bytes (millions of tiny arrays) are errors.
    /// - Parameters:
    ///   - bytes: the text.
    ///   - file: the file it is from, for errors.
    ///   - subject: the part of the file, for errors (`header`); the byte's position is appended.
    ///   - allowsNonFinite: whether `NaN`, `Infinity` and `-Infinity` are numbers, as Python's json has it. They have
    ///     no ``JSONValue/double``: who needs that number refuses it by name.
    /// - Throws: ``DyadError`` with reason `malformed`.
    /// - Complexity: linear; about 50 MB/s.
    public static func parse(
        _ bytes: UnsafeRawBufferPointer, file: String? = nil, subject: String? = nil, allowsNonFinite: Bool = false
    ) throws(DyadError) -> JSONValue {
        var parser = JSONParser(bytes: bytes, file: file, subject: subject)
        parser.allowsNonFinite = allowsNonFinite
        return try parser.document()
    }

    /// Parses one JSON document held in memory; see ``parse(_:file:subject:allowsNonFinite:)``.
    public static func parse(_ text: String, file: String? = nil, subject: String? = nil) throws(DyadError)
        -> JSONValue
    {
        var text = text
        let result = text.withUTF8 { bytes in
            Result { () throws(DyadError) in try parse(UnsafeRawBufferPointer(bytes), file: file, subject: subject) }
        }
        return try result.get()
    }

    /// The largest JSON file that is read, in bytes: many times the largest tokenizer.json.
    public static let fileLimit = 256 << 20

    /// The largest file that only describes a model or its tokenizer (config.json), in bytes. The longest that are known, lists of
    /// thousands of added tokens, have about one mebibyte.
    public static let descriptionLimit = 4 << 20

    /// Reads and parses a JSON file; see ``parse(_:file:subject:allowsNonFinite:)``.
    /// - Parameter limit: the most bytes that the file may have.
    /// - Throws: ``DyadError``: `missing`, `malformed`, or `unsupported` beyond `limit`.
    public static func read(
        _ path: String, limit: Int = fileLimit, allowsNonFinite: Bool = false
    ) throws(DyadError) -> JSONValue {
        let text = try FileBytes(path, limit: limit)
        let value = try parse(text.bytes, file: path, allowsNonFinite: allowsNonFinite)
        return withExtendedLifetime(text) { value }
    }

    /// Parses a document that is one object and hands over its members one at a time, so that the whole is never in memory.
    ///
    /// A key may have 1024 bytes. A value that is no string may take 1 MiB of memory: it is a short description.
    /// - Parameters:
    ///   - budget: the memory that what is kept and the value at hand may take together, in bytes.
    ///   - group: the name of a member that is an object, whose own members are handed over in its place.
    ///   - body: takes the name of the group or nil, a key and its value; returns the bytes that it keeps beside the key, nil where that
    ///     is not new.
    /// - Throws: as ``parse(_:file:subject:allowsNonFinite:)``, and what `body` throws.
    static func parseMembers(
        of bytes: UnsafeRawBufferPointer, file: String?, subject: String, budget: Int, group: String,
        _ body: (String?, String, JSONField) throws(DyadError) -> Int?
    ) throws(DyadError) {
        var parser = JSONParser(bytes: bytes, file: file, subject: subject)
        try parser.document(budget: budget, group: group, body)
    }
}

/// A recursive-descent parser over bytes it does not own.
struct JSONParser {
    let bytes: UnsafeRawBufferPointer
    let file: String?
    let subject: String?
    var allowsNonFinite = false
    var position = 0
    /// The memory that values may take in all, and may still take, in bytes.
    var limit: Int
    var allowance: Int

    init(bytes: UnsafeRawBufferPointer, file: String?, subject: String?) {
        self.bytes = bytes
        self.file = file
        self.subject = subject
        limit = Self.limit(bytes.count)
        allowance = limit
    }

    /// What ordinary documents take, with room to spare: a compact list of merges takes ten times its bytes, a header of tensors four
    /// times. Only texts of a few bytes a value take more, and of those the first 64 MiB are free.
    private static func limit(_ bytes: Int) -> Int { (64 << 20) + 8 * bytes }

    mutating func document() throws(DyadError) -> JSONValue {
        let value = try value(depth: 0)
        try end()
        return value
    }

    mutating func end() throws(DyadError) {
        skipSpace()
        guard position == bytes.count else { throw failure(describeNext(), "nothing after the document") }
    }

    /// Pays for memory before it is used.
    mutating func charge(_ bytes: Int) throws(DyadError) {
        allowance -= bytes
        guard allowance >= 0 else {
            throw failure(
                "values that take more than \(limit) bytes of memory",
                "at most that for a text of \(self.bytes.count) bytes")
        }
    }

    func failure(_ found: String, _ expected: String) -> DyadError {
        DyadError(
            .malformed, file: file, subject: (subject.map { $0 + ", " } ?? "") + "byte \(position)",
            found: found, expected: expected,
            remedy: position < bytes.count
                ? "Correct the JSON, or write the file again."
                : "The JSON is incomplete: write or download the file again.")
    }

    /// The next byte, or 0, which is valid nowhere in JSON, at the end.
    var next: UInt8 { position < bytes.count ? bytes[position] : 0 }

    private func describeNext() -> String {
        guard position < bytes.count else { return "the end of the text" }
        let byte = bytes[position]
        return byte > 0x20 && byte < 0x7f ? "'\(Character(Unicode.Scalar(byte)))'" : "the byte \(byte)"
    }

    mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0a, 0x0d, 0x09: position += 1
            default: return
            }
        }
    }

    mutating func value(depth: Int) throws(DyadError) -> JSONValue {
        guard depth <= JSONValue.depthLimit else {
            throw failure("more than \(JSONValue.depthLimit) nested arrays and objects", "less nesting")
        }
        try charge(Self.valueBytes)
        skipSpace()
        switch next {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "{"): return .object(try object(depth: depth))
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), 0x30...0x39:
            if let number = nonFinite() { return number }
            return try number()
        case UInt8(ascii: "N"), UInt8(ascii: "I"):
            guard let number = nonFinite() else { throw failure(describeNext(), "a JSON value") }
            return number
        default: throw failure(describeNext(), "a JSON value")
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(DyadError) -> JSONValue {
        let end = position + word.utf8CodeUnitCount
        guard end <= bytes.count,
            bytes[position..<end].elementsEqual(UnsafeBufferPointer(start: word.utf8Start, count: end - position))
        else { throw failure("another word", "\(word)") }
        position = end
        return value
    }

    /// One of Python's three words for numbers that are not finite.
    private mutating func nonFinite() -> JSONValue? {
        guard allowsNonFinite else { return nil }
        for word in ["NaN", "Infinity", "-Infinity"] where bytes[position...].starts(with: word.utf8) {
            position += word.utf8.count
            return .decimal(JSONDecimal(trusted: word))
        }
        return nil
    }

    private mutating func array(depth: Int) throws(DyadError) -> [JSONValue] {
        position += 1
        var elements: [JSONValue] = []
        skipSpace()
        if next == UInt8(ascii: "]") {
            position += 1
            return elements
        }
        try charge(Self.arrayBytes)
        while true {
            elements.append(try value(depth: depth + 1))
            if try !separator(closing: UInt8(ascii: "]")) { return elements }
        }
    }

    private mutating func object(depth: Int) throws(DyadError) -> JSONObject {
        var object = JSONObject()
        try members { (key, parser) throws(DyadError) in
            try parser.charge(Self.memberBytes)
            return object.append(key, try parser.value(depth: depth + 1))
        }
        return object
    }

    /// The members of an object, from its bracket on; `body` parses the value and says whether the key is new.
    mutating func members(
        _ body: (String, inout JSONParser) throws(DyadError) -> Bool
    ) throws(DyadError) {
        position += 1
        skipSpace()
        if next == UInt8(ascii: "}") {
            position += 1
            return
        }
        try charge(Self.objectBytes)
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw failure(describeNext(), "a key in quotes") }
            let key = try string()
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw failure(describeNext(), "':' after the key \"\(key)\"") }
            position += 1
            guard try body(key, &self) else {
                throw failure("the key \"\(key)\" for the second time", "every key once")
            }
            if try !separator(closing: UInt8(ascii: "}")) { return }
        }
    }

    // What values take, with the room that growing arrays leave.
    private static let valueBytes = 36
    private static let arrayBytes = 64
    private static let objectBytes = 160
    private static let memberBytes = 56

    /// Consumes a comma (true) or the closing bracket (false).
    private mutating func separator(closing: UInt8) throws(DyadError) -> Bool {
        skipSpace()
        let byte = next
        guard byte == closing || byte == UInt8(ascii: ",") else {
            throw failure(describeNext(), "',' or '\(Character(Unicode.Scalar(closing)))'")
        }
        position += 1
        return byte != closing
    }

    private mutating func number() throws(DyadError) -> JSONValue {
        let start = position
        let isNegative = next == UInt8(ascii: "-")
        if isNegative { position += 1 }
        let firstDigit = position
        var magnitude = 0
        var overflow = false
        while case let byte = next, byte >= 0x30, byte <= 0x39 {
            let (product, first) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, second) = product.subtractingReportingOverflow(Int(byte - 0x30))  // negative: reaches Int.min
            overflow = overflow || first || second
            magnitude = sum
            position += 1
        }
        let digits = position - firstDigit
        guard digits > 0, digits == 1 || bytes[firstDigit] != 0x30 else {
            throw failure(digits == 0 ? describeNext() : "a leading zero", "a number")
        }
        var isInteger = true
        if next == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            try skipDigits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            isInteger = false
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            try skipDigits()
        }
        if isInteger, !overflow, !(isNegative && magnitude == 0), isNegative || magnitude != Int.min {
            return .integer(isNegative ? magnitude : -magnitude)
        }
        return .decimal(JSONDecimal(trusted: String(decoding: bytes[start..<position], as: UTF8.self)))
    }

    private mutating func skipDigits() throws(DyadError) {
        guard next >= 0x30, next <= 0x39 else { throw failure(describeNext(), "a digit") }
        while next >= 0x30, next <= 0x39 { position += 1 }
    }

    mutating func string() throws(DyadError) -> String {
        position += 1
        let start = position
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                let text = try utf8(bytes[start..<position])
                position += 1
                return text
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            guard byte >= 0x20 else { throw failure("the control character \(byte) in a string", "an escape") }
            position += 1
        }
        throw failure("the end of the text", "the end of a string")
    }

    /// The slow path, from the first escape on. The bytes are in memory beside the string that they become.
    private mutating func escapedString(from start: Int) throws(DyadError) -> String {
        var text: [UInt8] = []
        let room = escapedLength(from: start)
        try charge(room)
        defer { allowance += room }
        text.reserveCapacity(room)
        text.append(contentsOf: bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                let decoded = try text.withUnsafeBufferPointer { (buffer) throws(DyadError) in
                    let raw = UnsafeRawBufferPointer(buffer)
                    return try utf8(raw[...])
                }
                position += 1
                return decoded
            }
            guard byte >= 0x20 else { throw failure("the control character \(byte) in a string", "an escape") }
            position += 1
            if byte == UInt8(ascii: "\\") {
                text.append(contentsOf: UTF8.encode(try escape()) ?? UTF8.encodedReplacementCharacter)
            } else {
                text.append(byte)
            }
        }
        throw failure("the end of the text", "the end of a string")
    }

    /// The bytes of a string up to its closing quote, escapes as they are written: as many as it has without them, or more.
    private func escapedLength(from start: Int) -> Int {
        var end = position
        while end < bytes.count, bytes[end] != UInt8(ascii: "\"") { end += bytes[end] == UInt8(ascii: "\\") ? 2 : 1 }
        return min(end, bytes.count) - start
    }

    private mutating func escape() throws(DyadError) -> Unicode.Scalar {
        let byte = next
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): break
        default:
            position -= 1
            throw failure(describeNext() + " after a backslash", "an escape of JSON")
        }
        let first = try hexadecimal()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xdc00, next == UInt8(ascii: "\\") else { throw failure("a lone surrogate", "a pair of them") }
        position += 1
        guard next == UInt8(ascii: "u") else { throw failure("a lone surrogate", "a pair of them") }
        position += 1
        let second = try hexadecimal()
        guard second >= 0xdc00, second <= 0xdfff,
            let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
        else { throw failure("a lone surrogate", "a pair of them") }
        return scalar
    }

    private mutating func hexadecimal() throws(DyadError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(next)).hexDigitValue else {
                throw failure(describeNext(), "four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    private mutating func utf8(_ slice: Slice<UnsafeRawBufferPointer>) throws(DyadError) -> String {
        let raw = UnsafeRawBufferPointer(rebasing: slice)
        // Up to 15 bytes stand in the string itself.
        if raw.count > 15 { try charge(raw.count + 48) }
        let text = raw.withMemoryRebound(to: UInt8.self) { String(validating: $0, as: UTF8.self) }
        guard let text else { throw failure("a string that is not UTF-8", "UTF-8") }
        return text
    }
}
