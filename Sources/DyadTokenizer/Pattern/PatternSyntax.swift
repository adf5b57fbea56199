import DyadFormats

/// Reads the dialect in which tokenizers write their split patterns: Oniguruma's with Ruby's syntax, as Hugging Face's
/// tokenizers uses it.
///
/// What depends on more than the text around a position is refused by name: back-references, conditions, calls, absent
/// operators, `\G`, `\K`, `\X`. So is what Oniguruma refuses.
struct PatternSyntax {
    let text: [UInt32]
    var position = 0
    var options = Options()
    private var depth = 0
    /// Groups that capture, so far.
    private var captures = 0
    /// Turns a complaint into the error for the field that the pattern is from.
    let failure: (_ found: String) -> DyadError

    struct Options {
        /// `i`
        var ignoresCase = false
        /// `m`: the dot matches line feeds.
        var dotMatchesAll = false
        /// `x`: white space and `#` comments count for nothing.
        var isExtended = false
    }

    static let depthLimit = 40
    private static let countLimit = 100_000

    init(_ pattern: String, failure: @escaping (String) -> DyadError) {
        text = pattern.unicodeScalars.map(\.value)
        self.failure = failure
    }

    mutating func parse() throws(DyadError) -> PatternNode {
        let node = try alternatives()
        guard position == text.count else { throw failure("an unbalanced ')'") }
        return PatternFolding.expand(node)
    }

    var next: UInt32? { position < text.count ? text[position] : nil }

    mutating func take(_ literal: String) -> Bool {
        let wanted = literal.unicodeScalars
        guard position + wanted.count <= text.count,
            text[position..<position + wanted.count].elementsEqual(wanted.lazy.map(\.value))
        else { return false }
        position += wanted.count
        return true
    }

    /// Runs `body` one level deeper.
    mutating func nested<Result>(
        _ body: (inout PatternSyntax) throws(DyadError) -> Result
    ) throws(DyadError) -> Result {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else { throw failure("more than \(Self.depthLimit) nested groups or classes") }
        return try body(&self)
    }

    private mutating func alternatives() throws(DyadError) -> PatternNode {
        try nested { (syntax) throws(DyadError) in
            var branches = [try syntax.sequence()]
            while syntax.take("|") { branches.append(try syntax.sequence()) }
            return branches.count == 1 ? branches[0] : .alternatives(branches)
        }
    }

