import DyadFormats

/// The methods of Python's `str`, `list` and `dict` that templates use. Those that change a value do not exist here:
/// Hugging Face's sandbox forbids them, too.
extension TemplateInterpreter {
    /// The methods of strings, with the names of their arguments.
    private static let stringArguments: [String: [String]] = [
        "capitalize": [], "casefold": [], "center": ["width", "fillchar"], "count": ["sub", "start", "end"],
        "endswith": ["suffix", "start", "end"], "expandtabs": ["tabsize"], "find": ["sub", "start", "end"],
        "format": [], "format_map": ["mapping"], "index": ["sub", "start", "end"], "isalnum": [], "isalpha": [],
        "isascii": [], "isdecimal": [], "isdigit": [], "isidentifier": [], "islower": [], "isnumeric": [],
        "isprintable": [], "isspace": [], "istitle": [], "isupper": [], "join": ["iterable"],
        "ljust": ["width", "fillchar"], "lower": [], "lstrip": ["chars"], "partition": ["sep"],
        "removeprefix": ["prefix"], "removesuffix": ["suffix"], "replace": ["old", "new", "count"],
        "rfind": ["sub", "start", "end"], "rindex": ["sub", "start", "end"], "rjust": ["width", "fillchar"],
        "rpartition": ["sep"], "rsplit": ["sep", "maxsplit"], "rstrip": ["chars"], "split": ["sep", "maxsplit"],
        "splitlines": ["keepends"], "startswith": ["prefix", "start", "end"], "strip": ["chars"], "swapcase": [],
        "title": [], "upper": [], "zfill": ["width"],
    ]
    /// The methods whose arguments may be given by name.
    private static let named: Set<String> = ["split", "rsplit", "splitlines", "expandtabs"]
    static let stringMethods = Set(stringArguments.keys)
    static let listMethods: Set<String> = ["index", "count", "copy"]
    static let mapMethods: Set<String> = ["items", "keys", "values", "get", "copy"]

    mutating func method(_ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        switch value {
        case .string(let text): return try stringMethod(text, call)
        case .map(let map): return try mapMethod(map, value, call)
        case .sequence(let sequence):
            if call.name == "copy" {
                try call.check([])
                return value
            }
            try call.check(call.name == "count" ? ["value"] : ["value", "start", "stop"], unnamed: 3)
            let wanted = try call.required(0, "value")
            var count = 0
            let bounds = try bounds(call, sequence.elements.count)
            for place in call.name == "count" ? sequence.elements.indices : bounds {
                guard try areEqual(sequence.elements[place], wanted) else { continue }
                if call.name == "index" { return .integer(place) }
                count += 1
            }
            if call.name == "index" { throw call.refuses(wanted, "an element of the list") }
            return .integer(count)
        case .loop(let number): return try loopMethod(number, call)
        case .cycler(let number):
            try call.check([])
            let (values, place) = cyclers[number]
            cyclers[number].place = call.name == "next" ? (place + 1) % values.count : 0
            return call.name == "next" ? values[place] : .none
        case .function:
            try call.check(["iterable", "value"], unnamed: 2)
            let given = try call.required(0, "iterable")
            guard let keys = try elements(of: given) else { throw call.refuses(given, "a list") }
            var members = TemplateMembers()
            for name in keys { members.set(try key(name), name, call.value(1, "value") ?? .none) }
            return try map(members)
        default: throw call.refuses(value, "a value with methods")
        }
    }

    private mutating func mapMethod(_ map: TemplateMap, _ value: TemplateValue, _ call: TemplateCall) throws(DyadError)
        -> TemplateValue
    {
        try call.check(call.name == "get" ? ["key", "default"] : [], unnamed: 2)
        switch call.name {
        case "items": return try sequence(try pairs(map), .items)
        case "keys": return try sequence(map.keys, .keys)
        case "values": return try sequence(map.values, .values)
        case "copy": return value
        default:
            let key = try call.required(0, "key")
            if key.isUndefined { return call.value(1, "default") ?? .none }
            return map[try self.key(key)] ?? call.value(1, "default") ?? .none
        }
    }

