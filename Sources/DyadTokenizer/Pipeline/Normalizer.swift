import DyadFormats

/// Rewrites a text before it is divided.
indirect enum Normalizer: Sendable {
    /// Unicode's normal forms.
    enum Form: String, Sendable { case nfc = "NFC", nfd = "NFD", nfkc = "NFKC", nfkd = "NFKD" }

    case form(Form)
    case lowercase
    case stripAccents
    /// White space at the ends is dropped.
    case strip(left: Bool, right: Bool)
    /// Put before every text that is not empty.
    case prepend(String)
    /// Every occurrence is replaced. `source` is the JSON of the pattern.
    case replace(SplitRule.Form, with: String, source: JSONValue)
    case sequence([Normalizer])

    /// The rewritten text. Linear.
    func apply(to text: String) -> String {
        switch self {
        case .form(let form):
            if text.utf8.allSatisfy({ $0 < 128 }) { return text }
            return form.apply(to: text)
        case .lowercase:
            var result = ""
            for scalar in text.unicodeScalars { result += scalar.properties.lowercaseMapping }
            return result
        case .stripAccents:
            var result = String.UnicodeScalarView()
            for scalar in text.unicodeScalars where scalar.isASCII || !Self.marks.contains(scalar.value) {
                result.append(scalar)
            }
            return String(result)
        case .strip(let left, let right):
            var scalars = Substring(text).unicodeScalars
            if left { scalars = scalars.drop { $0.properties.isWhitespace } }
            while right, let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
            return String(scalars)
        case .prepend(let prefix): return text.isEmpty ? text : prefix + text
        case .replace(let form, let replacement, _): return Self.replace(form, with: replacement, in: text)
        case .sequence(let parts): return parts.reduce(text) { $1.apply(to: $0) }
        }
    }

    /// Marks as `unicode_normalization` knows them (Unicode 9): spacing and enclosing ones too.
    private static let marks = UnicodeTables.set("marks")

    private static func replace(_ form: SplitRule.Form, with replacement: String, in text: String) -> String {
        // Nothing matches in nothing, not even what matches the empty text.
        if text.isEmpty { return text }
        let scalars = ScalarText(text)
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count)
        var matcher = PatternMatcher()
        var end = 0
        func copy(to start: Int, _ result: inout [UInt8]) {
            for value in scalars.values[end..<start] { UTF8.append(value, to: &result) }
        }
        form.matches(in: scalars, bounds: 0..<scalars.values.count, matcher: &matcher) { match in
            copy(to: match.lowerBound, &result)
            result.append(contentsOf: replacement.utf8)
            end = match.upperBound
        }
        copy(to: scalars.values.count, &result)
        return String(decoding: result, as: UTF8.self)
    }
}

extension Normalizer.Form {
    fileprivate func apply(to text: String) -> String {
        switch self {
        case .nfc: NormalForm(composes: true, isCompatible: false).apply(to: text)
        case .nfd: NormalForm(composes: false, isCompatible: false).apply(to: text)
        case .nfkc: NormalForm(composes: true, isCompatible: true).apply(to: text)
        case .nfkd: NormalForm(composes: false, isCompatible: true).apply(to: text)
        }
    }
}

extension Normalizer {
    /// The number of pattern steps that every scalar may meet.
    var size: Int {
        switch self {
        case .replace(let form, _, _): form.size
        case .sequence(let parts): parts.reduce(0) { $0 + $1.size }
        default: 1
        }
    }

    /// How many times as long it may make a text of replaced strings, at most. A pattern may match single bytes, and
    /// the empty text before each.
    var growth: Double {
        switch self {
        case .replace(let form, let replacement, _):
            switch form {
            case .literal(let old):
                old.isEmpty ? 1 : max(1, Double(replacement.utf8.count) / Double(old.utf8.count))
            case .expression(let pattern):
                max(1, Double(replacement.utf8.count)) + (pattern.matchesEmpty ? 1 : 0)
            }
        // A text may be little more than many short parts between added tokens.
        case .prepend(let prefix): 1 + Double(prefix.utf8.count)
        case .sequence(let parts): parts.reduce(1) { $0 * $1.growth }
        default: 1
        }
    }

    private static func check(_ parts: [Normalizer], _ field: JSONField) throws(DyadError) {
        let whole = Normalizer.sequence(parts)
        guard whole.size <= Work.largestSize, whole.growth <= Work.largestGrowth else {
            throw field.failure(
                .unsupported,
                found: "\(whole.size) pattern steps that may make a text \(whole.growth) times as long",
                expected: "\(Work.largestSize) steps and \(Work.largestGrowth) times at most",
                remedy: "This tokenizer cannot be used with Dyad.")
        }
    }
}

extension UTF8 {
    /// Appends the UTF-8 bytes of a scalar value.
    @inline(__always)
    static func append(_ value: UInt32, to bytes: inout [UInt8]) {
        if value < 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value))
        } else if let scalar = Unicode.Scalar(value) {
            for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter { bytes.append(byte) }
        }
    }
}

extension Normalizer {
    /// Reads the `normalizer` of a tokenizer.json. Throws `malformed`, or `unsupported` naming the field.
    init(_ field: JSONField) throws(DyadError) {
        let type = try field.member("type").string()
        switch type {
        case "Sequence":
            var parts: [Normalizer] = []
            for element in try field.member("normalizers").elements() { parts.append(try Normalizer(element)) }
            try Self.check(parts, field)
            self = .sequence(parts)
        case "NFC", "NFD", "NFKC", "NFKD": self = .form(Form(rawValue: type) ?? .nfc)
        case "Lowercase": self = .lowercase
        case "StripAccents": self = .stripAccents
        case "Strip":
            self = .strip(
                left: try field.optional("strip_left")?.bool() ?? true,
                right: try field.optional("strip_right")?.bool() ?? true)
        case "Prepend": self = .prepend(try field.member("prepend").string())
        case "Replace":
            let pattern = try field.member("pattern")
            var form = try SplitRule.Form(pattern)
            // The empty string is found before every scalar and at the end, though no split is made there.
            if case .literal("") = form {
                form = .expression(
                    try Pattern(.empty, source: "") { pattern.failure(.unsupported, found: $0, expected: "") })
            }
            self = .replace(
                form, with: try field.member("content").string(), source: pattern.value)
            try Self.check([self], field)
        default:
            throw try field.member("type").failure(
                .unsupported, found: "'\(type)'",
                expected: "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend or Replace",
                remedy: "This tokenizer cannot be used with Dyad.")
        }
    }

    /// The JSON that ``init(_:)`` reads back.
    var json: JSONValue {
        switch self {
        case .form(let form): ["type": .string(form.rawValue)]
        case .lowercase: ["type": "Lowercase"]
        case .stripAccents: ["type": "StripAccents"]
        case .strip(let left, let right): ["type": "Strip", "strip_left": .bool(left), "strip_right": .bool(right)]
        case .prepend(let prefix): ["type": "Prepend", "prepend": .string(prefix)]
        case .replace(_, let replacement, let source):
            ["type": "Replace", "pattern": source, "content": .string(replacement)]
        case .sequence(let parts): ["type": "Sequence", "normalizers": .array(parts.map(\.json))]
        }
    }
}
