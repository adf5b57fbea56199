/// Python's operations on strings, over scalars.
enum TemplateText {
    /// White space as Python's `str` methods see it.
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1c...0x1f).contains(scalar.value)
    }

    static func trimEnd(_ scalars: ArraySlice<Unicode.Scalar>) -> ArraySlice<Unicode.Scalar> {
        var scalars = scalars
        while let last = scalars.last, isSpace(last) { scalars.removeLast() }
        return scalars
    }

    static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    /// `strip`: drops white space, or the scalars of `set`, from one end or both.
    static func trim(_ text: String, _ set: String?, start: Bool = true, end: Bool = true) -> String {
        let set = set.map { Set($0.unicodeScalars) }
        func isDropped(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? isSpace(scalar) }
        var scalars = Array(text.unicodeScalars)[...]
        if start { scalars = scalars.drop(while: isDropped) }
        while end, let last = scalars.last, isDropped(last) { scalars.removeLast() }
        return string(scalars)
    }

    /// The first (or last) place of a part, as positions of scalars.
    static func range(of part: String, in text: String, last: Bool = false) -> Range<Int>? {
        ranges(of: Array(part.unicodeScalars), in: Array(text.unicodeScalars), last: last)
    }

    private static func ranges(of part: [Unicode.Scalar], in text: [Unicode.Scalar], last: Bool) -> Range<Int>? {
        guard part.count <= text.count else { return nil }
        let starts = 0...(text.count - part.count)
        func matches(_ start: Int) -> Bool { text[start..<start + part.count].elementsEqual(part) }
        let start = last ? starts.last(where: matches) : starts.first(where: matches)
        return start.map { $0..<$0 + part.count }
    }

    /// `split` and `rsplit`: at every separator, or at runs of white space if there is none; at most `maximum` cuts
    /// unless it is negative.
    static func split(_ text: String, _ separator: String?, _ maximum: Int, fromEnd: Bool) -> [String] {
        var scalars = Array(text.unicodeScalars)
        if fromEnd { scalars.reverse() }
        var separator = separator.map { Array($0.unicodeScalars) }
        if fromEnd { separator?.reverse() }
        var parts = separator.map { split(scalars, $0, maximum) } ?? splitAtSpace(scalars, maximum)
        if fromEnd { parts = parts.reversed().map { $0.reversed() } }
        return parts.map { string($0[...]) }
    }

    private static func split(_ text: [Unicode.Scalar], _ separator: [Unicode.Scalar], _ maximum: Int)
        -> [[Unicode.Scalar]]
    {
        guard let first = separator.first else { return [text] }
        var parts: [[Unicode.Scalar]] = []
        var start = 0
        var position = 0
        while position + separator.count <= text.count, maximum < 0 || parts.count < maximum {
            if text[position] == first, text[position..<position + separator.count].elementsEqual(separator) {
                parts.append(Array(text[start..<position]))
                position += separator.count
                start = position
            } else {
                position += 1
            }
        }
        return parts + [Array(text[start...])]
    }

    private static func splitAtSpace(_ text: [Unicode.Scalar], _ maximum: Int) -> [[Unicode.Scalar]] {
        var parts: [[Unicode.Scalar]] = []
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

    /// The first letter in upper case, the others in lower case.
    static func capitalized(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return text }
        return first.properties.titlecaseMapping + String(text.unicodeScalars.dropFirst()).lowercased()
    }

    /// Jinja's filter: a word begins after white space or one of `-({[<` only.
    static func titleFilter(_ text: String) -> String {
        var result = ""
        var startsWord = true
        for scalar in text.unicodeScalars {
            result += startsWord ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
            startsWord = isSpace(scalar) || "-({[<".unicodeScalars.contains(scalar)
        }
        return result
    }

    /// `str.title`: the first letter of every run of letters in upper case, the others in lower case.
    static func title(_ text: String) -> String {
        var result = ""
        var isInWord = false
        for scalar in text.unicodeScalars {
            result += isInWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
            isInWord = scalar.properties.isCased
        }
        return result
    }
}
