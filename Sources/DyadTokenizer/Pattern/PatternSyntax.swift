import DyadFormats

/// The parts of a regular expression.
indirect enum PatternNode: Sendable {
    case scalars(ScalarClass)
    case sequence([PatternNode])
    case alternatives([PatternNode])
    case repeated(PatternNode, minimum: Int, maximum: Int?, possessive: Bool)
    case lookahead(PatternNode, negated: Bool)
    case lookbehind(ScalarClass, negated: Bool)
    case start
    case end
    case wordBoundary(negated: Bool)
}

/// Reads the dialect in which tokenizers write their split patterns (a subset of Oniguruma's): classes with
/// `\p{…}`, `\s`, `\d`, `\w`, groups `(…)`, `(?:…)`, `(?i:…)`, look-ahead, look-behind of one scalar, greedy and
/// possessive quantifiers, `^`, `$`, `\b`.
///
/// Repeating a group whose length varies could need time exponential in the text; it is refused.
struct PatternSyntax {
    private let text: [UInt32]
    private var position = 0
    private var ignoresCase = false
    private var depth = 0
    /// Turns a complaint into the error for the field that the pattern is from.
    private let failure: (_ found: String) -> DyadError

    private static let depthLimit = 40
    private static let countLimit = 1000

    init(_ pattern: String, failure: @escaping (String) -> DyadError) {
        text = pattern.unicodeScalars.map(\.value)
        self.failure = failure
    }

    mutating func parse() throws(DyadError) -> PatternNode {
        let node = try alternatives()
        guard position == text.count else { throw failure("an unbalanced ')' in the pattern") }
        return node
    }

    private var next: UInt32? { position < text.count ? text[position] : nil }

    private mutating func take(_ literal: String) -> Bool {
        let wanted = literal.unicodeScalars.map(\.value)
        guard position + wanted.count <= text.count, text[position..<position + wanted.count].elementsEqual(wanted)
        else { return false }
        position += wanted.count
        return true
    }

    private mutating func alternatives() throws(DyadError) -> PatternNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else { throw failure("more than \(Self.depthLimit) nested groups") }
        var branches = [try sequence()]
        while take("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .alternatives(branches)
    }