    private mutating func loopMethod(_ number: Int, _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        if let name = call.named.keys.min() { throw call.refuses(name) }
        if call.name == "changed" {
            let values = try sequence(call.positional, .tuple)
            let isSame = if let last = loops[number].last { try areEqual(last, values) } else { false }
            loops[number].last = values
            return .bool(!isSame)
        }
        guard !call.positional.isEmpty else { throw call.refuses(.none, "values to cycle through") }
        return call.positional[loops[number].index % call.positional.count]
    }

    /// The places from `start` to `end`, the second and third arguments of some methods.
    private func bounds(_ call: TemplateCall, _ count: Int) throws(DyadError) -> Range<Int> {
        func place(_ bound: Int?, _ standard: Int) -> Int {
            guard let bound else { return standard }
            return min(max(bound < 0 ? bound &+ count : bound, 0), count)
        }
        let start = place(try call.integer(1, "start"), 0)
        return start..<max(start, place(try call.integer(2, "end"), count))
    }

    private mutating func stringMethod(_ string: TemplateString, _ call: TemplateCall) throws(DyadError)
        -> TemplateValue
    {
        let name = call.name
        if name == "format" { return text(try braceFormat(string, call)) }
        if name == "format_map" {
            try call.check(["mapping"], unnamed: 1)
            guard case .map(let map)? = call.value(0, "mapping") else { throw call.refuses(.none, "a mapping") }
            var named: [String: TemplateValue] = [:]
            try charge(elements: 4 * map.keys.count)
            for (key, value) in zip(map.keys, map.values) { if let key = key.string { named[key.text] = value } }
            return text(
                try braceFormat(string, TemplateCall("format_map", line, positional: [], named: named)))
        }
        let arguments = Self.stringArguments[name] ?? []
        try call.check(arguments, unnamed: Self.named.contains(name) ? 0 : name == "replace" ? 2 : arguments.count)
        if string.isMarkup, ["join", "replace", "partition"].contains(name) {
            throw TemplateFailure.unsupported(line, "'\(name)' of text marked safe", "plain text")
        }
        try charge(scalars: string.count)
        let scalars = string.scalars
        func kept(_ scalars: [UInt32]) -> TemplateValue {
            .string(TemplateString(scalars, isMarkup: string.isMarkup))
        }
        switch name {
        case "strip", "lstrip", "rstrip":
            return kept(
                TemplateText.trim(scalars, try call.string(0, "chars"), start: name != "rstrip", end: name != "lstrip"))
        case "split", "rsplit":
            let separator = try call.string(0, "sep")
            if separator?.isEmpty == true { throw call.refuses(TemplateValue(""), "a separator that is not empty") }
            let maximum = try call.integer(1, "maxsplit") ?? -1
            try charge(scalars: 2 * scalars.count + (separator?.count ?? 0))
            // There are no more parts than starts of separators, each an array of its own.
            let first = separator?.first.map(TemplateText.plain)
            let cuts = scalars.lazy.filter { first == nil ? TemplateText.isSpace($0) : TemplateText.plain($0) == first }
                .count
            try charge(elements: 4 * (1 + (maximum < 0 ? cuts : min(cuts, maximum))))
            let parts = TemplateText.split(scalars, separator, maximum, fromEnd: name == "rsplit")
            return try sequence(parts.map { text($0) })
        case "splitlines":
            let ends = scalars.lazy.filter { TemplateText.isSpace($0) }.count
            try charge(elements: 4 * (1 + ends))
            return try sequence(TemplateText.lines(scalars, keepEnds: call.isTrue(0, "keepends")).map { text($0) })
        case "partition", "rpartition":
            let separator = try call.requiredString(0, "sep")
            if separator.isEmpty { throw call.refuses(TemplateValue(""), "a separator that is not empty") }
            try charge(scalars: 2 * scalars.count + 2 * separator.count)
            let parts = TemplateText.split(scalars, separator, 1, fromEnd: name == "rpartition")
            // The separator as the text has it: what a user wrote stays a user's.
            let middle = parts.count == 2 ? Array(scalars[parts[0].count..<parts[0].count + separator.count]) : []
            let all =
                parts.count == 2
                ? [parts[0], middle, parts[1]] : name == "partition" ? [scalars, [], []] : [[], [], scalars]
            return try sequence(all.map { text($0) }, .tuple)
        case "startswith", "endswith": return .bool(try matchesEnd(scalars, call))
        case "replace":
            return text(
                try replacing(
                    scalars, try call.requiredString(0, "old"), try call.requiredString(1, "new"),
                    try call.integer(2, "count") ?? -1))
        case "upper", "lower", "title", "capitalize", "swapcase", "casefold":
            try chargeCase(scalars)
            return kept(try changedCase(scalars, name))
        case "find", "rfind", "index", "rindex": return try found(scalars, call)
        case "count":
            let part = try call.requiredString(0, "sub")
            let within = Array(scalars[try bounds(call, scalars.count)])
            try charge(scalars: 3 * (within.count + part.count))
            return .integer(part.isEmpty ? within.count + 1 : TemplateText.places(of: part, in: within).count)
        case "join":
            let given = try call.required(0, "iterable")
            guard let elements = try elements(of: given) else { throw call.refuses(given, "a list") }
            var parts: [TemplateString] = []
            try charge(elements: elements.count)
            for element in elements {
                guard let part = element.string else { throw call.refuses(element, "strings") }
                parts.append(part)
            }
            return text(try joined(parts, separator: scalars))
        case "removeprefix", "removesuffix":
            let part = try call.requiredString(0, name == "removeprefix" ? "prefix" : "suffix")
            if name == "removeprefix" {
                return kept(TemplateText.starts(scalars, with: part) ? Array(scalars.dropFirst(part.count)) : scalars)
            }
            return kept(TemplateText.ends(scalars, with: part) ? Array(scalars.dropLast(part.count)) : scalars)
        case "center", "ljust", "rjust": return try filled(scalars, call)
        case "zfill":
            let width = try call.integer(0, "width") ?? 0
            let hasSign = scalars.first.map { [0x2b, 0x2d].contains(TemplateText.plain($0)) } ?? false
            let sign = Array(scalars.prefix(hasSign ? 1 : 0))
            return text(
                sign
                    + (try padded(
                        Array(scalars.dropFirst(sign.count)), max(0, width) - sign.count,
                        fill: 0x30 | TemplateString.contentMark, left: true, right: false)))
        case "expandtabs": return try withoutTabs(scalars, try call.integer(0, "tabsize") ?? 8)
        default: return .bool(try hasClass(scalars, name))
        }
    }

