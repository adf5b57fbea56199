import DyadFormats
import Foundation

/// How a value is to be written: the specification of `%` and of `str.format`.
struct TemplateFormat {
    var fill: UInt32 = 32
    /// `<`, `>`, `^` or `=`; nil for the standard of the value.
    var align: Unicode.Scalar?
    /// `+`, `-` or a space.
    var sign: Unicode.Scalar = "-"
    var isAlternate = false
    var width = 0
    /// `,` or `_`
    var grouping: Unicode.Scalar?
    var precision: Int?
    var type: Unicode.Scalar?

    static let limit = 1 << 20
}

extension TemplateInterpreter {
    // MARK: %

    /// `format % values`, as Python's strings have it.
    mutating func percentFormat(_ format: [UInt32], _ values: TemplateValue) throws(DyadError) -> [UInt32] {
        var arguments = [values][...]
        if case .sequence(let sequence) = values, sequence.isTuple { arguments = sequence.elements[...] }
        // What Python can index, but no tuple or text, may go unread.
        let isMapping =
            switch values {
            case .map: true
            case .sequence(let sequence): sequence.kind == .list
            default: false
            }
        var result: [UInt32] = []
        var position = 0
        try charge(scalars: format.count)
        func next() -> UInt32? { position < format.count ? TemplateText.plain(format[position]) : nil }
        func take() throws(DyadError) -> TemplateValue {
            guard let argument = arguments.popFirst() else {
                throw TemplateFailure.value(line, "a format with too few arguments", "one for each part")
            }
            return argument
        }
        while position < format.count {
            guard next() == 0x25 else {
                result.append(format[position])
                position += 1
                continue
            }
            position += 1
            var argument: TemplateValue?
            if next() == 0x28 {
                var name: [UInt32] = []
                var open = 1
                position += 1
                while let scalar = next() {
                    position += 1
                    if scalar == 0x28 { open += 1 }
                    if scalar == 0x29 { open -= 1 }
                    if open == 0 { break }
                    name.append(scalar)
                }
                guard case .map(let map) = values, open == 0 else {
                    throw TemplateFailure.value(line, "a format with a name", "a mapping after '%'")
                }
                guard let value = map[try key(text(name))] else {
                    throw TemplateFailure.value(
                        line, "no member '\(TemplateString(Array(name.prefix(60))).text)'", "one for each name")
                }
                argument = value
            }
            var spec = TemplateFormat()
            spec.sign = "-"
            var isZero = false
            while let scalar = next(), [0x23, 0x30, 0x2d, 0x20, 0x2b].contains(scalar) {
                position += 1
                switch scalar {
                case 0x23: spec.isAlternate = true
                case 0x30: isZero = true
                case 0x2d: spec.align = "<"
                case 0x20: if spec.sign != "+" { spec.sign = " " }
                default: spec.sign = "+"
                }
            }
            func number() throws(DyadError) -> Int? {
                if next() == 0x2a {
                    position += 1
                    guard let value = try take().integer else {
                        throw TemplateFailure.value(line, "'*' in a format without an integer", "an integer")
                    }
                    return max(-TemplateFormat.limit, min(TemplateFormat.limit + 1, value))
                }
                return digits(format, &position)
            }
            if let width = try number() {
                if width < 0 { spec.align = "<" }
                spec.width = abs(width)
            }
            if next() == 0x2e {
                position += 1
                spec.precision = max(0, try number() ?? 0)
            }
            while let scalar = next(), [0x68, 0x6c, 0x4c].contains(scalar) { position += 1 }
            guard let kind = next() else {
                throw TemplateFailure.value(line, "an incomplete format", "a letter after '%'")
            }
            position += 1
            if kind == 0x25 {
                guard format[position - 2] & TemplateString.scalarMask == 0x25 else {
                    throw TemplateFailure.unsupported(line, "a format with something before its second '%'", "'%%'")
                }
                result.append(format[position - 1])
                continue
            }
            if argument == nil { argument = try take() }
            if isZero, spec.align == nil {
                spec.align = "="
                spec.fill = 0x30
            }
            let part = try percent(kind, argument ?? .none, spec)
            try charge(scalars: part.count)
            result += part
        }
        guard arguments.isEmpty || isMapping else {
            throw TemplateFailure.value(line, "a format with too many arguments", "one for each part")
        }
        return result
    }

