import DyadFormats

extension PreTokenizer {
    /// Reads the `pre_tokenizer` of a tokenizer.json. Throws `malformed`, or `unsupported` naming the field.
    init(_ field: JSONField) throws(DyadError) {
        let type = try field.member("type").string()
        switch type {
        case "Sequence":
            var parts: [PreTokenizer] = []
            for element in try field.member("pretokenizers").elements() { parts.append(try PreTokenizer(element)) }
            try Self.checkWork(parts, field)
            for (place, part) in parts.enumerated() where part.isByteLevel && place < parts.count - 1 {
                throw field.failure(
                    .unsupported, found: "ByteLevel before another step", expected: "ByteLevel as the last step")
            }
            self = .sequence(parts)
        case "ByteLevel":
            self = .byteLevel(
                addPrefixSpace: try field.optional("add_prefix_space")?.bool() ?? true,
                usesPattern: try field.optional("use_regex")?.bool() ?? true)
        case "Metaspace": self = .metaspace(try Self.metaspace(field))
        default: self = .split(try Self.rule(type, field), source: field.value)
        }
    }

    /// Bounds what a sequence may cost: its steps, and how much longer it can make a text.
    private static func checkWork(_ parts: [PreTokenizer], _ field: JSONField) throws(DyadError) {
        let size = parts.reduce(0) { $0 + $1.size }
        guard size <= Work.largestSize else {
            throw field.failure(
                .unsupported, found: "steps with \(size) pattern steps together",
                expected: "\(Work.largestSize) at most", remedy: "This tokenizer cannot be used with Dyad.")
        }
        let growth = parts.reduce(1.0) { $0 * $1.growth }
        guard growth <= Work.largestGrowth else {
            throw field.failure(
                .unsupported, found: "steps that may make a text \(growth) times as long",
                expected: "\(Work.largestGrowth) times at most", remedy: "This tokenizer cannot be used with Dyad.")
        }
    }

    private static func rule(_ type: String, _ field: JSONField) throws(DyadError) -> SplitRule {
        switch type {
        case "Digits":
            let individual = try field.optional("individual_digits")?.bool() ?? false
            // Every number (Rust's `char::is_numeric`, of Unicode 17), not only decimal digits.
            return SplitRule(
                builtIn: #"[\p{N}\x{11de0}-\x{11de9}\x{16ff4}-\x{16ff6}]"#, individual ? .isolated : .contiguous)
        case "Split":
            let pattern = try field.member("pattern")
            let form = try SplitRule.Form(pattern)
            let isInverted = try field.optional("invert")?.bool() ?? false
            return SplitRule(form, try behavior(field), isInverted: isInverted)
        case "Punctuation":
            let behavior = try field.optional("behavior") == nil ? .isolated : try behavior(field)
            return SplitRule(builtIn: UnicodeTables.set("punctuation"), behavior)
        case "Whitespace":
            // Keeps what matches, drops the white space between. Rust's `\w` has the joiners too.
            return SplitRule(
                builtIn: #"[[:word:]\x{200c}\x{200d}]+|[^[:word:]\x{200c}\x{200d}\s]+"#, .removed, isInverted: true)
        case "WhitespaceSplit": return SplitRule(builtIn: #"\s"#, .removed)
        case "CharDelimiterSplit":
            return SplitRule(.literal(try field.member("delimiter").string()), .removed)
        default:
            throw try field.member("type").failure(
                .unsupported, found: "'\(type)'",
                expected: "Sequence, ByteLevel, Metaspace, Split, Digits, Punctuation, Whitespace, WhitespaceSplit "
                    + "or CharDelimiterSplit",
                remedy: "This tokenizer cannot be used with Dyad.")
        }
    }

    private static func behavior(_ field: JSONField) throws(DyadError) -> SplitRule.Behavior {
        let behavior = try field.member("behavior")
        guard let value = SplitRule.Behavior(rawValue: try behavior.string()) else {
            throw behavior.failure(.unsupported, found: try behavior.string(), expected: "a split behaviour")
        }
        return value
    }

    private static func metaspace(_ field: JSONField) throws(DyadError) -> Metaspace {
        let replacement = try field.optional("replacement")?.string() ?? "▁"
        guard let scalar = replacement.unicodeScalars.first, replacement.unicodeScalars.count == 1 else {
            throw try field.member("replacement").failure(
                .malformed, found: "'\(replacement)'", expected: "one scalar")
        }
        var prepend = Metaspace.Prepend.always
        if let scheme = try field.optional("prepend_scheme") {
            guard let value = Metaspace.Prepend(rawValue: try scheme.string()) else {
                throw scheme.failure(.unsupported, found: try scheme.string(), expected: "always, first or never")
            }
            prepend = value
        } else if try field.optional("add_prefix_space")?.bool() == false {
            prepend = .never
        }
        return Metaspace(
            replacement: scalar, prepend: prepend, splits: try field.optional("split")?.bool() ?? true)
    }

    /// The JSON that ``init(_:)`` reads back.
    var json: JSONValue {
        switch self {
        case .split(_, let source): source
        case .byteLevel(let addPrefixSpace, let usesPattern):
            [
                "type": "ByteLevel", "add_prefix_space": .bool(addPrefixSpace), "trim_offsets": true,
                "use_regex": .bool(usesPattern),
            ]
        case .metaspace(let metaspace):
            [
                "type": "Metaspace", "replacement": .string(String(Character(metaspace.replacement))),
                "prepend_scheme": .string(metaspace.prepend.rawValue), "split": .bool(metaspace.splits),
            ]
        case .sequence(let parts):
            ["type": "Sequence", "pretokenizers": .array(parts.map(\.json))]
        }
    }
}

extension SplitRule.Form {
    /// Reads `{"String": …}` or `{"Regex": …}`, or a bare string.
    init(_ field: JSONField) throws(DyadError) {
        if field.value.string != nil {
            self = .literal(try field.string())
        } else if let literal = try field.optional("String") {
            self = .literal(try literal.string())
        } else {
            let expression = try field.member("Regex")
            self = .expression(
                try Pattern(try expression.string()) { found in
                    expression.failure(
                        .unsupported, found: found, expected: "a pattern of the dialect Dyad knows",
                        remedy: "This tokenizer cannot be used with Dyad.")
                })
        }
    }
}
