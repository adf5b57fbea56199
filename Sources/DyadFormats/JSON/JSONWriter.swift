extension JSONValue {
    /// The document as text: keys in their order, escapes only where JSON demands them, so that equal values give
    /// equal bytes. `indented` puts every element on a line of its own, indented by two spaces, and ends with a
    /// line feed; otherwise there is no white space at all.
    public func text(indented: Bool = false) -> String {
        var output: [UInt8] = []
        write(to: &output, indented: indented, depth: 0)
        if indented { output.append(0x0a) }
        return String(decoding: output, as: UTF8.self)
    }

    private func write(to output: inout [UInt8], indented: Bool, depth: Int) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): output.append(contentsOf: String(value).utf8)
        case .decimal(let value): output.append(contentsOf: value.literal.utf8)
        case .string(let value): Self.write(value, to: &output)
        case .array(let elements):
            Self.writeList("[", "]", elements.count, to: &output, indented: indented, depth: depth) { output, place in
                elements[place].write(to: &output, indented: indented, depth: depth + 1)
            }
        case .object(let object):
            Self.writeList("{", "}", object.count, to: &output, indented: indented, depth: depth) { output, place in
                Self.write(object.keys[place], to: &output)
                output.append(contentsOf: (indented ? ": " : ":").utf8)
                object.values[place].write(to: &output, indented: indented, depth: depth + 1)
            }
        }
    }

    private static func writeList(
        _ open: Unicode.Scalar, _ close: Unicode.Scalar, _ count: Int, to output: inout [UInt8], indented: Bool,
        depth: Int, _ element: (inout [UInt8], Int) -> Void
    ) {
        func line(_ depth: Int, _ output: inout [UInt8]) {
            guard indented else { return }
            output.append(0x0a)
            output.append(contentsOf: repeatElement(0x20, count: 2 * depth))
        }
        output.append(UInt8(ascii: open))
        for place in 0..<count {
            if place > 0 { output.append(UInt8(ascii: ",")) }
            line(depth + 1, &output)
            element(&output, place)
        }
        if count > 0 { line(depth, &output) }
        output.append(UInt8(ascii: close))
    }

    private static func write(_ text: String, to output: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        output.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): output.append(contentsOf: [UInt8(ascii: "\\"), byte])
            case 0x0a: output.append(contentsOf: "\\n".utf8)
            case 0x0d: output.append(contentsOf: "\\r".utf8)
            case 0x09: output.append(contentsOf: "\\t".utf8)
            case 0..<0x20:
                output.append(contentsOf: "\\u00".utf8)
                output.append(contentsOf: [digits[Int(byte >> 4)], digits[Int(byte & 15)]])
            default: output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }
}
