/// The kind of a scalar as regular expressions see it: its Unicode general category, with one extra kind for
/// U+0085, the only white space outside ASCII that is a control character. With it, `\s` and every `\p{…}` are
/// sets of kinds.
enum ScalarKind {
    /// U+0085 NEXT LINE.
    static let nextLine: UInt8 = 30
    /// All kinds.
    static let all: UInt32 = (1 << 31) - 1

    /// The general categories in the order of their numbers here, by their short names.
    static let names = [
        "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
        "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn",
    ]

    /// The set of kinds of a category (`Lu`) or of a group of them (`L`); nil for other names.
    static func mask(property name: String) -> UInt32? {
        var mask: UInt32 = 0
        for (number, category) in names.enumerated() where category == name || String(category.prefix(1)) == name {
            mask |= 1 << UInt32(number)
        }
        if name == "C" || name == "Cc" { mask |= 1 << UInt32(nextLine) }
        return mask == 0 ? nil : mask
    }

    /// `\s`: the Unicode property White_Space.
    static let space: UInt32 = (mask(property: "Z") ?? 0) | 1 << UInt32(nextLine)
    /// `\d`: decimal digits.
    static let digit: UInt32 = mask(property: "Nd") ?? 0
    /// `\w`: letters, marks, decimal digits, letter numbers and connecting punctuation.
    static let word: UInt32 = ["L", "M", "Nd", "Nl", "Pc"].reduce(0) { $0 | (mask(property: $1) ?? 0) }

    private static let ascii: [UInt8] = (0..<128).map { kind(category: Unicode.Scalar(UInt8($0))) }

    /// The kind of a scalar value. Constant time.
    static func kind(of value: UInt32) -> UInt8 {
        if value < 128 { return ascii[Int(value)] }
        if value == 0x85 { return nextLine }
        guard let scalar = Unicode.Scalar(value) else { return 29 }
        return kind(category: scalar)
    }

    private static func kind(category scalar: Unicode.Scalar) -> UInt8 {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter: 0
        case .lowercaseLetter: 1
        case .titlecaseLetter: 2
        case .modifierLetter: 3
        case .otherLetter: 4
        case .nonspacingMark: 5
        case .spacingMark: 6
        case .enclosingMark: 7
        case .decimalNumber: 8
        case .letterNumber: 9
        case .otherNumber: 10
        case .connectorPunctuation: 11
        case .dashPunctuation: 12
        case .openPunctuation: 13
        case .closePunctuation: 14
        case .initialPunctuation: 15
        case .finalPunctuation: 16
        case .otherPunctuation: 17
        case .mathSymbol: 18
        case .currencySymbol: 19
        case .modifierSymbol: 20
        case .otherSymbol: 21
        case .spaceSeparator: 22
        case .lineSeparator: 23
        case .paragraphSeparator: 24
        case .control: 25
        case .format: 26
        case .surrogate: 27
        case .privateUse: 28
        case .unassigned: 29
        @unknown default: 29
        }
    }
}
