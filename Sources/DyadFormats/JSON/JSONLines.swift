/// A file of one JSON value a line.
public enum JSONLines {
    /// Reads the first `limit` values (nil: all), each by `read`. Lines of white space are skipped, and counted. One pass over what is
    /// read.
    ///
    /// - Throws: ``DyadError``: `malformed`, naming file, line and field, and what `read` throws with the line in front.
    public static func read<Value>(
        _ content: FileBytes, file: String, limit: Int? = nil, _ read: (JSONField) throws(DyadError) -> Value
    ) throws(DyadError) -> [Value] {
        defer { withExtendedLifetime(content) {} }
        var values: [Value] = []
        var (start, line) = (0, 1)
        while start < content.count, values.count < limit ?? .max {
            let end = content.bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? content.count
            let bytes = UnsafeRawBufferPointer(rebasing: content.bytes[start..<end])
            if !bytes.allSatisfy({ [0x20, 0x09, 0x0d].contains($0) }) {
                values.append(try value(bytes, file: file, place: "line \(line)", read))
            }
            (start, line) = (end + 1, line + 1)
        }
        return values
    }

    private static func value<Value>(
        _ bytes: UnsafeRawBufferPointer, file: String, place: String,
        _ read: (JSONField) throws(DyadError) -> Value
    ) throws(DyadError) -> Value {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw DyadError(
                .malformed, file: file, subject: place, found: "bytes that are no UTF-8", expected: "text in UTF-8",
                remedy: "Convert the file, for example with iconv.")
        }
        let value = try JSONValue.parse(text, file: file, subject: place)
        do {
            return try read(JSONField(value, file: file))
        } catch {
            var error = error
            error.subject = [place, error.subject].compactMap { $0 }.joined(separator: ", ")
            throw error
        }
    }
}
