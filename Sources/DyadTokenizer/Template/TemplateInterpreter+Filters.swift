import DyadFormats

extension TemplateInterpreter {
    mutating func filter(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(DyadError)
        -> TemplateValue
    {
        switch name {
        case "trim": return .string(TemplateText.trim(value.text, try call.string(0, "chars")))
        case "upper": return .string(value.text.uppercased())
        case "lower": return .string(value.text.lowercased())
        case "title": return .string(TemplateText.titleFilter(value.text))
        case "capitalize": return .string(TemplateText.capitalized(value.text))
        case "string": return .string(value.text)
        case "safe": return value
        case "e", "escape": return .string(Self.escaped(value.text))
        case "replace":
            return .string(
                try replacing(
                    value.text, try call.requiredString(0, "old"), try call.requiredString(1, "new"),
                    try call.integer(2, "count") ?? -1))
        case "indent": return .string(try indented(value.text, call))
        case "tojson":
            guard let text = value.json(indent: try call.integer(0, "indent")) else {
                throw call.refuses(value, "a value that JSON can express")
            }
            try charge(text.utf8.count)
            return .string(text)
        case "default", "d":
            let isMissing = if case .undefined = value { true } else { false }
            let isFalse = call.value(1, "boolean")?.isTrue == true && !value.isTrue
            return isMissing || isFalse ? call.value(0, "default_value") ?? .string("") : value
        case "length", "count": return .integer(try count(value, call))
        case "int":
            if let integer = Self.integer(value) { return .integer(integer) }
            return .integer(try call.integer(0, "default") ?? 0)
        case "float":
            return .decimal(
                value.number ?? Double(TemplateText.trim(value.text, nil)) ?? call.value(0, "default")?.number ?? 0)
        case "abs":
            if let integer = value.integer { return .integer(integer < 0 ? 0 &- integer : integer) }
            guard let number = value.number else { throw call.refuses(value, "a number") }
            return .decimal(abs(number))
        default: return try listFilter(name, value, call)
        }
    }

    private mutating func listFilter(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(DyadError)
        -> TemplateValue
    {
        if name == "items" || name == "dictsort" {
            if case .undefined = value { return .list([]) }
            guard case .map(let map) = value else { throw call.refuses(value, "a mapping") }
            var members = map.members
            if name == "dictsort" {
                members.sort { $0.key.unicodeScalars.lexicographicallyPrecedes($1.key.unicodeScalars) }
            }
            return .list(members.map { .list([.string($0.key), $0.value]) })
        }
        guard let elements = value.elements else { throw call.refuses(value, "a list") }
        try charge(elements: elements.count)
        switch name {
        case "list": return .list(elements)
        case "first": return elements.first ?? .undefined("the first element")
        case "last": return elements.last ?? .undefined("the last element")
        case "reverse":
            if case .string = value { return .string(elements.reversed().map(\.text).joined()) }
            return .list(elements.reversed())
        case "join":
            var items = elements
            if let name = try call.string(1, "attribute") { items = try attributes(name, of: elements) }
            return .string(try join(.list(items), try call.string(0, "d") ?? "", call))
        case "unique":
            var seen: [TemplateValue] = []
            for element in elements where !seen.contains(where: { TemplateValue.areEqual($0, element) }) {
                seen.append(element)
                try charge(elements: seen.count)
            }
            return .list(seen)
        case "sort": return .list(try sorted(elements, call))
        case "min", "max":
            let sorted = try sorted(elements, TemplateCall(name, line, positional: []))
            return (name == "min" ? sorted.first : sorted.last) ?? .undefined("the \(name) of nothing")
        case "sum":
            var sum = 0.0
            for element in elements { sum += element.number ?? 0 }
            return elements.allSatisfy { $0.integer != nil } ? .integer(Int(exactly: sum) ?? 0) : .decimal(sum)
        case "map": return .list(try mapped(elements, call))
        case "select", "reject", "selectattr", "rejectattr": return .list(try selected(name, elements, call))
        default:
            throw TemplateFailure.unsupported(
                line, "the filter '\(name.prefix(40))'",
                "trim, upper, lower, title, capitalize, string, safe, escape, replace, indent, tojson, default, length, "
                    + "int, float, abs, items, dictsort, list, first, last, reverse, join, unique, sort, min, max, sum, "
                    + "map, select, reject, selectattr or rejectattr")
        }
    }

    private static func integer(_ value: TemplateValue) -> Int? {
        if let integer = value.integer { return integer }
        if case .decimal(let number) = value { return Int(exactly: number.rounded(.towardZero)) }
        let text = TemplateText.trim(value.text, nil)
        return Int(text) ?? Double(text).flatMap { Int(exactly: $0.rounded(.towardZero)) }
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
            .replacing("\"", with: "&#34;").replacing("'", with: "&#39;")
    }

    private mutating func indented(_ text: String, _ call: TemplateCall) throws(DyadError) -> String {
        let width = try call.integer(0, "width") ?? 4
        guard (0...1000).contains(width) else { throw call.refuses(.integer(width), "a width from 0 to 1000") }
        let space = String(repeating: " ", count: width)
        let isFirst = call.value(1, "first")?.isTrue ?? false
        let isBlank = call.value(2, "blank")?.isTrue ?? false
        let lines = TemplateText.split(text, "\n", -1, fromEnd: false)
        try charge(text.utf8.count + lines.count * width)
        return lines.enumerated().map { place, line in
            (place == 0 ? isFirst : isBlank || !line.isEmpty) ? space + line : line
        }.joined(separator: "\n")
    }

    private func count(_ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> Int {
        switch value {
        case .string(let text): return text.unicodeScalars.count
        case .list(let elements): return elements.count
        case .map(let map): return map.keys.count
        case .undefined: return 0
        default: throw call.refuses(value, "a value with a length")
        }
    }

    private mutating func attributes(_ path: String, of elements: [TemplateValue]) throws(DyadError) -> [TemplateValue]
    {
        var result: [TemplateValue] = []
        for element in elements { result.append(try attribute(path: path, of: element)) }
        return result
    }

    /// A member of a member: `function.name`.
    private func attribute(path: String, of element: TemplateValue) throws(DyadError) -> TemplateValue {
        var value = element
        for name in TemplateText.split(path, ".", -1, fromEnd: false) {
            if case .undefined = value { return value }
            value = try item(value, Int(name).map { .integer($0) } ?? .string(name))
        }
        return value
    }

    private mutating func mapped(_ elements: [TemplateValue], _ call: TemplateCall) throws(DyadError) -> [TemplateValue]
    {
        var result: [TemplateValue] = []
        if case .string(let path)? = call.named["attribute"] {
            result = try attributes(path, of: elements)
            guard let standard = call.named["default"] else { return result }
            return result.map { if case .undefined = $0 { standard } else { $0 } }
        }
        let name = try call.requiredString(0, "filter")
        let inner = TemplateCall(name, line, positional: Array(call.positional.dropFirst()))
        for element in elements { result.append(try filter(name, element, inner)) }
        return result
    }

    private mutating func selected(_ name: String, _ elements: [TemplateValue], _ call: TemplateCall) throws(DyadError)
        -> [TemplateValue]
    {
        let readsAttribute = name.hasSuffix("attr")
        let attribute = readsAttribute ? try call.requiredString(0, "attribute") : ""
        let place = readsAttribute ? 1 : 0
        let test = try call.string(place, "test")
        let inner = TemplateCall(test ?? name, line, positional: Array(call.positional.dropFirst(place + 1)))
        var result: [TemplateValue] = []
        for element in elements {
            let value = readsAttribute ? try self.attribute(path: attribute, of: element) : element
            let holds: Bool
            if let test { holds = try self.test(test, value, inner) } else { holds = value.isTrue }
            if holds == name.hasPrefix("select") { result.append(element) }
        }
        return result
    }

    private mutating func sorted(_ elements: [TemplateValue], _ call: TemplateCall) throws(DyadError) -> [TemplateValue]
    {
        let isReversed = call.value(0, "reverse")?.isTrue ?? false
        let isCaseSensitive = call.value(1, "case_sensitive")?.isTrue ?? false
        let path = try call.string(2, "attribute")
        var keyed: [(key: TemplateValue, value: TemplateValue)] = []
        for element in elements {
            var key = try path.map { path throws(DyadError) in try attribute(path: path, of: element) } ?? element
            if case .string(let text) = key, !isCaseSensitive { key = .string(text.lowercased()) }
            if let first = keyed.first?.key, TemplateValue.isLess(first, key) == nil {
                throw call.refuses(key, "values that have an order")
            }
            keyed.append((key, element))
        }
        // Swift's sort is stable, and so is Python's, in both directions.
        keyed.sort {
            (isReversed ? TemplateValue.isLess($1.key, $0.key) : TemplateValue.isLess($0.key, $1.key)) ?? false
        }
        return keyed.map(\.value)
    }
}
