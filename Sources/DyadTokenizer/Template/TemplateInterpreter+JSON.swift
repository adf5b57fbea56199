import DyadFormats

/// How `tojson` writes, as Python's `json.dumps` takes it.
struct TemplateJSONStyle {
    var escapesUnicode = false
    /// Scalars of one level of indentation; nil for one line.
    var indent: [UInt32]?
    var itemSeparator: [UInt32]
    var keySeparator: [UInt32]
    var sortsKeys = false
}

extension TemplateInterpreter {
    /// The filter `tojson` as transformers defines it.
    mutating func json(_ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        let marked = TemplateString.contentMark
        var style = TemplateJSONStyle(itemSeparator: [], keySeparator: [])
        style.escapesUnicode = call.isTrue(0, "ensure_ascii")
        switch call.value(1, "indent") {
        case nil, .some(.none): break
        case .some(.string(let text)): style.indent = text.scalars
        case .some(let value):
            guard let width = value.integer else { throw call.wrong("indent", value, "an integer or a string") }
            try charge(scalars: max(0, width))
            style.indent = [UInt32](repeating: 32 | marked, count: max(0, width))
        }
        style.itemSeparator = [0x2c | marked] + (style.indent == nil ? [32 | marked] : [])
        style.keySeparator = [0x3a | marked, 32 | marked]
        if let separators = call.value(2, "separators"), !separators.isNone {
            guard let parts = try elements(of: separators), parts.count == 2, let item = parts[0].string,
                let key = parts[1].string
            else { throw call.wrong("separators", separators, "two strings") }
            style.itemSeparator = item.scalars
            style.keySeparator = key.scalars
        }
        style.sortsKeys = call.isTrue(3, "sort_keys")
        var result: [UInt32] = []
        try write(value, style, depth: 0, call, into: &result)
        return text(result)
    }

    private mutating func append(_ scalars: [UInt32], to result: inout [UInt32]) throws(DyadError) {
        try charge(scalars: scalars.count)
        result += scalars
    }

    private mutating func append(_ text: String, to result: inout [UInt32]) throws(DyadError) {
        try append(text.unicodeScalars.map { $0.value | TemplateString.contentMark }, to: &result)
    }

    private mutating func write(
        _ value: TemplateValue, _ style: TemplateJSONStyle, depth: Int, _ call: TemplateCall,
        into result: inout [UInt32]
    ) throws(DyadError) {
        switch value {
        case .none, .bool, .integer, .decimal: try append(try plain(value, call), to: &result)
        case .string(let text): try write(text.scalars, style, into: &result)
        case .sequence(let sequence) where sequence.isTuple || sequence.kind == .list:
            try append("[", to: &result)
            for (place, element) in sequence.elements.enumerated() {
                if place > 0 { try append(style.itemSeparator, to: &result) }
                try newLine(style, depth + 1, into: &result)
                try write(element, style, depth: depth + 1, call, into: &result)
            }
            if !sequence.elements.isEmpty { try newLine(style, depth, into: &result) }
            try append("]", to: &result)
        case .map(let map):
            try append("{", to: &result)
            var members = Array(zip(map.keys, map.values))
            if style.sortsKeys { members = try sorted(members, reverse: false) { $0.0 } }
            for (place, (key, value)) in members.enumerated() {
                if place > 0 { try append(style.itemSeparator, to: &result) }
                try newLine(style, depth + 1, into: &result)
                if let text = key.string {
                    try write(text.scalars, style, into: &result)
                } else {
                    try append("\"" + (try plain(key, call)) + "\"", to: &result)
                }
                try append(style.keySeparator, to: &result)
                try write(value, style, depth: depth + 1, call, into: &result)
            }
            if !map.keys.isEmpty { try newLine(style, depth, into: &result) }
            try append("}", to: &result)
        default: throw call.refuses(value, "a value that JSON can express")
        }
    }

    private func plain(_ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> String {
        switch value {
        case .none: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .integer(let value): return String(value)
        case .decimal(let value):
            if value.isNaN { return "NaN" }
            return value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : TemplateNumber.text(value)
        default: throw call.refuses(value, "a key that JSON can express")
        }
    }

    private mutating func newLine(_ style: TemplateJSONStyle, _ depth: Int, into result: inout [UInt32])
        throws(DyadError)
    {
        guard let indent = style.indent else { return }
        let (count, overflow) = indent.count.multipliedReportingOverflow(by: depth)
        try charge(scalars: overflow ? .max : count + 1)
        result.append(10 | TemplateString.contentMark)
        if !indent.isEmpty { for _ in 0..<depth { result += indent } }
    }

    private mutating func write(_ text: [UInt32], _ style: TemplateJSONStyle, into result: inout [UInt32])
        throws(DyadError)
    {
        try charge(scalars: text.count + 2)
        let marked = TemplateString.contentMark
        result.append(0x22 | marked)
        for value in text {
            let scalar = TemplateText.plain(value)
            let isPlain = scalar >= 32 && scalar != 0x22 && scalar != 0x5c && !(style.escapesUnicode && scalar > 126)
            if isPlain {
                result.append(value)
                continue
            }
            let escape: String
            switch scalar {
            case 0x22: escape = "\\\""
            case 0x5c: escape = "\\\\"
            case 8: escape = "\\b"
            case 9: escape = "\\t"
            case 10: escape = "\\n"
            case 12: escape = "\\f"
            case 13: escape = "\\r"
            default:
                escape =
                    UTF16.encode(TemplateString.scalar(scalar))?.reduce(into: "") { text, unit in
                        let digits = String(unit, radix: 16)
                        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                    } ?? ""
            }
            try charge(scalars: escape.utf8.count)
            for scalar in escape.unicodeScalars { result.append(scalar.value | marked) }
        }
        result.append(0x22 | marked)
    }
}
