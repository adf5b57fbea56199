import DyadFormats

extension PatternSyntax {
    /// A class, of which the bracket has been read. Where case is ignored the whole class gains what its members fold
    /// to, before it is negated; classes within it are taken as they stand.
    mutating func bracketed() throws(DyadError) -> PatternNode {
        let isNegated = take("^")
        let set = try intersections()
        guard options.ignoresCase else { return .scalars(isNegated ? set.complement : set) }
        if isNegated { return .scalars(PatternFolding.closure(set).complement) }
        return PatternFolding.expand(set)
    }

    /// The operands of `&&` up to the closing bracket.
    private mutating func intersections() throws(DyadError) -> ScalarSet {
        try nested { (syntax) throws(DyadError) in
            var result = try syntax.classOperand(isFirst: true)
            while !syntax.take("]") {
                guard syntax.take("&&") else { throw syntax.failure("a class that is not closed") }
                result = result.intersection(try syntax.classOperand(isFirst: false))
            }
            return result
        }
    }

    /// The members up to `]` or `&&`.
    private mutating func classOperand(isFirst: Bool) throws(DyadError) -> ScalarSet {
        var parts: [ClosedRange<UInt32>] = []
        var isEmpty = true
        // The scalar that a '-' may make the start of a range.
        var first: UInt32?
        if isFirst, next == 0x5d {
            guard text[(position + 1)...].contains(0x5d) else { throw failure("an empty class") }
            position += 1
            (first, isEmpty) = (0x5d, false)
            parts.append(0x5d...0x5d)
        }
        while let scalar = next, scalar != 0x5d, !starts("&&") {
            isEmpty = false
            if let posix = try posixSet() {
                parts += posix.ranges
                first = nil
            } else if take("[") {
                let isNegated = take("^")
                let inner = try intersections()
                parts += (isNegated ? inner.complement : inner).ranges
                first = nil
            } else if scalar == 0x2d, let range = try range(from: first) {
                parts.append(range)
                first = nil
            } else if scalar == 0x5c {
                switch try classEscape() {
                case .scalar(let value):
                    parts.append(value...value)
                    first = value
                case .set(let set):
                    parts += set.ranges
                    first = nil
                    if next == 0x2d, position + 1 < text.count, text[position + 1] != 0x5d {
                        throw failure("a '-' after a class within a class")
                    }
                }
            } else {
                position += 1
                parts.append(scalar...scalar)
                first = scalar
            }
        }
        guard next != nil else { throw failure("a class that is not closed") }
        if isEmpty { throw failure("an empty side of '&&'") }
        return ScalarSet(parts)
    }

    private func starts(_ literal: String) -> Bool {
        var copy = self
        return copy.take(literal)
    }

    /// A range whose first scalar has been read, at its '-'; nil, and no progress, if the '-' is a literal.
    private mutating func range(from first: UInt32?) throws(DyadError) -> ClosedRange<UInt32>? {
        guard position + 1 < text.count, text[position + 1] != 0x5d, let first else { return nil }
        position += 1
        if next == 0x5b || starts("&&") { throw failure("a '-' before a class or '&&'") }
        var last = text[position]
        if last == 0x5c {
            guard case .scalar(let scalar) = try classEscape() else { throw failure("a range that ends in a class") }
            last = scalar
        } else {
            position += 1
        }
        guard first <= last else { throw failure("a range in the wrong order") }
        return first...last
    }

    /// `[:alpha:]` or `[:^alpha:]`; nil, and no progress, if it is not of that form.
    private mutating func posixSet() throws(DyadError) -> ScalarSet? {
        let before = position
        guard take("[:") else { return nil }
        let isNegated = take("^")
        var name = ""
        while let scalar = next.flatMap(Unicode.Scalar.init), scalar.properties.isAlphabetic, name.count < 20 {
            name.unicodeScalars.append(scalar)
            position += 1
        }
        guard take(":]") else {
            position = before
            return nil
        }
        guard let set = UnicodeProperty.posix(name) else { throw failure("the POSIX class '\(name)'") }
        return isNegated ? set.complement : set
    }
}