    private mutating func percent(_ kind: UInt32, _ value: TemplateValue, _ spec: TemplateFormat) throws(DyadError)
        -> [UInt32]
    {
        var spec = spec
        let letter = TemplateString.scalar(kind)
        switch letter {
        case "s", "r", "a":
            var text = letter == "s" ? try string(value).scalars : try representation(value)
            if letter == "a" { text = try asciiOnly(text) }
            if let precision = spec.precision { text = Array(text.prefix(precision)) }
            return try aligned(text, spec, standard: ">")
        case "c":
            if let integer = value.integer, let scalar = UInt32(exactly: integer), Unicode.Scalar(scalar) != nil {
                return try aligned([scalar | TemplateString.contentMark], spec, standard: ">")
            }
            guard let text = value.string, text.count == 1 else {
                throw TemplateFailure.value(line, "\(value.kind) for '%c'", "one character or its number")
            }
            return try aligned(text.scalars, spec, standard: ">")
        case "d", "i", "u", "x", "X", "o":
            var integer = value.integer
            if integer == nil, case .decimal(let number) = value, "diu".unicodeScalars.contains(letter) {
                integer = Int(exactly: number.rounded(.towardZero))
            }
            guard let integer else { throw TemplateFailure.value(line, "\(value.kind) for '%\(letter)'", "an integer") }
            let minimum = spec.precision ?? 0
            spec.precision = nil
            spec.type = "diu".unicodeScalars.contains(letter) ? "d" : letter
            return try formatted(integer: integer, spec, minimumDigits: minimum)
        case "e", "E", "f", "F", "g", "G":
            guard let number = value.number else {
                throw TemplateFailure.value(line, "\(value.kind) for '%\(letter)'", "a number")
            }
            spec.type = letter
            return try formatted(decimal: number, spec)
        default:
            throw TemplateFailure.value(
                line, "'%\(letter)' in a format", "one of %s %r %a %c %d %i %u %x %X %o %e %f %g")
        }
    }

    private func digits(_ format: [UInt32], _ position: inout Int) -> Int? {
        var number: Int?
        while position < format.count, (0x30...0x39).contains(TemplateText.plain(format[position])) {
            number = min(
                TemplateFormat.limit + 1, (number ?? 0) * 10 + Int(TemplateText.plain(format[position])) - 0x30)
            position += 1
        }
        return number
    }

    // MARK: str.format

    /// `format.format(arguments)`.
    mutating func braceFormat(_ format: TemplateString, _ call: TemplateCall) throws(DyadError) -> [UInt32] {
        if format.isMarkup { throw TemplateFailure.unsupported(line, "'format' of text marked safe", "plain text") }
        var place: Int? = 0
        return try braceFormat(format.scalars[...], call, &place, depth: 0)
    }

    /// `place`: the next argument without a number; nil once numbers are given.
    private mutating func braceFormat(
        _ format: ArraySlice<UInt32>, _ call: TemplateCall, _ place: inout Int?, depth: Int
    ) throws(DyadError) -> [UInt32] {
        guard depth < 2 else { throw TemplateFailure.value(line, "a format three deep", "at most two") }
        try charge(scalars: format.count)
        var result: [UInt32] = []
        var position = format.startIndex
        func scalar(_ place: Int) -> UInt32? { place < format.endIndex ? TemplateText.plain(format[place]) : nil }
        while let next = scalar(position) {
            guard next == 0x7b || next == 0x7d else {
                result.append(format[position])
                position += 1
                continue
            }
            if scalar(position + 1) == next {
                result.append(format[position])
                position += 2
                continue
            }
            guard next == 0x7b else { throw TemplateFailure.value(line, "a lone '}' in a format", "'}}'") }
            var open = 1
            let start = position + 1
            position = start
            while let next = scalar(position), open > 0 {
                if next == 0x7b { open += 1 }
                if next == 0x7d { open -= 1 }
                position += 1
            }
            guard open == 0 else { throw TemplateFailure.value(line, "a '{' in a format that is not closed", "'}'") }
            // A short field may stand for a long text, many times.
            let part = try field(format[start..<position - 1], call, &place, depth: depth)
            try charge(scalars: part.count)
            result += part
        }
        return result
    }

