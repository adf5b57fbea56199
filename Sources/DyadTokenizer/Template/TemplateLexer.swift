import DyadFormats

/// A piece of a template.
struct TemplateToken: Sendable {
    enum Kind: Sendable, Equatable {
        /// Text to be written as it is.
        case text(String)
        /// `{{`, `}}`, `{%` and `%}`.
        case variableBegin, variableEnd, blockBegin, blockEnd
        case name(String)
        case string(String)
        case integer(Int)
        case decimal(Double)
        /// An operator or a bracket.
        case mark(String)
        case end
    }

    var kind: Kind
    var line: Int
}

/// Cuts a template into tokens, with white space controlled as Hugging Face sets Jinja up: the line feed after a
/// block tag is dropped (`trim_blocks`), so is white space between the start of a line and a block tag
/// (`lstrip_blocks`), and `-` and `+` in a tag override both.
struct TemplateLexer {
    private let source: [Unicode.Scalar]
    private var position = 0
    private var line = 1
    private var tokens: [TemplateToken] = []
    /// Whether the text now read begins a line.
    private var startsLine = true

    init(_ template: String) {
        var source: [Unicode.Scalar] = []
        var wasReturn = false
        for scalar in template.unicodeScalars {
            // Every kind of line end becomes a line feed.
            if scalar == "\r" {
                source.append("\n")
            } else if !(scalar == "\n" && wasReturn) {
                source.append(scalar)
            }
            wasReturn = scalar == "\r"
        }
        if source.last == "\n" { source.removeLast() }
        self.source = source
    }

    mutating func tokenize() throws(DyadError) -> [TemplateToken] {
        while position < source.count {
            let text = textUpToTag()
            guard position < source.count else {
                appendText(text)
                break
            }
            let kind = source[position + 1]
            let control = position + 2 < source.count ? source[position + 2] : " "
            appendText(strip(text, before: kind, control))
            let opened = line
            position += control == "-" || control == "+" ? 3 : 2
            switch kind {
            case "#": try comment(opened)
            case "{":
                append(.variableBegin)
                try expression(closing: "}")
            default:
                if try raw() { continue }
                append(.blockBegin)
                try expression(closing: "%")
            }
        }
        append(.end)
        return tokens
    }

    private mutating func append(_ kind: TemplateToken.Kind) {
        tokens.append(TemplateToken(kind: kind, line: line))
    }

    private func at(_ text: String, _ start: Int) -> Bool {
        let wanted = text.unicodeScalars
        return start + wanted.count <= source.count && source[start..<start + wanted.count].elementsEqual(wanted)
    }

    private mutating func advance() {
        if source[position] == "\n" { line += 1 }
        position += 1
    }

    /// Moves to the next `{{`, `{%` or `{#`, or to the end.
    private mutating func textUpToTag() -> [Unicode.Scalar] {
        let start = position
        while position < source.count {
            if source[position] == "{", position + 1 < source.count, ["{", "%", "#"].contains(source[position + 1]) {
                break
            }
            advance()
        }
        return Array(source[start..<position])
    }

    private mutating func appendText(_ scalars: [Unicode.Scalar]) {
        if !scalars.isEmpty { append(.text(TemplateText.string(scalars[...]))) }
    }

    /// The text before a tag without the white space that the tag takes away.
    private func strip(_ text: [Unicode.Scalar], before kind: Unicode.Scalar, _ control: Unicode.Scalar)
        -> [Unicode.Scalar]
    {
        if control == "-" {
            var kept = text[...]
            while let last = kept.last, TemplateText.isSpace(last) { kept.removeLast() }
            return Array(kept)
        }
        guard control != "+", kind != "{" else { return text }
        let lineStart = (text.lastIndex(of: "\n") ?? -1) + 1
        guard lineStart > 0 || startsLine, text[lineStart...].allSatisfy(TemplateText.isSpace) else { return text }
        return Array(text[..<lineStart])
    }

    /// Takes what follows the end of a tag: all white space after `-`, else (for blocks and comments) a line feed.
    private mutating func afterTag(_ control: Unicode.Scalar?, isVariable: Bool) {
        startsLine = false
        if control == "-" {
            while position < source.count, TemplateText.isSpace(source[position]) {
                startsLine = source[position] == "\n"
                advance()
            }
        } else if control != "+", !isVariable, position < source.count, source[position] == "\n" {
            advance()
            startsLine = true
        }
    }