    private mutating func changedCase(_ scalars: [UInt32], _ name: String) throws(DyadError) -> [UInt32] {
        switch name {
        case "upper": return TemplateText.upper(scalars)
        case "lower": return TemplateText.lower(scalars)
        case "title":
            try spend(32 * scalars.count)
            return TemplateText.title(scalars)
        case "capitalize": return TemplateText.capitalized(scalars)
        case "swapcase":
            try spend(32 * scalars.count)
            return TemplateText.swapped(scalars)
        default:
            // Case folding has a table of its own beyond ASCII.
            guard scalars.allSatisfy({ TemplateText.plain($0) < 128 }) else {
                throw TemplateFailure.unsupported(line, "'casefold' beyond ASCII", "'lower'")
            }
            return TemplateText.lower(scalars)
        }
    }

    private mutating func matchesEnd(_ text: [UInt32], _ call: TemplateCall) throws(DyadError) -> Bool {
        let isStart = call.name == "startswith"
        let given = try call.required(0, isStart ? "prefix" : "suffix")
        var candidates = [given]
        if case .sequence(let sequence) = given, sequence.isTuple { candidates = sequence.elements }
        let bounds = try bounds(call, text.count)
        let within = bounds == 0..<text.count ? text : Array(text[bounds])
        for candidate in candidates {
            guard let part = candidate.string?.scalars else {
                throw call.refuses(candidate, "a string or a tuple of them")
            }
            try spend(min(part.count, within.count) + 8)
            if isStart ? TemplateText.starts(within, with: part) : TemplateText.ends(within, with: part) { return true }
        }
        return false
    }

