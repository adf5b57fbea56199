import DyadFormats

extension PatternSyntax {
    /// What a backslash outside a class begins.
    mutating func escape() throws(DyadError) -> PatternNode {
        let before = position
        position += 1
        if take("A") { return .anchor(.textStart) }
        if take("z") { return .anchor(.textEnd) }
        if take("Z") { return .anchor(.lastLineEnd) }
        if take("b") { return .anchor(.wordBoundary) }
        if take("B") { return .anchor(.noWordBoundary) }
        if take("N") { return .scalars(ScalarSet(0x0a).complement) }
        if take("O") { return .scalars(ScalarSet().complement) }
        if take("R") { return Self.lineBreak }
        for name in ["G", "K", "X", "y", "Y", "g<", "g'", "k<", "k'"] where take(name) {
            throw failure("the escape '\\\(name)'")
        }
        if let digit = next, digit >= 0x31, digit <= 0x39 { throw failure("a back-reference") }
        position = before
        switch try classEscape(inClass: false) {
        case .scalar(let scalar): return literal(scalar)
        // Sets outside brackets stay as they are where case is ignored.
        case .set(let set): return .scalars(set)
        }
    }

    /// `\R`: a line break, of which CR LF is one.
    private static let lineBreak = PatternNode.atomic(
        .alternatives([
            .sequence([.scalars(ScalarSet(0x0d)), .scalars(ScalarSet(0x0a))]),
            .scalars(ScalarSet([0x0a...0x0d, 0x85...0x85, 0x2028...0x2029])),
        ]))

    enum ClassEscape {
        case scalar(UInt32)
        case set(ScalarSet)
    }

    /// What a backslash means within a class, where it stands for scalars only.
    mutating func classEscape(inClass: Bool = true) throws(DyadError) -> ClassEscape {
        position += 1
        guard let scalar = next else { throw failure("a backslash at the end") }
        if scalar == 0x70 || scalar == 0x50, position + 1 < text.count, text[position + 1] == 0x7b {
            return .set(try property(inClass: inClass))
        }
        position += 1
        switch Unicode.Scalar(scalar) {
        case "s": return .set(UnicodeProperty.space)
        case "S": return .set(UnicodeProperty.space.complement)
        case "d": return .set(UnicodeProperty.digit)
        case "D": return .set(UnicodeProperty.digit.complement)
        case "w": return .set(inClass ? UnicodeProperty.wordInClass : UnicodeProperty.word)
        case "W": return .set((inClass ? UnicodeProperty.wordInClass : UnicodeProperty.word).complement)
        case "h": return .set(UnicodeProperty.hexadecimal)
        case "H": return .set(UnicodeProperty.hexadecimal.complement)
        case "a": return .scalar(0x07)
        case "e": return .scalar(0x1b)
        case "f": return .scalar(0x0c)
        case "n": return .scalar(0x0a)
        case "r": return .scalar(0x0d)
        case "t": return .scalar(0x09)
        case "v": return .scalar(0x0b)
        case "b": return .scalar(0x08)
        case "0", "1", "2", "3", "4", "5", "6", "7": return .scalar(try octal())
        case "x": return .scalar(try hexadecimal())
        case "u": return .scalar(try scalarValue(try digits(base: 16, most: 4, least: 4)))
        case "c": return .scalar(try control())
        case "o" where next == 0x7b: throw failure("the escape '\\o{'")
        case "C" where next == 0x2d, "M" where next == 0x2d, "M", "C": throw failure("the escape '\\C' or '\\M'")
        default: return .scalar(scalar)
        }
    }

    /// Octal digits, three at most. Above ASCII they are single bytes to Oniguruma.
    private mutating func octal() throws(DyadError) -> UInt32 {
        position -= 1
        let value = try digits(base: 8, most: 3, least: 1)
        guard value < 0x80 else { throw failure("an octal escape above \\177") }
        return value
    }

    private mutating func hexadecimal() throws(DyadError) -> UInt32 {
        if take("{") {
            let value = try digits(base: 16, most: 8, least: 1)
            guard take("}") else { throw failure("an unfinished '\\x{'") }
            return try scalarValue(value)
        }
        let value = try digits(base: 16, most: 2, least: 1)
        guard value < 0x80 else { throw failure("a single byte '\\x' above 7F, where '\\x{…}' names a scalar") }
        return value
    }

    private func scalarValue(_ value: UInt32) throws(DyadError) -> UInt32 {
        guard Unicode.Scalar(value) != nil else { throw failure("an escape that is no Unicode scalar") }
        return value
    }

    private mutating func control() throws(DyadError) -> UInt32 {
        guard let scalar = next, scalar < 0x80, scalar != 0x5c else { throw failure("an unfinished '\\c'") }
        position += 1
        return scalar == 0x3f ? 0x7f : scalar & 0x1f
    }

    private mutating func digits(base: UInt32, most: Int, least: Int) throws(DyadError) -> UInt32 {
        var value: UInt32 = 0
        var count = 0
        while count < most, let scalar = next.flatMap(Unicode.Scalar.init), scalar.isASCII,
            let digit = Character(scalar).hexDigitValue, digit < base
        {
            value = value << (base == 16 ? 4 : 3) | UInt32(digit)
            count += 1
            position += 1
        }
        guard count >= least else { throw failure("an escape with too few digits") }
        return value
    }

    /// `p{…}` or `P{…}`.
    private mutating func property(inClass: Bool) throws(DyadError) -> ScalarSet {
        var isComplement = next == 0x50
        position += 2
        var name = ""
        while !take("}") {
            guard let scalar = next.flatMap(Unicode.Scalar.init), name.unicodeScalars.count < 64 else {
                throw failure("a property that is not closed")
            }
            name.unicodeScalars.append(scalar)
            position += 1
        }
        if name.hasPrefix("^") {
            name.removeFirst()
            isComplement.toggle()
        }
        guard let set = UnicodeProperty.set(named: name, inClass: inClass) else {
            throw failure("the property '\(name)'")
        }
        return isComplement ? set.complement : set
    }
}
