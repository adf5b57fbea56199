import DyadFormats
import DyadTestSupport

/// Changes of a safetensors file that keep its frame: the header's length is right, and documents inside its metadata stay documents.
enum SafetensorsMutation {
    /// - Parameter inner: names of the metadata that are JSON documents themselves, the one to change most often first.
    static func changed(_ input: [UInt8], inner: [String], words: [String], using random: inout SeededRandom)
        -> [UInt8]?
    {
        guard input.count >= 8 else { return nil }
        let length = input[..<8].enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) }
        guard length <= UInt64(input.count - 8) else { return nil }
        let end = 8 + Int(length)
        guard var header = try? input[8..<end].withUnsafeBytes({ try JSONValue.parse($0) }) else { return nil }
        var data = Array(input[end...])
        switch Int.random(in: 0..<8, using: &random) {
        case 0: header = JSONMutation.changed(header, words: words, using: &random)
        case 1 where !data.isEmpty:
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                data[Int.random(in: 0..<data.count, using: &random)] =
                    [0, 1, 127, 128, 255, UInt8.random(in: 0...255, using: &random)].randomElement(using: &random) ?? 0
            }
        default:
            let key = Bool.random(using: &random) ? inner.first : inner.randomElement(using: &random)
            guard let key, var root = header.object, var metadata = root["__metadata__"]?.object,
                let text = metadata[key]?.string,
                let document = try? JSONValue.parse(text)
            else { header = JSONMutation.changed(header, words: words, using: &random); break }
            metadata[key] = .string(JSONMutation.changed(document, words: words, using: &random).text())
            root["__metadata__"] = .object(metadata)
            header = .object(root)
        }
        return joined(header.text(), data)
    }

    /// A file of a header and the bytes behind it.
    static func joined(_ header: String, _ data: [UInt8]) -> [UInt8] {
        let text = Array(header.utf8)
        return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text + data
    }
}
