import DyadFormats

/// Values as text. Every part is charged before it is made, so that what is shared within a value counts as often as
/// it is written. All that is not a string of the template counts as the conversation's.
extension TemplateInterpreter {
    /// Python's `str()`.
    mutating func string(_ value: TemplateValue) throws(DyadError) -> TemplateString {
        switch value {
        case .string(let text): return text
        case .undefined: return TemplateString([])
        default:
            var result: [UInt32] = []
            try represent(value, into: &result)
            return TemplateString(result)
        }
    }

    /// Python's `repr()`.
    mutating func representation(_ value: TemplateValue) throws(DyadError) -> [UInt32] {
        var result: [UInt32] = []
        try represent(value, into: &result)
        return result
    }

    private mutating func append(_ text: String, to result: inout [UInt32]) throws(DyadError) {
        try charge(scalars: text.utf8.count)
        for scalar in text.unicodeScalars { result.append(scalar.value | TemplateString.contentMark) }
    }

    private mutating func represent(_ value: TemplateValue, into result: inout [UInt32]) throws(DyadError) {
        switch value {
        case .undefined: try append("Undefined", to: &result)
        case .none: try append("None", to: &result)
        case .bool(let value): try append(value ? "True" : "False", to: &result)
        case .integer(let value): try append(String(value), to: &result)
        case .decimal(let value): try append(TemplateNumber.text(value), to: &result)
        case .string(let text):
            if text.isMarkup { try append("Markup(", to: &result) }
            try quote(text.scalars, into: &result)
            if text.isMarkup { try append(")", to: &result) }
        case .sequence(let sequence): try represent(sequence, into: &result)
        case .map(let map): try represent(map.keys, map.values, into: &result)
        case .namespace(let number):
            try append("<Namespace ", to: &result)
            let members = namespaces[number]
            // A namespace may hold itself.
            try enter()
            defer { leave() }
            try represent(members.keys, members.values, into: &result)
            try append(">", to: &result)
        case .loop(let number):
            try append("<LoopContext \(loops[number].index + 1)/\(loops[number].items.count)>", to: &result)
        case .macro(let number):
            let name = self.name(ofMacro: number)
            try append(name.isEmpty ? "<Macro anonymous>" : "<Macro '\(name)'>", to: &result)
        case .iterator, .cycler, .joiner, .function, .method:
            throw TemplateFailure.unsupported(
                line, "the text of \(value.kind), which has an address in it", "a value to print, as '|list' gives")
        }
    }

    private mutating func represent(_ sequence: TemplateSequence, into result: inout [UInt32]) throws(DyadError) {
        let names: [TemplateSequence.Kind: String] = [
            .keys: "dict_keys(", .values: "dict_values(", .items: "dict_items(",
        ]
        if sequence.kind == .range {
            guard let first = sequence.elements.first?.integer, let last = sequence.elements.last?.integer else {
                throw TemplateFailure.unsupported(line, "the text of an empty range", "'|list'")
            }
            let step = sequence.elements.count > 1 ? (sequence.elements[1].integer ?? 0) - first : 1
            guard step == 1 else {
                throw TemplateFailure.unsupported(line, "the text of a range with a step", "'|list'")
            }
            return try append("range(\(first), \(last + 1))", to: &result)
        }
        try append((names[sequence.kind] ?? "") + (sequence.isTuple ? "(" : "["), to: &result)
        for (place, element) in sequence.elements.enumerated() {
            if place > 0 { try append(", ", to: &result) }
            try represent(element, into: &result)
        }
        let end = sequence.isTuple ? (sequence.elements.count == 1 ? ",)" : ")") : "]"
        try append(end + (names[sequence.kind] == nil ? "" : ")"), to: &result)
    }

    private mutating func represent(_ keys: [TemplateValue], _ values: [TemplateValue], into result: inout [UInt32])
        throws(DyadError)
    {
        try append("{", to: &result)
        for (place, (key, value)) in zip(keys, values).enumerated() {
            if place > 0 { try append(", ", to: &result) }
            try represent(key, into: &result)
            try append(": ", to: &result)
            try represent(value, into: &result)
        }
        try append("}", to: &result)
    }

    private mutating func quote(_ text: [UInt32], into result: inout [UInt32]) throws(DyadError) {
        try charge(scalars: text.count + 2)
        let hasSingle = text.contains { TemplateText.plain($0) == 0x27 }
        let hasDouble = text.contains { TemplateText.plain($0) == 0x22 }
        let quote: UInt32 = hasSingle && !hasDouble ? 0x22 : 0x27
        result.append(quote | TemplateString.contentMark)
        for value in text {
            let scalar = TemplateText.plain(value)
            if scalar != quote, scalar != 0x5c, TemplateText.isPrintable(scalar) {
                result.append(value)
                continue
            }
            let escape: String
            switch scalar {
            case 9: escape = "\\t"
            case 10: escape = "\\n"
            case 13: escape = "\\r"
            case quote, 0x5c: escape = "\\" + String(Character(TemplateString.scalar(scalar)))
            default:
                let digits = String(scalar, radix: 16)
                let width = scalar < 0x100 ? 2 : scalar < 0x10000 ? 4 : 8
                escape =
                    (width == 2 ? "\\x" : width == 4 ? "\\u" : "\\U")
                    + String(repeating: "0", count: width - digits.count) + digits
            }
            try charge(scalars: escape.utf8.count)
            for scalar in escape.unicodeScalars { result.append(scalar.value | TemplateString.contentMark) }
        }
        result.append(quote | TemplateString.contentMark)
    }

