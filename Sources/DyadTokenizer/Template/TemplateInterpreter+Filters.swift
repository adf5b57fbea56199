import DyadFormats
import Foundation

/// Filters of single values; those of lists are in TemplateInterpreter+ListFilters.swift.
extension TemplateInterpreter {
    /// The filters, with the names of their arguments in order.
    static let filterArguments: [String: [String]] = [
        "abs": [], "attr": ["name"], "batch": ["linecount", "fill_with"], "capitalize": [], "center": ["width"],
        "count": [], "d": ["default_value", "boolean"], "default": ["default_value", "boolean"],
        "dictsort": ["case_sensitive", "by", "reverse"], "e": [], "escape": [], "filesizeformat": ["binary"],
        "first": [], "float": ["default"], "forceescape": [],
        "groupby": ["attribute", "default", "case_sensitive"], "indent": ["width", "first", "blank"],
        "int": ["default", "base"], "items": [], "join": ["d", "attribute"], "last": [], "length": [], "list": [],
        "lower": [], "max": ["case_sensitive", "attribute"], "min": ["case_sensitive", "attribute"], "pprint": [],
        "replace": ["old", "new", "count"], "reverse": [], "round": ["precision", "method"], "safe": [],
        "slice": ["slices", "fill_with"], "sort": ["reverse", "case_sensitive", "attribute"], "string": [],
        "sum": ["attribute", "start"], "title": [], "tojson": ["ensure_ascii", "indent", "separators", "sort_keys"],
        "trim": ["chars"], "truncate": ["length", "killwords", "end", "leeway"],
        "unique": ["case_sensitive", "attribute"], "upper": [], "urlencode": [], "wordcount": [],
        "xmlattr": ["autospace"],
        // These take what other filters and tests take, and check it themselves.
        "format": [], "map": [], "select": [], "reject": [], "selectattr": [], "rejectattr": [],
    ]
    private static let openFilters: Set<String> = ["format", "map", "select", "reject", "selectattr", "rejectattr"]

