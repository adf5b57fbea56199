import DyadFormats

/// The methods of Python's `str`, `list` and `dict` that templates use. Those that change a value do not exist here:
/// Hugging Face's sandbox forbids them, too.
extension TemplateInterpreter {
    static let stringMethods: Set<String> = [
        "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "replace", "upper",
        "lower", "title", "capitalize", "find", "rfind", "count", "join", "isdigit", "isalpha", "isspace", "isupper",
        "islower", "removeprefix", "removesuffix",
    ]
    static let listMethods: Set<String> = ["index", "count"]
    static let mapMethods: Set<String> = ["items", "keys", "values", "get"]

    mutating func method(_ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        switch value {
        case .string(let text): return try stringMethod(text, call)
        case .map(let map):
            switch call.name {
            case "items": return .list(map.members.map { .list([.string($0.key), $0.value]) })
            case "keys": return .list(map.keys.map { .string($0) })
            case "values": return .list(map.members.map { $0.value })
            default: return map[try call.requiredString(0, "key")] ?? call.value(1, "default") ?? .none
            }
        case .list(let elements):
            let wanted = call.value(0, "value") ?? .none
            if call.name == "count" {
                return .integer(elements.filter { TemplateValue.areEqual($0, wanted) }.count)
            }
            guard let place = elements.firstIndex(where: { TemplateValue.areEqual($0, wanted) }) else {
                throw call.refuses(wanted, "an element of the list")
            }
            return .integer(place)
        case .loop(let loop):
            guard !call.positional.isEmpty else { throw call.refuses(.none, "values to cycle through") }
            return call.positional[loop.index % call.positional.count]
        default: throw call.refuses(value, "a value with methods")
        }
    }

    private mutating func stringMethod(_ text: String, _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        try charge(text.utf8.count)
        let scalars = text.unicodeScalars
        switch call.name {
        case "strip", "lstrip", "rstrip":
            return .string(
                TemplateText.trim(
                    text, try call.string(0, "chars"), start: call.name != "rstrip", end: call.name != "lstrip"))
        case "split", "rsplit":
            let separator = try call.string(0, "sep")
            if separator?.isEmpty == true { throw call.refuses(.string(""), "a separator") }
            let maximum = try call.integer(1, "maxsplit") ?? -1
            let parts = TemplateText.split(text, separator, maximum, fromEnd: call.name == "rsplit")
            try charge(elements: parts.count)
            return .list(parts.map { .string($0) })
        case "splitlines":
            var lines = TemplateText.split(
                text.replacing("\r\n", with: "\n").replacing("\r", with: "\n"), "\n", -1, fromEnd: false)
            if lines.last == "" { lines.removeLast() }
            return .list(lines.map { .string($0) })
        case "startswith", "endswith":
            let candidates = call.value(0, "prefix").map { $0.elementsIfList ?? [$0] } ?? []
            for candidate in candidates {
                guard case .string(let part) = candidate else { throw call.refuses(candidate, "a string") }
                let matches =
                    call.name == "startswith"
                    ? text.utf8.starts(with: part.utf8) : text.utf8.reversed().starts(with: part.utf8.reversed())
                if matches { return true.asValue }
            }
            return false.asValue
        case "replace":
            return .string(
                try replacing(
                    text, try call.requiredString(0, "old"), try call.requiredString(1, "new"),
                    try call.integer(2, "count") ?? -1))
        case "upper": return .string(text.uppercased())
        case "lower": return .string(text.lowercased())
        case "title": return .string(TemplateText.title(text))
        case "capitalize": return .string(TemplateText.capitalized(text))
        case "find", "rfind":
            let part = try call.requiredString(0, "sub")
            let found = TemplateText.range(of: part, in: text, last: call.name == "rfind")
            return .integer(found?.lowerBound ?? -1)
        case "count":
            let part = try call.requiredString(0, "sub")
            guard !part.isEmpty else { return .integer(scalars.count + 1) }
            return .integer(TemplateText.split(text, part, -1, fromEnd: false).count - 1)
        case "join": return .string(try join(call.value(0, "iterable") ?? .none, text, call))
        case "isdigit": return (!text.isEmpty && scalars.allSatisfy { $0.properties.numericType != nil }).asValue
        case "isalpha": return (!text.isEmpty && scalars.allSatisfy { $0.properties.isAlphabetic }).asValue
        case "isspace": return (!text.isEmpty && scalars.allSatisfy(TemplateText.isSpace)).asValue
        case "isupper": return (text != text.lowercased() && text == text.uppercased()).asValue
        case "islower": return (text != text.uppercased() && text == text.lowercased()).asValue
        case "removeprefix":
            let part = try call.requiredString(0, "prefix")
            return .string(
                text.utf8.starts(with: part.utf8) ? String(scalars.dropFirst(part.unicodeScalars.count)) : text)
        default:
            let part = try call.requiredString(0, "suffix")
            let matches = text.utf8.reversed().starts(with: part.utf8.reversed())
            return .string(matches ? String(scalars.dropLast(part.unicodeScalars.count)) : text)
        }
    }

    /// Joins texts with a separator.
    mutating func join(_ value: TemplateValue, _ separator: String, _ call: TemplateCall) throws(DyadError) -> String {
        guard let elements = value.elements else { throw call.refuses(value, "a list") }
        var result = ""
        for (place, element) in elements.enumerated() {
            if place > 0 { result += separator }
            result += element.text
            try charge(separator.utf8.count + element.text.utf8.count)
        }
        return result
    }

    /// Replaces the first `count` occurrences, all if it is negative.
    mutating func replacing(_ text: String, _ old: String, _ new: String, _ count: Int) throws(DyadError) -> String {
        let parts: [String]
        if old.isEmpty {
            // Python puts the new text before every scalar and at the end.
            let scalars = text.unicodeScalars.map { String(Character($0)) }
            parts = [""] + (count < 0 ? scalars + [""] : scalars)
        } else {
            parts = TemplateText.split(text, old, count, fromEnd: false)
        }
        let (grown, overflow) = parts.count.multipliedReportingOverflow(by: new.utf8.count)
        try charge(overflow ? .max : grown)
        return parts.joined(separator: new)
    }
}

extension Bool {
    fileprivate var asValue: TemplateValue { .bool(self) }
}

extension TemplateValue {
    fileprivate var elementsIfList: [TemplateValue]? {
        if case .list(let elements) = self { elements } else { nil }
    }
}
