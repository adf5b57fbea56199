/// Python's operations on strings, over scalars that may carry ``TemplateString/contentMark``.
enum TemplateText {
    typealias Scalars = [UInt32]

    @inline(__always)
    static func plain(_ value: UInt32) -> UInt32 { value & TemplateString.scalarMask }

    /// White space as Python's `str` methods see it.
    static func isSpace(_ value: UInt32) -> Bool {
        let value = plain(value)
        if value < 128 { return value == 32 || (9...13).contains(value) || (28...31).contains(value) }
        return TemplateString.scalar(value).properties.isWhitespace
    }

    static func isSpace(_ scalar: Unicode.Scalar) -> Bool { isSpace(scalar.value) }

    static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    /// `strip`: drops white space, or the scalars of `set`, from one end or both.
    static func trim(_ text: Scalars, _ set: Scalars? = nil, start: Bool = true, end: Bool = true) -> Scalars {
        let set = set.map { Set($0.map(plain)) }
        func isDropped(_ value: UInt32) -> Bool { set?.contains(plain(value)) ?? isSpace(value) }
        var scalars = text[...]
        if start { scalars = scalars.drop(while: isDropped) }
        while end, let last = scalars.last, isDropped(last) { scalars.removeLast() }
        return scalars.count == text.count ? text : Array(scalars)
    }

    /// The places at which a part that is not empty occurs, without overlaps, at most `limit`. Linear: Knuth, Morris
    /// and Pratt's search.
    static func places(of part: Scalars, in text: Scalars, limit: Int = .max, from start: Int = 0) -> [Int] {
        guard !part.isEmpty, part.count <= text.count, limit > 0 else { return [] }
        var borders = [0]
        borders.reserveCapacity(part.count)
        var length = 0
        for place in 1..<part.count {
            while length > 0, plain(part[place] ^ part[length]) != 0 { length = borders[length - 1] }
            if plain(part[place] ^ part[length]) == 0 { length += 1 }
            borders.append(length)
        }
        var found: [Int] = []
        length = 0
        var position = start
        while position < text.count {
            while length > 0, plain(text[position] ^ part[length]) != 0 { length = borders[length - 1] }
            if plain(text[position] ^ part[length]) == 0 { length += 1 }
            position += 1
            if length == part.count {
                found.append(position - part.count)
                guard found.count < limit else { return found }
                length = 0
            }
        }
        return found
    }

    /// The first place of a part, or the last; nil if there is none.
    static func place(of part: Scalars, in text: Scalars, last: Bool = false) -> Int? {
        if part.isEmpty { return last ? text.count : 0 }
        guard last else { return places(of: part, in: text, limit: 1).first }
        return places(of: part.reversed(), in: text.reversed(), limit: 1).first.map { text.count - $0 - part.count }
    }

    static func starts(_ text: Scalars, with part: Scalars) -> Bool {
        text.count >= part.count && zip(text, part).allSatisfy { plain($0 ^ $1) == 0 }
    }

    static func ends(_ text: Scalars, with part: Scalars) -> Bool {
        text.count >= part.count && zip(text.suffix(part.count), part).allSatisfy { plain($0 ^ $1) == 0 }
    }

    /// `split` and `rsplit`: at every separator, or at runs of white space if there is none; at most `maximum` cuts
    /// unless it is negative.
    static func split(_ text: Scalars, _ separator: Scalars?, _ maximum: Int = -1, fromEnd: Bool = false) -> [Scalars] {
        guard fromEnd else {
            return separator.map { split(text, at: $0, maximum) } ?? splitAtSpace(text, maximum)
        }
        let reversed: Scalars = text.reversed()
        let parts =
            separator.map { split(reversed, at: $0.reversed(), maximum) } ?? splitAtSpace(reversed, maximum)
        return parts.reversed().map { $0.reversed() }
    }

    private static func split(_ text: Scalars, at separator: Scalars, _ maximum: Int) -> [Scalars] {
        var parts: [Scalars] = []
        var start = 0
        for place in places(of: separator, in: text, limit: maximum < 0 ? .max : maximum) {
            parts.append(Array(text[start..<place]))
            start = place + separator.count
        }
        return parts + [Array(text[start...])]
    }

    private static func splitAtSpace(_ text: Scalars, _ maximum: Int) -> [Scalars] {
        var parts: [Scalars] = []
        var rest = text[...].drop(while: isSpace)
        while !rest.isEmpty {
            guard maximum < 0 || parts.count < maximum else {
                parts.append(Array(rest))
                break
            }
            let word = rest.prefix { !isSpace($0) }
            parts.append(Array(word))
            rest = rest.dropFirst(word.count).drop(while: isSpace)
        }
        return parts
    }

    /// `splitlines`: at everything that Python takes as the end of a line.
    static func lines(_ text: Scalars, keepEnds: Bool = false) -> [Scalars] {
        var lines: [Scalars] = []
        var start = 0
        var position = 0
        while position < text.count {
            let value = plain(text[position])
            guard (10...13).contains(value) || (28...30).contains(value) || [0x85, 0x2028, 0x2029].contains(value)
            else {
                position += 1
                continue
            }
            var end = position + 1
            if value == 13, end < text.count, plain(text[end]) == 10 { end += 1 }
            lines.append(Array(text[start..<(keepEnds ? end : position)]))
            start = end
            position = end
        }
        if start < text.count { lines.append(Array(text[start...])) }
        return lines
    }

    // MARK: Case

    /// Appends what a mapping makes of a scalar, with the scalar's mark.
    private static func append(_ mapped: String, of value: UInt32, to result: inout Scalars) {
        let mark = value & TemplateString.contentMark
        for scalar in mapped.unicodeScalars { result.append(scalar.value | mark) }
    }