    mutating func filter(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(DyadError)
        -> TemplateValue
    {
        guard let arguments = Self.filterArguments[name] else {
            throw TemplateFailure.unsupported(
                line, "the filter '\(name.prefix(40))'", Self.filterArguments.keys.sorted().joined(separator: ", "))
        }
        if !Self.openFilters.contains(name) { try call.check(arguments) }
        switch name {
        case "default", "d":
            let isMissing = value.isUndefined || (call.isTrue(1, "boolean") && !value.isTrue)
            return isMissing ? call.value(0, "default_value") ?? TemplateValue("") : value
        case "length", "count": return .integer(try count(value, call))
        case "int", "float", "abs", "round", "filesizeformat": return try numberFilter(name, value, call)
        case "tojson": return try json(value, call)
        case "attr":
            if value.isUndefined { throw call.refuses(value, "a value") }
            let name = TemplateString(Array(try call.requiredString(0, "name").prefix(1000))).text
            return try pythonAttribute(value, name) ?? .undefined(name)
        case "pprint": return try prettyPrinted(value)
        case "trim", "upper", "lower", "title", "capitalize", "string", "safe", "e", "escape", "forceescape",
            "replace", "indent", "center", "truncate", "wordcount", "urlencode", "xmlattr", "format":
            return try textFilter(name, value, call)
        default: return try listFilter(name, value, call)
        }
    }

    private mutating func textFilter(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(DyadError)
        -> TemplateValue
    {
        switch name {
        case "urlencode": return try urlEncoded(value, call)
        case "xmlattr": return try attributes(value, call)
        default: break
        }
        let string = try string(value)
        let scalars = string.scalars
        func kept(_ scalars: [UInt32]) -> TemplateValue {
            .string(TemplateString(scalars, isMarkup: string.isMarkup))
        }
        switch name {
        case "trim":
            try charge(scalars: scalars.count)
            return kept(TemplateText.trim(scalars, try call.string(0, "chars")))
        case "upper", "lower", "title", "capitalize":
            try chargeCase(scalars)
            switch name {
            case "upper": return kept(TemplateText.upper(scalars))
            case "lower": return kept(TemplateText.lower(scalars))
            case "title": return text(TemplateText.titleFilter(scalars))
            default: return kept(TemplateText.capitalized(scalars))
            }
        case "string": return .string(string)
        case "safe": return .string(TemplateString(scalars, isMarkup: true))
        case "e", "escape": return .string(try escaped(string))
        case "forceescape": return .string(try escaped(TemplateString(scalars)))
        case "replace":
            let old = try self.string(try call.required(0, "old")).scalars
            let new = try self.string(try call.required(1, "new")).scalars
            return text(try replacing(scalars, old, new, try call.integer(2, "count") ?? -1))
        case "indent":
            guard value.string != nil else { throw call.refuses(value, "a string") }
            return kept(try indented(scalars, call))
        case "center":
            return kept(try padded(scalars, try call.integer(0, "width") ?? 80, left: true, right: true))
        case "truncate": return text(try truncated(value, call))
        case "wordcount":
            try spend(64 * scalars.count)
            var count = 0
            var isInWord = false
            for value in scalars {
                let isWord = TemplateText.plain(value) == 0x5f || TemplateText.isAlphanumeric(value)
                if isWord, !isInWord { count += 1 }
                isInWord = isWord
            }
            return .integer(count)
        default:
            guard call.positional.isEmpty || call.named.isEmpty else {
                throw TemplateFailure.value(line, "arguments of 'format' with and without names", "one kind")
            }
            var members = TemplateMembers()
            for (name, value) in call.named { members.set(TemplateKey(name), TemplateValue(name), value) }
            let values = try call.named.isEmpty ? sequence(call.positional, .tuple) : map(members)
            return text(try percentFormat(scalars, values))
        }
    }

    /// Accounts for a change of case: scalars beyond ASCII cost more, and may become three.
    mutating func chargeCase(_ scalars: [UInt32]) throws(DyadError) {
        try spend(scalars.count)
        let others = scalars.lazy.filter { TemplateText.plain($0) > 127 }.count
        try charge(scalars: scalars.count + 2 * others)
        try spend(64 * others)
    }

    private mutating func indented(_ text: [UInt32], _ call: TemplateCall) throws(DyadError) -> [UInt32] {
        let space: [UInt32]
        if let text = call.value(0, "width")?.string {
            space = text.scalars
        } else {
            let width = max(0, try call.integer(0, "width") ?? 4)
            try charge(scalars: width)
            space = [UInt32](repeating: 32 | TemplateString.contentMark, count: width)
        }
        let isBlank = call.isTrue(2, "blank")
        try charge(scalars: 2 * text.count)
        try charge(elements: 4 * text.lazy.filter { TemplateText.isSpace($0) }.count)
        let lines = TemplateText.lines(text + [10])
        var result: [UInt32] = []
        for (place, line) in lines.enumerated() {
            if place > 0 { result.append(10) }
            let isIndented = place == 0 ? call.isTrue(1, "first") : isBlank || !line.isEmpty
            if isIndented {
                try charge(scalars: space.count)
                result += space
            }
            result += line
        }
        return result
    }

    /// `center`, `ljust` and `rjust`: filled up to a width on both sides or one.
    mutating func padded(
        _ text: [UInt32], _ width: Int, fill: UInt32 = 32 | TemplateString.contentMark, left: Bool, right: Bool
    )
        throws(DyadError) -> [UInt32]
    {
        guard width > text.count else { return text }
        try charge(scalars: width)
        let space = width - text.count
        // Python puts the odd one to the left where the width is odd.
        let before = !left ? 0 : !right ? space : space / 2 + (space & width & 1)
        return [UInt32](repeating: fill, count: before) + text + [UInt32](repeating: fill, count: space - before)
    }

    private mutating func truncated(_ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> [UInt32] {
        guard let text = value.string?.scalars else { throw call.refuses(value, "a string") }
        let length = try call.integer(0, "length") ?? 255
        let end = try call.string(2, "end") ?? TemplateString("...").scalars
        let leeway = try call.integer(3, "leeway") ?? 5
        guard length >= end.count, leeway >= 0 else {
            throw TemplateFailure.value(line, "the length \(length)", "at least that of the end; no negative leeway")
        }
        guard text.count > length, text.count - length > leeway else { return text }
        try charge(scalars: 3 * text.count)
        let kept = Array(text.prefix(length - end.count))
        if call.isTrue(1, "killwords") { return kept + end }
        return TemplateText.split(kept, [32], 1, fromEnd: true)[0] + end
    }

    private mutating func count(_ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> Int {
        switch value {
        case .string(let text): return text.count
        case .sequence(let sequence): return sequence.elements.count
        case .map(let map): return map.keys.count
        case .loop(let number): return loops[number].items.count
        case .undefined: return 0
        default: throw call.refuses(value, "a value with a length")
        }
    }

    // MARK: Numbers

    private mutating func numberFilter(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(DyadError)
        -> TemplateValue
    {
        if value.isUndefined { throw call.refuses(value, "a value") }
        switch name {
        case "int":
            let base = try call.integer(1, "base") ?? 10
            guard base == 0 || (2...36).contains(base) else {
                throw call.wrong("base", .integer(base), "0 or 2 to 36")
            }
            if let integer = value.integer { return .integer(integer) }
            if let text = value.string {
                try spend(text.count)
                if let integer = TemplateNumber.integer(text.scalars, base: base) { return .integer(integer) }
            }
            let number: Double? =
                if case .decimal(let number) = value { number } else {
                    value.string.flatMap { TemplateNumber.decimal($0.scalars) }
                }
            if case .decimal(let number) = value, number.isInfinite { throw call.refuses(value, "a finite number") }
            guard let number, number.isFinite else { return call.value(0, "default") ?? .integer(0) }
            guard let integer = Int(exactly: number.rounded(.towardZero)) else {
                throw TemplateFailure.unsupported(line, "an integer beyond 64 bits", "integers of 64 bits")
            }
            return .integer(integer)
        case "float":
            if let number = value.number { return .decimal(number) }
            if let text = value.string {
                try spend(text.count)
                if let number = TemplateNumber.decimal(text.scalars) { return .decimal(number) }
            }
            return call.value(0, "default") ?? .decimal(0)
        case "abs":
            if let integer = value.integer { return integer < 0 ? try negative(value) : .integer(integer) }
            guard let number = value.number else { throw call.refuses(value, "a number") }
            return .decimal(abs(number))
        case "round": return try rounded(value, call)
        default: return try fileSize(value, call)
        }
    }

    private mutating func rounded(_ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        // Decimals have no digits beyond these.
        let precision = max(-400, min(400, try call.integer(0, "precision") ?? 0))
        let method = TemplateString(try call.string(1, "method") ?? TemplateString("common").scalars)
        guard let number = value.number else { throw call.refuses(value, "a number") }
        switch method.count < 10 ? method.text : "" {
        case "common":
            if let integer = value.integer {
                guard precision < 0 else { return .integer(integer) }
                guard precision > -19, abs(integer) < Int(1e18) else {
                    throw TemplateFailure.unsupported(line, "rounding \(integer) at \(precision)", "smaller numbers")
                }
                // To nearest, ties to even.
                var unit = 1
                for _ in 0..<(-precision) { unit *= 10 }
                let quotient = Int((Double(integer) / Double(unit)).rounded(.down))
                let rest = integer - quotient * unit
                let isUp = rest * 2 > unit || (rest * 2 == unit && quotient % 2 != 0)
                return .integer((quotient + (isUp ? 1 : 0)) * unit)
            }
            guard number.isFinite, precision <= 323 else { return value }
            if precision < 0 {
                let unit = pow(10, Double(-precision))
                return .decimal(unit.isFinite ? (number / unit).rounded(.toNearestOrEven) * unit : 0)
            }
            return .decimal(Double(String(format: "%.\(precision)f", number)) ?? number)
        case "ceil", "floor":
            let unit = pow(10, Double(precision))
            let scaled = number * unit
            guard scaled.isFinite, unit != 0 else {
                throw TemplateFailure.value(line, "rounding at \(precision)", "a result that is finite")
            }
            return .decimal(scaled.rounded(method.text == "ceil" ? .up : .down) / unit)
        default: throw call.wrong("method", .string(method), "'common', 'ceil' or 'floor'")
        }
    }

    private mutating func fileSize(_ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        guard let bytes = value.number ?? value.string.flatMap({ TemplateNumber.decimal($0.scalars) }), bytes.isFinite
        else { throw call.refuses(value, "a number") }
        let isBinary = call.isTrue(0, "binary")
        let base: Double = isBinary ? 1024 : 1000
        if bytes == 1 { return try made("1 Byte") }
        if bytes < base { return try made("\(Int(max(bytes, -9e18))) Bytes") }
        let prefixes = ["k", "M", "G", "T", "P", "E", "Z", "Y"]
        for (place, prefix) in prefixes.enumerated() {
            // Python compares with an integer; of these only 10²⁴ is no Double, and the next one is below it.
            let unit = isBinary ? pow(base, Double(place + 2)) : Double("1e\(3 * (place + 2))") ?? .infinity
            if bytes < unit || bytes == 1e24 && unit == 1e24 || place == prefixes.count - 1 {
                let name = isBinary ? prefix.uppercased() + "iB" : prefix + "B"
                return try made(String(format: "%.1f ", base * bytes / unit) + name)
            }
        }
        return .none
    }

    /// A text that was made of values; counts as the conversation's.
    private mutating func made(_ text: String) throws(DyadError) -> TemplateValue {
        try charge(scalars: text.utf8.count)
        return .string(TemplateString(text, isContent: true))
    }

    // MARK: Web

    private mutating func urlEncoded(_ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        let pairs: [TemplateValue]
        switch value {
        case .map(let map):
            var members: [TemplateValue] = []
            for (key, value) in zip(map.keys, map.values) { members.append(try sequence([key, value], .tuple)) }
            pairs = members
        case .sequence, .iterator, .undefined: pairs = try elements(of: value) ?? []
        default: return text(try quotedForURL(try string(value).scalars, isQuery: false))
        }
        var parts: [TemplateString] = []
        for pair in pairs {
            guard let pair = try elements(of: pair), pair.count == 2 else { throw call.refuses(value, "pairs") }
            let key = try quotedForURL(try string(pair[0]).scalars, isQuery: true)
            let value = try quotedForURL(try string(pair[1]).scalars, isQuery: true)
            parts.append(TemplateString(try joined([TemplateString(key), TemplateString(value)], separator: [0x3d])))
        }
        return text(try joined(parts, separator: [0x26]))
    }

    private mutating func quotedForURL(_ text: [UInt32], isQuery: Bool) throws(DyadError) -> [UInt32] {
        try spend(4 * text.count)
        var result: [UInt32] = []
        for value in text {
            let scalar = TemplateText.plain(value)
            let mark = value & TemplateString.contentMark
            let isSafe =
                scalar < 128
                && (TemplateText.isAlphanumeric(scalar) || [0x5f, 0x2e, 0x2d, 0x7e].contains(scalar)
                    || (scalar == 0x2f && !isQuery))
            try charge(scalars: isSafe ? 1 : 12)
            if isSafe {
                result.append(value)
            } else if scalar == 32, isQuery {
                result.append(0x2b | mark)
            } else {
                var bytes: [UInt8] = []
                UTF8.append(scalar, to: &bytes)
                for byte in bytes {
                    let digits = String(byte, radix: 16, uppercase: true)
                    for unit in ("%" + (byte < 16 ? "0" : "") + digits).unicodeScalars {
                        result.append(unit.value | mark)
                    }
                }
            }
        }
        return result
    }

    private mutating func attributes(_ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        guard case .map(let map) = value else { throw call.refuses(value, "a mapping") }
        var parts: [TemplateString] = []
        for (key, value) in zip(map.keys, map.values) where !value.isNone && !value.isUndefined {
            guard let name = key.string else { throw call.refuses(key, "a string as the name of an attribute") }
            try spend(name.count)
            for value in name.scalars {
                let scalar = TemplateText.plain(value)
                guard !((9...13).contains(scalar) || [0x20, 0x2f, 0x3e, 0x3d].contains(scalar)) else {
                    throw call.refuses(key, "a name without white space, '/', '>' and '='")
                }
            }
            let quote = TemplateString([0x22 | TemplateString.contentMark])
            let text = try escaped(try string(value))
            parts.append(
                TemplateString(
                    try joined([
                        try escaped(name), TemplateString([0x3d | TemplateString.contentMark]), quote, text, quote,
                    ])))
        }
        let space = 32 | TemplateString.contentMark
        let all = try joined(parts, separator: [space])
        let isSpaced = call.value(0, "autospace")?.isTrue ?? true
        return text(isSpaced && !all.isEmpty ? [space] + all : all)
    }

    private mutating func prettyPrinted(_ value: TemplateValue) throws(DyadError) -> TemplateValue {
        let text = try representation(value)
        var isNested = false
        if case .map = value { isNested = true }
        if case .sequence = value { isNested = true }
        guard text.count <= 79, !(isNested && text.contains { TemplateText.plain($0) == 0x7b }) else {
            throw TemplateFailure.unsupported(line, "'pprint' of more than a line, or of a mapping", "'tojson'")
        }
        return self.text(text)
    }
}