    /// One replacement field: `name!conversion:specification`.
    private mutating func field(_ field: ArraySlice<UInt32>, _ call: TemplateCall, _ place: inout Int?, depth: Int)
        throws(DyadError) -> [UInt32]
    {
        // Brackets may hold what ends a name elsewhere.
        var isInBrackets = false
        var end = field.startIndex
        while end < field.endIndex {
            let scalar = TemplateText.plain(field[end])
            if scalar == 0x5b { isInBrackets = true }
            if scalar == 0x5d { isInBrackets = false }
            if !isInBrackets, scalar == 0x21 || scalar == 0x3a { break }
            end += 1
        }
        var value = try lookUp(field[..<end], call, &place)
        var rest = field[end...]
        if rest.first.map(TemplateText.plain) == 0x21 {
            let kind = rest.dropFirst().first.map(TemplateText.plain)
            switch kind {
            case 0x73: value = .string(TemplateString(try string(value).scalars))
            case 0x72: value = text(try representation(value))
            case 0x61: value = text(try asciiOnly(try representation(value)))
            default: throw TemplateFailure.value(line, "a conversion in a format", "'!r', '!s' or '!a'")
            }
            rest = rest.dropFirst(2)
            guard rest.isEmpty || TemplateText.plain(rest[rest.startIndex]) == 0x3a else {
                throw TemplateFailure.value(line, "text after a conversion in a format", "':'")
            }
        }
        let spec = try rest.count < 2 ? [] : braceFormat(rest.dropFirst(), call, &place, depth: depth + 1)
        return try formatted(value, specification(spec), isEmpty: spec.isEmpty)
    }

    private mutating func lookUp(_ name: ArraySlice<UInt32>, _ call: TemplateCall, _ place: inout Int?)
        throws(DyadError) -> TemplateValue
    {
        let first = name.prefix { ![0x2e, 0x5b].contains(TemplateText.plain($0)) }
        var value: TemplateValue
        if first.allSatisfy({ (0x30...0x39).contains(TemplateText.plain($0)) }) {
            var index: Int?
            if first.isEmpty, let next = place {
                index = next
                place = next + 1
            } else if !first.isEmpty, place == 0 || place == nil {
                var position = 0
                index = digits(Array(first), &position)
                place = nil
            }
            guard let index, call.positional.indices.contains(index) else {
                throw TemplateFailure.value(
                    line, "a format with a place that has no argument", "one for each, numbered or not")
            }
            value = call.positional[index]
        } else {
            let key = TemplateString(Array(first.prefix(1000))).text
            guard let named = call.named[key] else {
                throw TemplateFailure.value(line, "no argument '\(key.prefix(60))' for the format", "one for each name")
            }
            value = named
        }
        var rest = name.dropFirst(first.count)
        while let mark = rest.first.map(TemplateText.plain) {
            try spend(Self.stepCost)
            rest = rest.dropFirst()
            if mark == 0x2e {
                let part = rest.prefix { ![0x2e, 0x5b].contains(TemplateText.plain($0)) }
                value = try attribute(value, TemplateString(Array(part.prefix(1000))).text)
                rest = rest.dropFirst(part.count)
            } else {
                let part = Array(rest.prefix { TemplateText.plain($0) != 0x5d })
                let number = part.allSatisfy(TemplateText.isDecimal) ? TemplateNumber.integer(part, base: 10) : nil
                value = try item(value, number.map { .integer($0) } ?? text(part))
                rest = rest.dropFirst(part.count + 1)
            }
        }
        return value
    }

