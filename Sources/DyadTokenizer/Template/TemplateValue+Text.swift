import DyadFormats

extension TemplateValue {
    /// Python's `str()`.
    var text: String {
        switch self {
        case .string(let text): text
        case .undefined: ""
        default: representation
        }
    }

    /// Python's `repr()`.
    var representation: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "None"
        case .bool(let value): value ? "True" : "False"
        case .integer(let value): String(value)
        case .decimal(let value): Self.text(value)
        case .string(let text): Self.quoted(text)
        case .list(let elements): "[" + elements.map(\.representation).joined(separator: ", ") + "]"
        case .map(let map):
            "{"
                + map.members.map { Self.quoted($0.key) + ": " + $0.value.representation }.joined(separator: ", ")
                + "}"
        case .namespace: "<Namespace>"
        case .loop(let loop): "<LoopContext \(loop.index + 1)/\(loop.items.count)>"
        case .callable: "<function>"
        }
    }

    private static func text(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        // Both write the shortest digits, Swift with an exponent of other limits and form.
        if value != 0, abs(value) >= 1e16 || abs(value) < 1e-4 {
            let parts = "\(value)".split(separator: "e")
            guard parts.count == 2, let exponent = Int(parts[1]) else { return "\(value)" }
            let digits = parts[0].hasSuffix(".0") ? parts[0].dropLast(2) : parts[0]
            return "\(digits)e\(exponent < 0 ? "-" : "+")\(abs(exponent) < 10 ? "0" : "")\(abs(exponent))"
        }
        return "\(value)"
    }

    private static func quoted(_ text: String) -> String {
        let scalars = text.unicodeScalars
        let quote: Unicode.Scalar = scalars.contains("'") && !scalars.contains("\"") ? "\"" : "'"
        var result = String.UnicodeScalarView([quote])
        for scalar in scalars {
            switch scalar {
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\r": result.append(contentsOf: "\\r".unicodeScalars)
            case "\t": result.append(contentsOf: "\\t".unicodeScalars)
            case "\\", quote:
                result.append("\\")
                result.append(scalar)
            default: result.append(scalar)
            }
        }
        result.append(quote)
        return String(result)
    }

    /// Python's `json.dumps(value, ensure_ascii=False, indent=indent)`; nil for what JSON has no form for.
    func json(indent: Int?, depth: Int = 0) -> String? {
        switch self {
        case .none: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .integer, .decimal: return representation
        case .string(let text): return JSONValue.string(text).text().withShortEscapes()
        case .list(let elements):
            var parts: [String] = []
            for element in elements {
                guard let part = element.json(indent: indent, depth: depth + 1) else { return nil }
                parts.append(part)
            }
            return Self.bracketed("[", parts, "]", indent: indent, depth: depth)
        case .map(let map):
            var parts: [String] = []
            for (key, value) in map.members {
                guard let part = value.json(indent: indent, depth: depth + 1) else { return nil }
                parts.append(JSONValue.string(key).text().withShortEscapes() + ": " + part)
            }
            return Self.bracketed("{", parts, "}", indent: indent, depth: depth)
        case .undefined, .namespace, .loop, .callable: return nil
        }
    }

    private static func bracketed(_ open: String, _ parts: [String], _ close: String, indent: Int?, depth: Int)
        -> String
    {
        guard let indent, !parts.isEmpty else { return open + parts.joined(separator: ", ") + close }
        let inner = "\n" + String(repeating: " ", count: indent * (depth + 1))
        return open + inner + parts.joined(separator: "," + inner) + "\n"
            + String(repeating: " ", count: indent * depth)
            + close
    }
}

extension String {
    /// Python writes two control characters in their short forms where JSON also allows the long one.
    fileprivate func withShortEscapes() -> String {
        utf8.contains(UInt8(ascii: "\\"))
            ? replacing("\\u0008", with: "\\b").replacing("\\u000c", with: "\\f") : self
    }
}