    private mutating func sequence() throws(DyadError) -> PatternNode {
        var parts: [PatternNode] = []
        while let scalar = next, scalar != 0x7c, scalar != 0x29 { parts.append(try quantified()) }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private mutating func quantified() throws(DyadError) -> PatternNode {
        let atom = try atom()
        guard let (minimum, maximum) = try quantifier() else { return atom }
        if take("?") { throw failure("a lazy quantifier") }
        let possessive = take("+")
        guard case .scalars = atom else {
            guard !possessive, maximum == 1 || (atom.hasOneLength && !atom.matchesEmpty) else {
                throw failure("a repeated group whose length varies")
            }
            return .repeated(atom, minimum: minimum, maximum: maximum, possessive: false)
        }
        return .repeated(atom, minimum: minimum, maximum: maximum, possessive: possessive)
    }

    private mutating func quantifier() throws(DyadError) -> (Int, Int?)? {
        if take("*") { return (0, nil) }
        if take("+") { return (1, nil) }
        if take("?") { return (0, 1) }
        let before = position
        guard take("{") else { return nil }
        let first = number()
        var maximum = first
        if take(",") { maximum = number() }
        guard let minimum = first, take("}") else {
            position = before
            return nil
        }
        if let maximum, maximum < minimum { throw failure("a quantifier whose maximum is below its minimum") }
        guard max(minimum, maximum ?? 0) <= Self.countLimit else {
            throw failure("a quantifier above \(Self.countLimit)")
        }
        return (minimum, maximum)
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
        if take("[") { return .scalars(try bracketClass()) }
        if take("^") { return .start }
        if take("$") { return .end }
        if take(".") {
            var anything = ScalarClass.scalar(0x0a)
            anything.negate()
            return .scalars(anything)
        }
        if take("\\b") { return .wordBoundary(negated: false) }
        if take("\\B") { return .wordBoundary(negated: true) }
        guard let scalar = next else { throw failure("a pattern that ends early") }
        if scalar == 0x5c { return .scalars(folded(try escape())) }
        guard ![0x2a, 0x2b, 0x3f].contains(scalar) else { throw failure("a quantifier with nothing before it") }
        position += 1
        return .scalars(folded(.scalar(scalar)))
    }

    private func folded(_ set: ScalarClass) -> ScalarClass {
        guard ignoresCase else { return set }
        var set = set
        set.closeUnderASCIICase()
        return set
    }

    private mutating func group() throws(DyadError) -> PatternNode {
        let outer = ignoresCase
        var wrap: (PatternNode) throws(DyadError) -> PatternNode = { node in node }
        let failure = failure
        if take("?i:") {
            ignoresCase = true
        } else if take("?i)") {
            ignoresCase = true
            return .sequence([])
        } else if take("?:") {
        } else if take("?=") {
            wrap = { .lookahead($0, negated: false) }
        } else if take("?!") {
            wrap = { .lookahead($0, negated: true) }
        } else if next == 0x3f {
            let negated = take("?<!")
            guard negated || take("?<=") else { throw failure("an unknown kind of group") }
            wrap = { (node) throws(DyadError) in
                guard case .scalars(let set) = node else { throw failure("a look-behind of more than one scalar") }
                return .lookbehind(set, negated: negated)
            }
        }
        let inner = try alternatives()
        guard take(")") else { throw failure("a group that is not closed") }
        ignoresCase = outer
        return try wrap(inner)
    }

    private mutating func bracketClass() throws(DyadError) -> ScalarClass {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else { throw failure("more than \(Self.depthLimit) nested classes") }
        let negated = take("^")
        var set = ScalarClass()
        if take("]") { set.insert(0x5d...0x5d) }
        while !take("]") {
            if take("[:") { throw failure("a POSIX class") }
            if take("&&") || take("--") { throw failure("a class operation") }
            if take("[") {
                let nested = try bracketClass()
                guard !nested.isComplementOfRanges else { throw failure("a nested complement of a range") }
                set.formUnion(nested)
                continue
            }
            guard let scalar = next else { throw failure("a class that is not closed") }
            if scalar == 0x5c, let first = try classEscape(into: &set) {
                try range(from: first, into: &set)
            } else if scalar != 0x5c {
                position += 1
                try range(from: scalar, into: &set)
            }
        }
        if ignoresCase { set.closeUnderASCIICase() }
        if negated { set.negate() }
        return set
    }

    /// Adds a class such as `\s` to the set and returns nil, or returns the one scalar that the escape stands for.
    private mutating func classEscape(into set: inout ScalarClass) throws(DyadError) -> UInt32? {
        let before = position
        if let scalar = try scalarEscape() { return scalar }
        position = before
        set.formUnion(try escape())
        return nil
    }

    private mutating func range(from first: UInt32, into set: inout ScalarClass) throws(DyadError) {
        guard next == 0x2d, position + 1 < text.count, text[position + 1] != 0x5d else {
            set.insert(first...first)
            return
        }
        position += 1
        var last = text[position]
        if last == 0x5c {
            guard let scalar = try scalarEscape() else { throw failure("a range that ends in a class") }
            last = scalar
        } else {
            position += 1
        }
        guard first <= last else { throw failure("a range in the wrong order") }
        set.insert(first...last)
    }

    /// The scalar that an escape at the position stands for; nil (and no progress to rely on) if it is a class.
    private mutating func scalarEscape() throws(DyadError) -> UInt32? {
        guard take("\\"), let scalar = next else { throw failure("a pattern that ends in a backslash") }
        position += 1
        switch Unicode.Scalar(scalar) {
        case "n": return 0x0a
        case "r": return 0x0d
        case "t": return 0x09
        case "f": return 0x0c
        case "v": return 0x0b
        case "0": return 0
        case "x": return try hexadecimal(take("{") ? nil : 2)
        case "u": return try hexadecimal(take("{") ? nil : 4)
        case let other?:
            let isLetterOrDigit =
                other.isASCII && (other.properties.isAlphabetic || other.properties.numericType != nil)
            return isLetterOrDigit ? nil : scalar
        case nil: return scalar
        }
    }

    private mutating func hexadecimal(_ count: Int?) throws(DyadError) -> UInt32 {
        var value: UInt32 = 0
        var digits = 0
        while digits < count ?? 6, let scalar = next.flatMap(Unicode.Scalar.init),
            let digit = Character(scalar).hexDigitValue
        {
            value = value << 4 | UInt32(digit)
            digits += 1
            position += 1
        }
        guard count == nil ? (digits > 0 && take("}")) : digits == count else {
            throw failure("an unfinished hexadecimal escape")
        }
        return value
    }

    private mutating func escape() throws(DyadError) -> ScalarClass {
        let before = position
        if let scalar = try scalarEscape() { return .scalar(scalar) }
        position = before + 1
        if take("s") { return .space() }
        if take("S") { return .space(negated: true) }
        if take("d") { return .digit() }
        if take("D") { return .digit(negated: true) }
        if take("w") { return .word() }
        if take("W") { return .word(negated: true) }
        let isComplement = take("P")
        guard isComplement || take("p") else { throw failure("an unknown escape") }
        var name = ""
        if take("{") {
            while !take("}") {
                guard let scalar = next.flatMap(Unicode.Scalar.init), name.unicodeScalars.count < 32 else {
                    throw failure("a property that is not closed")
                }
                name.unicodeScalars.append(scalar)
                position += 1
            }
        } else if let scalar = next.flatMap(Unicode.Scalar.init) {
            name.unicodeScalars.append(scalar)
            position += 1
        }
        let inverted = name.hasPrefix("^")
        if inverted { name.removeFirst() }
        guard let mask = ScalarKind.mask(property: name) else { throw failure("the property '\(name)'") }
        return .property(mask, negated: isComplement != inverted)
    }
}

extension PatternNode {
    /// Whether it has no choice in what it matches: no alternatives and no range of counts.
    var hasOneLength: Bool {
        switch self {
        case .repeated(let inner, let minimum, let maximum, _): minimum == maximum && inner.hasOneLength
        case .sequence(let parts): parts.allSatisfy { $0.hasOneLength }
        case .alternatives: false
        default: true
        }
    }

    /// Whether it can match no scalar at all.
    var matchesEmpty: Bool {
        switch self {
        case .scalars: false
        case .sequence(let parts): parts.allSatisfy { $0.matchesEmpty }
        case .alternatives(let parts): parts.contains { $0.matchesEmpty }
        case .repeated(let inner, let minimum, _, _): minimum == 0 || inner.matchesEmpty
        default: true
        }
    }
}