    static func upper(_ text: Scalars) -> Scalars {
        var result: Scalars = []
        result.reserveCapacity(text.count)
        for value in text {
            let scalar = plain(value)
            if scalar < 128 {
                result.append((97...122).contains(scalar) ? value - 32 : value)
            } else {
                append(TemplateString.scalar(value).properties.uppercaseMapping, of: value, to: &result)
            }
        }
        return result
    }

    static func lower(_ text: Scalars) -> Scalars {
        var result: Scalars = []
        result.reserveCapacity(text.count)
        for (place, value) in text.enumerated() {
            let scalar = plain(value)
            if scalar < 128 {
                result.append((65...90).contains(scalar) ? value + 32 : value)
            } else if scalar == 0x3a3 {
                // A capital sigma at the end of a word has a form of its own.
                result.append((isFinalSigma(text, place) ? 0x3c2 : 0x3c3) | value & TemplateString.contentMark)
            } else {
                append(TemplateString.scalar(value).properties.lowercaseMapping, of: value, to: &result)
            }
        }
        return result
    }

    private static func isFinalSigma(_ text: Scalars, _ place: Int) -> Bool {
        // Unicode bounds neither search; sixteen scalars that a word does not see are more than any language has.
        func nearest(_ values: ArraySlice<UInt32>) -> Bool {
            for value in values {
                let properties = TemplateString.scalar(value).properties
                if !properties.isCaseIgnorable { return properties.isCased }
            }
            return false
        }
        return nearest(ArraySlice(text[max(0, place - 16)..<place].reversed()))
            && !nearest(text[(place + 1)..<min(text.count, place + 17)])
    }

    /// The first scalar in title case, the others in lower case.
    static func capitalized(_ text: Scalars) -> Scalars {
        guard let first = text.first else { return text }
        var result: Scalars = []
        append(TemplateString.scalar(first).properties.titlecaseMapping, of: first, to: &result)
        return result + lower(text).dropFirst(lower([first]).count)
    }

    static func swapped(_ text: Scalars) -> Scalars {
        var result: Scalars = []
        for value in text {
            let properties = TemplateString.scalar(value).properties
            let mapped =
                properties.isUppercase
                ? properties.lowercaseMapping
                : properties.isLowercase
                    ? properties.uppercaseMapping : String(Character(TemplateString.scalar(value)))
            append(mapped, of: value, to: &result)
        }
        return result
    }

    /// Jinja's filter: a word begins after white space or one of `-({[<` only.
    static func titleFilter(_ text: Scalars) -> Scalars {
        var result: Scalars = []
        var startsWord = true
        // Each word without its first scalar is a text of its own, which a final sigma sees.
        var rest: Scalars = []
        for value in text {
            let isBreak = isSpace(value) || [0x2d, 0x28, 0x7b, 0x5b, 0x3c].contains(plain(value))
            if isBreak || startsWord {
                result += lower(rest) + upper([value])
                rest = []
            } else {
                rest.append(value)
            }
            startsWord = isBreak
        }
        return result + lower(rest)
    }

    /// `str.title`: the first letter of every run of letters in title case, the others in lower case.
    static func title(_ text: Scalars) -> Scalars {
        var result: Scalars = []
        var isInWord = false
        for (place, value) in text.enumerated() {
            let properties = TemplateString.scalar(value).properties
            if isInWord, plain(value) == 0x3a3 {
                result.append((isFinalSigma(text, place) ? 0x3c2 : 0x3c3) | value & TemplateString.contentMark)
            } else {
                append(isInWord ? properties.lowercaseMapping : properties.titlecaseMapping, of: value, to: &result)
            }
            isInWord = properties.isCased
        }
        return result
    }

    /// `isupper` and `islower`: some scalar has case, and all that have are of this one.
    static func isCase(_ text: Scalars, upper: Bool) -> Bool {
        var hasCased = false
        for value in text {
            let properties = TemplateString.scalar(value).properties
            let isOther = properties.generalCategory == .titlecaseLetter
            if isOther || (upper ? properties.isLowercase : properties.isUppercase) { return false }
            if upper ? properties.isUppercase : properties.isLowercase { hasCased = true }
        }
        return hasCased
    }

    static func isTitle(_ text: Scalars) -> Bool {
        var isInWord = false
        var hasCased = false
        for value in text {
            let properties = TemplateString.scalar(value).properties
            if properties.isUppercase || properties.generalCategory == .titlecaseLetter {
                if isInWord { return false }
                isInWord = true
                hasCased = true
            } else if properties.isLowercase {
                if !isInWord { return false }
                hasCased = true
            } else {
                isInWord = false
            }
        }
        return hasCased
    }

    // MARK: Classes

    static func isAlpha(_ value: UInt32) -> Bool {
        switch TemplateString.scalar(value).properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    static func isDecimal(_ value: UInt32) -> Bool {
        TemplateString.scalar(value).properties.generalCategory == .decimalNumber
    }

    static func isDigit(_ value: UInt32) -> Bool {
        let type = TemplateString.scalar(value).properties.numericType
        return type == .decimal || type == .digit
    }

    static func isNumeric(_ value: UInt32) -> Bool { TemplateString.scalar(value).properties.numericType != nil }

    static func isAlphanumeric(_ value: UInt32) -> Bool { isAlpha(value) || isNumeric(value) }

    /// Whether Python writes the scalar as it is when it shows a string.
    static func isPrintable(_ value: UInt32) -> Bool {
        let value = plain(value)
        if value < 127 { return value >= 32 }
        switch TemplateString.scalar(value).properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }
}