    private mutating func comment(_ opened: Int) throws(DyadError) {
        while position < source.count {
            for (mark, control) in [("-#}", "-"), ("+#}", "+"), ("#}", nil)] as [(String, Unicode.Scalar?)]
            where at(mark, position) {
                position += mark.unicodeScalars.count
                return afterTag(control, isVariable: false)
            }
            advance()
        }
        throw TemplateFailure.syntax(opened, "a comment that is not closed", "'#}'")
    }

    /// Reads `raw %}…{% endraw %}` if it stands here.
    private mutating func raw() throws(DyadError) -> Bool {
        let before = (position, line)
        skipSpace()
        guard at("raw", position) else {
            (position, line) = before
            return false
        }
        position += 3
        skipSpace()
        let isTrimmed = at("-", position)
        if isTrimmed { position += 1 }
        guard at("%}", position) else {
            (position, line) = before
            return false
        }
        let opened = line
        position += 2
        // Unlike after other tags, a line feed stays.
        afterTag(isTrimmed ? "-" : nil, isVariable: true)
        var text: [Unicode.Scalar] = []
        while position < source.count {
            if at("{%", position), let end = endOfRaw() {
                appendText(strip(text, before: "%", end.open))
                position = end.position
                afterTag(end.close, isVariable: false)
                return true
            }
            text.append(source[position])
            advance()
        }
        throw TemplateFailure.syntax(opened, "a raw block that is not closed", "'{% endraw %}'")
    }

    private func endOfRaw() -> (open: Unicode.Scalar, close: Unicode.Scalar?, position: Int)? {
        var place = position + 2
        var open: Unicode.Scalar = " "
        if at("-", place) || at("+", place) {
            open = source[place]
            place += 1
        }
        while place < source.count, TemplateText.isSpace(source[place]) { place += 1 }
        guard at("endraw", place) else { return nil }
        place += 6
        while place < source.count, TemplateText.isSpace(source[place]) { place += 1 }
        var close: Unicode.Scalar?
        if at("-", place) || at("+", place) {
            close = source[place]
            place += 1
        }
        return at("%}", place) ? (open, close, place + 2) : nil
    }

    private mutating func skipSpace() {
        while position < source.count, TemplateText.isSpace(source[position]) { advance() }
    }

    /// Reads the inside of a tag and its end, `}}` or `%}`.
    private mutating func expression(closing: Unicode.Scalar) throws(DyadError) {
        let opened = line
        var open = 0
        while true {
            skipSpace()
            guard position < source.count else {
                throw TemplateFailure.syntax(opened, "a tag that is not closed", "'\(closing)}'")
            }
            if open == 0, let control = endOfTag(closing) {
                append(closing == "}" ? .variableEnd : .blockEnd)
                return afterTag(control == " " ? nil : control, isVariable: closing == "}")
            }
            let scalar = source[position]
            if "([{".unicodeScalars.contains(scalar) { open += 1 }
            if ")]}".unicodeScalars.contains(scalar) { open -= 1 }
            guard tokens.count < Self.tokenLimit else {
                throw TemplateFailure.syntax(line, "more than \(Self.tokenLimit) names and marks", "a shorter template")
            }
            guard open >= 0 else { throw TemplateFailure.syntax(line, "an unbalanced '\(scalar)'", "its opening") }
            try token()
        }
    }

    /// Takes the end of a tag if it stands here; returns its control scalar, or a space.
    private mutating func endOfTag(_ closing: Unicode.Scalar) -> Unicode.Scalar? {
        let end = String(Character(closing)) + "}"
        let controls: [Unicode.Scalar] = closing == "}" ? ["-"] : ["-", "+"]
        for control in controls where source[position] == control && at(end, position + 1) {
            position += 3
            return control
        }
        guard at(end, position) else { return nil }
        position += 2
        return " "
    }

    private static let tokenLimit = 200_000
    private static let marks: Set<String> = [
        "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", ">", "<", "=", ".", ":", "|", ",", "(", ")",
        "[", "]", "{", "}",
    ]

    private mutating func token() throws(DyadError) {
        let scalar = source[position]
        if scalar == "_" || scalar.properties.isAlphabetic {
            let start = position
            while position < source.count,
                source[position] == "_" || source[position].properties.isAlphabetic
                    || ("0"..."9").contains(source[position])
            { position += 1 }
            return append(.name(TemplateText.string(source[start..<position])))
        }
        if ("0"..."9").contains(scalar) { return try number() }
        if scalar == "'" || scalar == "\"" { return try string(scalar) }
        for length in [2, 1] where position + length <= source.count {
            let mark = TemplateText.string(source[position..<position + length])
            guard Self.marks.contains(mark) else { continue }
            position += length
            return append(.mark(mark))
        }
        throw TemplateFailure.syntax(line, "'\(scalar)'", "an expression")
    }