    private mutating func found(_ text: [UInt32], _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        let part = try call.requiredString(0, "sub")
        let bounds = try bounds(call, text.count)
        try charge(scalars: 3 * (bounds.count + part.count))
        let start = try call.integer(1, "start") ?? 0
        if start <= text.count,
            let place = TemplateText.place(of: part, in: Array(text[bounds]), last: call.name.hasPrefix("r"))
        {
            return .integer(place + bounds.lowerBound)
        }
        if call.name.hasSuffix("index") {
            throw TemplateFailure.value(line, "'\(call.name)' of a part that is not there", "a part of the string")
        }
        return .integer(-1)
    }

    private mutating func filled(_ text: [UInt32], _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        guard let width = try call.integer(0, "width") else { throw call.refuses(.none, "a width") }
        let fill = try call.string(1, "fillchar") ?? [32 | TemplateString.contentMark]
        guard fill.count == 1 else { throw call.refuses(.string(TemplateString(fill)), "one character to fill with") }
        return self.text(
            try padded(text, width, fill: fill[0], left: call.name != "ljust", right: call.name != "rjust"))
    }

    private mutating func withoutTabs(_ text: [UInt32], _ size: Int) throws(DyadError) -> TemplateValue {
        var result: [UInt32] = []
        var column = 0
        for value in text {
            switch TemplateText.plain(value) {
            case 9:
                guard size > 0 else { continue }
                let width = size - column % size
                try charge(scalars: width)
                result += [UInt32](repeating: 32 | value & TemplateString.contentMark, count: width)
                column += width
            case 10, 13:
                result.append(value)
                column = 0
            default:
                result.append(value)
                column += 1
            }
        }
        return self.text(result)
    }

    private mutating func hasClass(_ text: [UInt32], _ name: String) throws(DyadError) -> Bool {
        try spend(64 * text.count)
        switch name {
        case "isascii": return text.allSatisfy { TemplateText.plain($0) < 128 }
        case "isprintable": return text.allSatisfy(TemplateText.isPrintable)
        case "isupper", "islower": return TemplateText.isCase(text, upper: name == "isupper")
        case "istitle": return TemplateText.isTitle(text)
        case "isidentifier":
            let isLetter = { (value: UInt32) in
                TemplateText.plain(value) == 0x5f || TemplateString.scalar(value).properties.isXIDStart
            }
            return text.first.map(isLetter) ?? false
                && text.allSatisfy { isLetter($0) || TemplateString.scalar($0).properties.isXIDContinue }
        default: break
        }
        guard !text.isEmpty else { return false }
        switch name {
        case "isalnum": return text.allSatisfy(TemplateText.isAlphanumeric)
        case "isalpha": return text.allSatisfy(TemplateText.isAlpha)
        case "isdecimal": return text.allSatisfy(TemplateText.isDecimal)
        case "isdigit": return text.allSatisfy(TemplateText.isDigit)
        case "isnumeric": return text.allSatisfy(TemplateText.isNumeric)
        default: return text.allSatisfy { TemplateText.isSpace($0) }
        }
    }

    /// Replaces the first `count` occurrences, all if it is negative.
    mutating func replacing(_ text: [UInt32], _ old: [UInt32], _ new: [UInt32], _ count: Int) throws(DyadError)
        -> [UInt32]
    {
        try charge(scalars: 2 * (text.count + old.count))
        let limit = count < 0 ? Int.max : count
        let places: [Int]
        if old.isEmpty {
            // Python puts the new text before every scalar and at the end.
            places = Array(0..<min(limit, text.count + 1))
        } else {
            places = TemplateText.places(of: old, in: text, limit: limit)
        }
        guard !places.isEmpty else { return text }
        let (grown, overflow) = places.count.multipliedReportingOverflow(by: new.count)
        try charge(scalars: overflow ? .max : grown)
        var result: [UInt32] = []
        result.reserveCapacity(text.count + grown)
        var end = 0
        for place in places {
            result += text[end..<place]
            result += new
            end = place + old.count
        }
        return result + text[end...]
    }
}