    /// One string of several.
    mutating func joined(_ parts: [TemplateString], separator: [UInt32] = []) throws(DyadError) -> [UInt32] {
        var count = 0
        for part in parts { count += part.count }
        let (between, overflow) = separator.count.multipliedReportingOverflow(by: max(0, parts.count - 1))
        let (all, tooMuch) = count.addingReportingOverflow(between)
        try charge(scalars: overflow || tooMuch ? .max : all)
        if parts.count == 1 { return parts[0].scalars }
        var result: [UInt32] = []
        result.reserveCapacity(all)
        for (place, part) in parts.enumerated() {
            if place > 0 { result += separator }
            result += part.scalars
        }
        return result
    }

    /// HTML's escapes, unless the text is marked safe.
    mutating func escaped(_ text: TemplateString) throws(DyadError) -> TemplateString {
        if text.isMarkup { return text }
        var result: [UInt32] = []
        try charge(scalars: text.count)
        for value in text.scalars {
            let escape: String
            switch TemplateText.plain(value) {
            case 0x26: escape = "&amp;"
            case 0x3c: escape = "&lt;"
            case 0x3e: escape = "&gt;"
            case 0x22: escape = "&#34;"
            case 0x27: escape = "&#39;"
            default:
                result.append(value)
                continue
            }
            try charge(scalars: escape.utf8.count)
            let mark = value & TemplateString.contentMark
            for scalar in escape.unicodeScalars { result.append(scalar.value | mark) }
        }
        return TemplateString(result, isMarkup: true)
    }
}

/// How Python writes decimals.
enum TemplateNumber {
    static func text(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        // Both write the shortest digits, Swift with an exponent of other limits and form.
        if value != 0, abs(value) >= 1e16 || abs(value) < 1e-4 {
            let parts = "\(value)".split(separator: "e")
            guard parts.count == 2, let exponent = Int(parts[1]) else { return "\(value)" }
            let digits = parts[0].hasSuffix(".0") ? parts[0].dropLast(2) : parts[0]
            return "\(digits)e\(exponent < 0 ? "-" : "+")\(abs(exponent) < 10 ? "0" : "")\(abs(exponent))"
        }
        // From 2⁵³ on Swift writes an exponent, Python from 10¹⁶ on.
        if abs(value) >= 0x1p53 { return "\(Int64(value)).0" }
        return "\(value)"
    }

    /// Whether an integer is below a decimal (-1), equal (0) or above (1), exactly, as Python compares them; nil for NaN.
    static func compare(_ integer: Int, _ decimal: Double) -> Int? {
        if decimal.isNaN { return nil }
        if decimal >= 0x1p63 { return -1 }
        if decimal < -0x1p63 { return 1 }
        let whole = Int(decimal.rounded(.down))
        if integer != whole { return integer < whole ? -1 : 1 }
        return Double(whole) < decimal ? -1 : 0
    }

    /// Python's `float()` of a text; nil if it is none.
    static func decimal(_ scalars: [UInt32]) -> Double? {
        guard let text = digits(scalars)?.lowercased() else { return nil }
        let unsigned = text.drop { $0 == "+" || $0 == "-" }
        guard text.utf8.count - unsigned.utf8.count <= 1 else { return nil }
        let sign: Double = text.hasPrefix("-") ? -1 : 1
        if unsigned == "inf" || unsigned == "infinity" { return sign * .infinity }
        if unsigned == "nan" { return .nan }
        guard unsigned.allSatisfy({ "0123456789.e+-".contains($0) }),
            var number = Double(unsigned.last == "." ? unsigned + "0" : unsigned)
        else { return nil }
        number *= sign
        return number
    }

    /// Python's `int()` of a text; nil if it is none, or too large.
    static func integer(_ scalars: [UInt32], base: Int) -> Int? {
        guard var text = digits(scalars)?.lowercased() else { return nil }
        var sign = ""
        if let first = text.first, first == "-" || first == "+" { sign = String(text.removeFirst()) }
        var base = base
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)]
        where text.hasPrefix(prefix) && (base == radix || base == 0) {
            text.removeFirst(2)
            base = radix
        }
        if base == 0 { base = 10 }
        guard (2...36).contains(base), let first = text.unicodeScalars.first, first != "+", first != "-" else {
            return nil
        }
        return Int(sign + text, radix: base)
    }

    /// The text without white space around and single underscores between digits; nil if it is too long or has
    /// scalars that numbers have not.
    private static func digits(_ scalars: [UInt32]) -> String? {
        let trimmed = TemplateText.trim(scalars)
        guard trimmed.count <= 400, !trimmed.isEmpty else { return nil }
        var text = ""
        var last: UInt32 = 0x5f
        for value in trimmed.map(TemplateText.plain) + [0x5f] {
            // An underscore only between digits; the one added at the end finds one there.
            if value == 0x5f, last == 0x5f { return nil }
            if value != 0x5f {
                let scalar = TemplateString.scalar(value)
                if value >= 128 {
                    guard scalar.properties.generalCategory == .decimalNumber,
                        let digit = scalar.properties.numericValue
                    else { return nil }
                    text += String(Int(digit))
                } else {
                    text.unicodeScalars.append(scalar)
                }
            }
            last = value
        }
        return text
    }
}
