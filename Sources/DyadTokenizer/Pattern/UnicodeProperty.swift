/// Sets of scalars by the names that patterns give them.
enum UnicodeProperty {
    /// `\s`
    static let space = UnicodeTables.set("whitespace")
    /// `\d`
    static let digit = UnicodeTables.set("nd")
    /// `\h`
    static let hexadecimal = ScalarSet([0x30...0x39, 0x41...0x46, 0x61...0x66])
    /// `\w` within a class, and `[:word:]`
    static let wordInClass = union(letters + ["nl", "otheralphabetic", "mn", "mc", "me", "nd", "pc"])
    /// `\w` outside classes: Oniguruma then takes Latin-1's superscripts and fractions for parts of words.
    static let word = wordInClass.union(latinNumbers)
    /// ² ³ ¹ ¼ ½ ¾
    static let latinNumbers = ScalarSet([0xb2...0xb3, 0xb9...0xb9, 0xbc...0xbe])

    private static let ascii = ScalarSet(0...0x7f)
    private static let letters = ["lu", "ll", "lt", "lm", "lo"]
    private static let assigned = union(Array(UnicodeTables.categories.keys))

    /// The set of `\p{name}`: a general category, a group of them, a script or another property; nil for other names.
    /// Case, spaces, hyphens and underscores do not count.
    static func set(named name: String, inClass: Bool) -> ScalarSet? {
        var key = ""
        for scalar in name.unicodeScalars where ![" ", "-", "_"].contains(scalar) {
            guard scalar.isASCII else { return nil }
            key += scalar.properties.lowercaseMapping
        }
        key = longNames[key] ?? key
        if let categories = groups[key] { return union(categories) }
        switch key {
        case "any": return ScalarSet().complement
        case "assigned": return assigned
        case "cn": return assigned.complement
        case "c": return union(["cc", "cf", "co"]).union(assigned.complement)
        case "alphabetic": return posix("alpha")
        case "lowercase": return posix("lower")
        case "uppercase": return posix("upper")
        case "math": return union(["sm", "othermath"])
        case "punct": return groups["p"].map(union)
        case "posixpunct": return posix("punct")
        case "asciihexdigit": return hexadecimal
        case "word": return inClass ? wordInClass : word
        case "ascii", "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "space", "upper",
            "xdigit":
            return posix(key)
        case _ where UnicodeTables.crates[key] != nil: return nil
        default: return UnicodeTables.known(key) ?? UnicodeTables.script(code: key)
        }
    }

    /// The set of `[:name:]`; nil for other names.
    static func posix(_ name: String) -> ScalarSet? {
        switch name {
        case "alnum": union(letters + ["nl", "otheralphabetic", "nd"])
        case "alpha": union(letters + ["nl", "otheralphabetic"])
        case "ascii": ascii
        case "blank": union(["zs"]).union(ScalarSet(0x09))
        case "cntrl": union(["cc"])
        case "digit": digit
        case "graph": assigned.intersection(union(["zs", "zl", "zp", "cc"]).complement)
        case "lower": union(["ll", "otherlowercase"])
        case "print": assigned.intersection(union(["zl", "zp", "cc"]).complement)
        case "punct": union(["pc", "pd", "ps", "pe", "pi", "pf", "po", "sm", "sc", "sk", "so"])
        case "space": space
        case "upper": union(["lu", "otheruppercase"])
        case "word": wordInClass
        case "xdigit": hexadecimal
        default: nil
        }
    }

    private static func union(_ names: [String]) -> ScalarSet {
        ScalarSet(names.flatMap { UnicodeTables.set($0).ranges })
    }

    private static let groups: [String: [String]] = [
        "l": letters, "lc": ["lu", "ll", "lt"], "m": ["mn", "mc", "me"], "n": ["nd", "nl", "no"],
        "p": ["pc", "pd", "ps", "pe", "pi", "pf", "po"], "s": ["sm", "sc", "sk", "so"], "z": ["zs", "zl", "zp"],
    ]

    /// The long names of the general categories.
    private static let longNames: [String: String] = [
        "letter": "l", "casedletter": "lc", "uppercaseletter": "lu", "lowercaseletter": "ll", "titlecaseletter": "lt",
        "modifierletter": "lm", "otherletter": "lo", "mark": "m", "combiningmark": "m", "nonspacingmark": "mn",
        "spacingmark": "mc", "enclosingmark": "me", "number": "n", "decimalnumber": "nd", "letternumber": "nl",
        "othernumber": "no", "punctuation": "p", "connectorpunctuation": "pc", "dashpunctuation": "pd",
        "openpunctuation": "ps", "closepunctuation": "pe", "initialpunctuation": "pi", "finalpunctuation": "pf",
        "otherpunctuation": "po", "symbol": "s", "mathsymbol": "sm", "currencysymbol": "sc", "modifiersymbol": "sk",
        "othersymbol": "so", "separator": "z", "spaceseparator": "zs", "lineseparator": "zl",
        "paragraphseparator": "zp", "other": "c", "control": "cc", "format": "cf", "privateuse": "co",
        "unassigned": "cn",
    ]
}