    private mutating func number() throws(DyadError) {
        func isDigit(_ place: Int) -> Bool { place < source.count && ("0"..."9").contains(source[place]) }
        let start = position
        if at("0", position), position + 1 < source.count {
            let radix: Int? =
                switch source[position + 1] {
                case "x", "X": 16
                case "o", "O": 8
                case "b", "B": 2
                default: nil
                }
            if let radix { return try number(radix: radix) }
        }
        while isDigit(position) || (at("_", position) && isDigit(position + 1)) { position += 1 }
        var isDecimal = false
        if at(".", position), isDigit(position + 1) {
            isDecimal = true
            position += 1
            while isDigit(position) { position += 1 }
        }
        if at("e", position) || at("E", position) {
            let sign = at("+", position + 1) || at("-", position + 1) ? 1 : 0
            if isDigit(position + 1 + sign) {
                isDecimal = true
                position += 1 + sign
                while isDigit(position) { position += 1 }
            }
        }
        let text = TemplateText.string(source[start..<position]).filter { $0 != "_" }
        let hasLeadingZero = !isDecimal && text.first == "0" && text.contains { $0 != "0" }
        if !isDecimal, !hasLeadingZero, let value = Int(text) { return append(.integer(value)) }
        guard isDecimal, let value = Double(text) else {
            throw TemplateFailure.syntax(line, "the number \(text.prefix(40))", "one of 64 bits")
        }
        append(.decimal(value))
    }

    /// A number such as `0x1f`.
    private mutating func number(radix: Int) throws(DyadError) {
        position += 2
        let start = position
        while position < source.count,
            source[position] == "_" || source[position].properties.isAlphabetic
                || ("0"..."9").contains(source[position])
        { position += 1 }
        let text = TemplateText.string(source[start..<position])
        guard !text.hasSuffix("_"), !text.contains("__"), let value = Int(text.filter { $0 != "_" }, radix: radix)
        else {
            throw TemplateFailure.syntax(line, "the number \(text.prefix(40))", "digits of base \(radix), in 64 bits")
        }
        append(.integer(value))
    }

    private mutating func string(_ quote: Unicode.Scalar) throws(DyadError) {
        let opened = line
        var text = String.UnicodeScalarView()
        advance()
        while position < source.count {
            let scalar = source[position]
            if scalar == quote {
                position += 1
                tokens.append(TemplateToken(kind: .string(String(text)), line: opened))
                return
            }
            advance()
            guard scalar == "\\", position < source.count else {
                text.append(scalar)
                continue
            }
            let escaped = source[position]
            advance()
            switch escaped {
            case "n": text.append("\n")
            case "t": text.append("\t")
            case "r": text.append("\r")
            case "\\", "'", "\"": text.append(escaped)
            case "\n": break
            case "a": text.append("\u{7}")
            case "b": text.append("\u{8}")
            case "f": text.append("\u{c}")
            case "v": text.append("\u{b}")
            case "0"..."7": text.append(octal(escaped))
            case "N": throw TemplateFailure.unsupported(line, "a character by its name", "the character itself")
            case "x": text.append(try hexadecimal(2))
            case "u": text.append(try hexadecimal(4))
            case "U": text.append(try hexadecimal(8))
            default:
                text.append("\\")
                text.append(escaped)
            }
        }
        throw TemplateFailure.syntax(opened, "a string that is not closed", "\(quote)")
    }

    /// The scalar of one to three octal digits, of which the first has been read.
    private mutating func octal(_ first: Unicode.Scalar) -> Unicode.Scalar {
        var value = first.value - 0x30
        for _ in 0..<2 where position < source.count && ("0"..."7").contains(source[position]) {
            value = value * 8 + source[position].value - 0x30
            position += 1
        }
        return Unicode.Scalar(value) ?? "\u{fffd}"
    }

    private mutating func hexadecimal(_ count: Int) throws(DyadError) -> Unicode.Scalar {
        let digits = TemplateText.string(source[position..<min(position + count, source.count)])
        guard digits.unicodeScalars.count == count, let value = UInt32(digits, radix: 16),
            let scalar = Unicode.Scalar(value)
        else { throw TemplateFailure.syntax(line, "the escape '\(digits)'", "\(count) hexadecimal digits of a scalar") }
        position += count
        return scalar
    }
}