    private mutating func sequence() throws(DyadError) -> PatternNode {
        var parts: [PatternNode] = []
        while true {
            try skipIgnored()
            guard let scalar = next, scalar != 0x7c, scalar != 0x29 else { break }
            parts.append(try quantified())
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    /// Skips comments, and in extended parts white space.
    private mutating func skipIgnored() throws(DyadError) {
        while let scalar = next {
            if take("(?#") {
                while let scalar = next, scalar != 0x29 { position += scalar == 0x5c ? 2 : 1 }
                guard take(")") else { throw failure("a comment that is not closed") }
            } else if options.isExtended, [0x20, 0x09, 0x0a, 0x0c, 0x0d].contains(scalar) {
                position += 1
            } else if options.isExtended, scalar == 0x23 {
                while let scalar = next, scalar != 0x0a { _ = (scalar, position += 1) }
            } else {
                return
            }
        }
    }

    private mutating func quantified() throws(DyadError) -> PatternNode {
        var node = try atom()
        var count = 0
        while true {
            try skipIgnored()
            guard let repetition = try quantifier() else { return node }
            if node.isAnchor { throw failure("a quantifier after an anchor") }
            count += 1
            guard count <= Self.depthLimit else { throw failure("more than \(Self.depthLimit) quantifiers in a row") }
            // Once is no repetition to Oniguruma.
            if repetition.minimum == 1, repetition.maximum == 1, repetition.preference == .most { continue }
            node = .repeated(node, minimum: repetition.minimum, maximum: repetition.maximum, repetition.preference)
        }
    }

    private struct Repetition {
        var minimum: Int
        var maximum: Int?
        var preference = PatternNode.Preference.most
    }

    private mutating func quantifier() throws(DyadError) -> Repetition? {
        var result: Repetition
        if take("*") {
            result = Repetition(minimum: 0, maximum: nil)
        } else if take("+") {
            result = Repetition(minimum: 1, maximum: nil)
        } else if take("?") {
            result = Repetition(minimum: 0, maximum: 1)
        } else {
            return try interval()
        }
        if take("?") { result.preference = .fewest } else if take("+") { result.preference = .mostWithoutReturn }
        return result
    }

    /// `{n}`, `{n,}`, `{,m}`, `{n,m}`; nil, and no progress, if it is none of these: then the brace is a literal.
    /// A `+` after it is a quantifier of its own, and after `{n}` so is a `?`. Bounds in the wrong order are swapped
    /// and make it possessive.
    private mutating func interval() throws(DyadError) -> Repetition? {
        let before = position
        guard take("{") else { return nil }
        let first = number()
        let hasComma = take(",")
        let second = hasComma ? number() : first
        guard first != nil || second != nil, take("}") else {
            position = before
            return nil
        }
        guard max(first ?? 0, second ?? 0) <= Self.countLimit else {
            throw failure("a quantifier above \(Self.countLimit)")
        }
        if let first, let second, first > second {
            return Repetition(minimum: second, maximum: first, preference: .mostWithoutReturn)
        }
        var result = Repetition(minimum: first ?? 0, maximum: second)
        if hasComma, take("?") { result.preference = .fewest }
        return result
    }

    private mutating func number() -> Int? {
        var value: Int?
        while let scalar = next, scalar >= 0x30, scalar <= 0x39 {
            value = min((value ?? 0) * 10 + Int(scalar - 0x30), Self.countLimit + 1)
            position += 1
        }
        return value
    }

    private mutating func atom() throws(DyadError) -> PatternNode {
        if take("(") { return try group() }
        if take("[") { return try bracketed() }
        if take("^") { return .anchor(.lineStart) }
        if take("$") { return .anchor(.lineEnd) }
        if take(".") {
            return .scalars(options.dotMatchesAll ? ScalarSet().complement : ScalarSet(0x0a).complement)
        }
        if next == 0x5c { return try escape() }
        if try quantifier() != nil { throw failure("a quantifier with nothing to repeat") }
        guard let scalar = next else { return .empty }
        position += 1
        return literal(scalar)
    }

    /// One literal scalar.
    func literal(_ scalar: UInt32) -> PatternNode {
        options.ignoresCase ? .folded(scalar) : .scalars(ScalarSet(scalar))
    }

    private mutating func group() throws(DyadError) -> PatternNode {
        let outer = options
        defer { options = outer }
        if take("*") { throw failure("a callout '(*'") }
        guard take("?") else {
            captures += 1
            return apart(try closed(try alternatives()))
        }
        if take(":") { return try closed(try alternatives()) }
        if take(">") { return .atomic(try closed(try alternatives())) }
        if take("=") { return .lookahead(try closed(try alternatives()), negated: false) }
        if take("!") { return .lookahead(try closed(try alternatives()), negated: true) }
        if take("<=") { return try lookbehind(negated: false) }
        if take("<!") { return try lookbehind(negated: true) }
        if take("<") { return apart(try named(until: ">")) }
        if take("'") { return apart(try named(until: "'")) }
        if take("~") { throw failure("an absent operator '(?~'") }
        if take("(") { throw failure("a condition '(?('") }
        if take("{") { throw failure("a callout '(?{'") }
        try readOptions()
        // In Ruby's syntax options hold up to the end of the group they stand in, alternatives included.
        if take(")") { return apart(try alternatives()) }
        guard take(":") else { throw failure("an unknown kind of group") }
        return apart(try closed(try alternatives()))
    }

    /// A group whose literals do not join with those around it, and which may be repeated if it is an anchor.
    private func apart(_ node: PatternNode) -> PatternNode { .sequence([.empty, node, .empty]) }

    private mutating func closed(_ node: PatternNode) throws(DyadError) -> PatternNode {
        guard take(")") else { throw failure("a group that is not closed") }
        return node
    }

    private mutating func named(until end: String) throws(DyadError) -> PatternNode {
        var name = ""
        while !take(end) {
            guard let scalar = next.flatMap(Unicode.Scalar.init), name.unicodeScalars.count < 200,
                scalar.properties.isAlphabetic || scalar == "_"
                    || (!name.isEmpty && scalar.properties.numericType != nil)
            else { throw failure("a group with a bad name") }
            name.unicodeScalars.append(scalar)
            position += 1
        }
        guard !name.isEmpty else { throw failure("a group with an empty name") }
        captures += 1
        return try closed(try alternatives())
    }

    private mutating func readOptions() throws(DyadError) {
        var value = true
        while let scalar = next, scalar != 0x29, scalar != 0x3a {
            if take("-") {
                value = false
            } else if take("i") {
                options.ignoresCase = value
            } else if take("m") {
                options.dotMatchesAll = value
            } else if take("x") {
                options.isExtended = value
            } else {
                let name = Unicode.Scalar(scalar).map { String(Character($0)) } ?? ""
                throw failure("the group '(?\(name)'")
            }
        }
    }

    private mutating func lookbehind(negated: Bool) throws(DyadError) -> PatternNode {
        let before = captures
        let inner = try closed(try alternatives())
        if negated, captures > before { throw failure("a capturing group within a negative look-behind") }
        let isRefused = inner.contains { node in
            switch node {
            case .lookahead, .lookbehind(_, negated: true), .atomic, .repeated(_, _, _, .mostWithoutReturn): true
            case .anchor(.textEnd), .anchor(.lastLineEnd): true
            default: false
            }
        }
        // Oniguruma does not find a boundary at the start of the text from within some of these.
        let hasBoundary = inner.contains { node in
            if case .anchor(.wordBoundary) = node {
                true
            } else if case .anchor(.noWordBoundary) = node {
                true
            } else {
                false
            }
        }
        let varies = inner.contains { node in
            if case .repeated(_, let minimum, let maximum, _) = node { minimum != maximum } else { false }
        }
        if hasBoundary, varies { throw failure("a word boundary beside a repetition within a look-behind") }
        if isRefused { throw failure("a look-ahead, an atomic group or an end of the text within a look-behind") }
        return .lookbehind(inner, negated: negated)
    }
}

extension PatternNode {
    /// Whether it, or one of its alternatives, is an anchor or a look around: Oniguruma does not repeat these.
    fileprivate var isAnchor: Bool {
        switch self {
        case .anchor, .lookahead, .lookbehind: true
        case .alternatives(let branches): branches.contains { $0.isAnchor }
        default: false
        }
    }
}