    /// Reads `[[fill]align][sign][#][0][width][grouping][.precision][type]`.
    private func specification(_ text: [UInt32]) throws(DyadError) -> TemplateFormat {
        var spec = TemplateFormat()
        var position = 0
        func scalar(_ place: Int) -> Unicode.Scalar? {
            place < text.count ? TemplateString.scalar(text[place]) : nil
        }
        func isAlign(_ scalar: Unicode.Scalar?) -> Bool { scalar.map { "<>=^".unicodeScalars.contains($0) } ?? false }
        if isAlign(scalar(1)) {
            spec.fill = text[0]
            spec.align = scalar(1)
            position = 2
        } else if isAlign(scalar(0)) {
            spec.align = scalar(0)
            position = 1
        }
        if let sign = scalar(position), "+- ".unicodeScalars.contains(sign) {
            spec.sign = sign
            position += 1
        }
        if scalar(position) == "#" {
            spec.isAlternate = true
            position += 1
        }
        if scalar(position) == "0" {
            if !isAlign(scalar(1)) { spec.fill = 0x30 }
            if spec.align == nil { spec.align = "=" }
            position += 1
        }
        spec.width = digits(text, &position) ?? 0
        if let grouping = scalar(position), grouping == "," || grouping == "_" {
            spec.grouping = grouping
            position += 1
        }
        if scalar(position) == "." {
            position += 1
            guard let precision = digits(text, &position) else {
                throw TemplateFailure.value(line, "a format without a precision after '.'", "digits")
            }
            spec.precision = precision
        }
        spec.type = scalar(position)
        if spec.type != nil { position += 1 }
        guard position >= text.count, spec.width <= TemplateFormat.limit else {
            throw TemplateFailure.value(
                line, "the format '\(TemplateString(Array(text.prefix(40))).text)'", "one that Python has")
        }
        return spec
    }

    private mutating func formatted(_ value: TemplateValue, _ spec: TemplateFormat, isEmpty: Bool) throws(DyadError)
        -> [UInt32]
    {
        if isEmpty { return try string(value).scalars }
        switch value {
        case .string(let text):
            guard spec.type == nil || spec.type == "s", spec.grouping == nil, spec.sign == "-", !spec.isAlternate else {
                break
            }
            var spec = spec
            if spec.align == "=", spec.fill == 0x30 { spec.align = "<" }
            return try aligned(
                spec.precision.map { Array(text.scalars.prefix($0)) } ?? text.scalars, spec, standard: "<")
        case .bool, .integer:
            let integer = value.integer ?? 0
            if let type = spec.type, "eEfFgG%".unicodeScalars.contains(type) {
                return try formatted(decimal: Double(integer), spec)
            }
            if spec.type == nil, case .bool = value {
                break
            }
            guard spec.precision == nil, spec.type.map({ "dboxXcn".unicodeScalars.contains($0) }) ?? true else { break }
            if spec.type == "c" {
                guard let scalar = UInt32(exactly: integer), Unicode.Scalar(scalar) != nil else { break }
                return try aligned([scalar | TemplateString.contentMark], spec, standard: "<")
            }
            return try formatted(integer: integer, spec)
        case .decimal(let number):
            guard spec.type.map({ "eEfFgG%n".unicodeScalars.contains($0) }) ?? true else { break }
            return try formatted(decimal: number, spec)
        default: break
        }
        throw TemplateFailure.unsupported(line, "this format for \(value.kind)", "one that fits the value")
    }

    // MARK: Numbers

    private mutating func formatted(integer: Int, _ spec: TemplateFormat, minimumDigits: Int = 0) throws(DyadError)
        -> [UInt32]
    {
        guard minimumDigits <= TemplateFormat.limit else {
            throw TemplateFailure.value(line, "a format of \(minimumDigits) digits", "fewer")
        }
        let radix =
            switch spec.type {
            case "b": 2;
            case "o": 8;
            case "x", "X": 16;
            default: 10
            }
        var digits = String(integer.magnitude, radix: radix, uppercase: spec.type == "X")
        if digits.utf8.count < minimumDigits {
            try charge(scalars: minimumDigits)
            digits = String(repeating: "0", count: minimumDigits - digits.utf8.count) + digits
        }
        let prefix = radix == 10 || !spec.isAlternate ? "" : "0" + String(Character(spec.type ?? "x"))
        return try number(digits, "", isNegative: integer < 0, prefix: prefix, spec, group: radix == 10 ? 3 : 4)
    }

    private mutating func formatted(decimal: Double, _ spec: TemplateFormat) throws(DyadError) -> [UInt32] {
        let precision = spec.precision ?? 6
        guard precision <= 1000 else {
            throw TemplateFailure.value(line, "a format of \(precision) digits", "at most 1000")
        }
        var value = decimal.magnitude
        var suffix = ""
        var text: String
        let type = spec.type ?? (spec.precision == nil ? "r" : "G")
        if type == "%" {
            value *= 100
            suffix = "%"
        }
        if !value.isFinite {
            text = value.isNaN ? "nan" : "inf"
            if "EFG".unicodeScalars.contains(type), spec.type != nil { text = text.uppercased() }
        } else {
            switch type {
            case "r": text = TemplateNumber.text(value)
            case "f", "F", "%": text = String(format: "%.\(precision)f", value)
            case "e": text = String(format: "%.\(precision)e", value)
            case "E": text = String(format: "%.\(precision)E", value)
            case "g", "n": text = String(format: "%.\(precision)g", value)
            default:
                guard spec.type != nil else {
                    throw TemplateFailure.unsupported(
                        line, "a format of a precision without a letter", "'f', 'e' or 'g'")
                }
                text = String(format: "%.\(precision)G", value)
            }
            if spec.isAlternate {
                throw TemplateFailure.unsupported(line, "'#' in the format of a decimal", "a format without it")
            }
        }
        let whole = text.prefix { $0.isNumber }
        return try number(
            String(whole), text.dropFirst(whole.count) + suffix, isNegative: decimal.sign == .minus && !decimal.isNaN,
            prefix: "", spec, group: 3)
    }

    /// Puts sign, prefix, groups and filling around digits.
    private mutating func number(
        _ digits: String, _ rest: String, isNegative: Bool, prefix: String, _ spec: TemplateFormat, group: Int
    ) throws(DyadError) -> [UInt32] {
        var digits = digits
        if let grouping = spec.grouping {
            guard spec.fill != 0x30 || spec.align != "=" || spec.width == 0 else {
                throw TemplateFailure.unsupported(line, "zeros with '\(grouping)' in a format", "one of them")
            }
            var grouped = ""
            for (place, digit) in digits.enumerated() {
                if place > 0, (digits.utf8.count - place) % group == 0 { grouped.unicodeScalars.append(grouping) }
                grouped.append(digit)
            }
            digits = grouped
        }
        let sign = isNegative ? "-" : spec.sign == "-" ? "" : String(Character(spec.sign))
        let head = TemplateString(sign + prefix, isContent: true).scalars
        let body = TemplateString(digits + rest, isContent: true).scalars
        try charge(scalars: head.count + body.count)
        guard spec.align == "=" else { return try aligned(head + body, spec, standard: ">") }
        return head
            + (try padded(
                body, spec.width - head.count, fill: spec.fill | TemplateString.contentMark, left: true, right: false))
    }

    private mutating func aligned(_ text: [UInt32], _ spec: TemplateFormat, standard: Unicode.Scalar) throws(DyadError)
        -> [UInt32]
    {
        guard spec.width <= TemplateFormat.limit else {
            throw TemplateFailure.value(line, "a width of \(spec.width)", "at most \(TemplateFormat.limit)")
        }
        let align = spec.align == "=" ? standard : spec.align ?? standard
        guard spec.width > text.count else { return text }
        let fill = spec.align == "=" ? 32 : spec.fill
        if align != "^" {
            return try padded(
                text, spec.width, fill: fill | TemplateString.contentMark, left: align == ">", right: align == "<")
        }
        try charge(scalars: spec.width)
        let before = (spec.width - text.count) / 2
        return [UInt32](repeating: fill | TemplateString.contentMark, count: before) + text
            + [UInt32](repeating: fill | TemplateString.contentMark, count: spec.width - text.count - before)
    }

    /// Python's `ascii()`: what is beyond is escaped.
    private mutating func asciiOnly(_ text: [UInt32]) throws(DyadError) -> [UInt32] {
        try charge(scalars: text.count)
        var result: [UInt32] = []
        for value in text {
            let scalar = TemplateText.plain(value)
            guard scalar > 126 else {
                result.append(value)
                continue
            }
            let digits = String(scalar, radix: 16)
            let width = scalar < 0x100 ? 2 : scalar < 0x10000 ? 4 : 8
            try charge(scalars: width)
            let escape =
                (width == 2 ? "\\x" : width == 4 ? "\\u" : "\\U") + String(repeating: "0", count: width - digits.count)
                + digits
            for unit in escape.unicodeScalars { result.append(unit.value | TemplateString.contentMark) }
        }
        return result
    }
}
