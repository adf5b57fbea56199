import DyadFormats

/// Where a text is cut: at every occurrence of a string or of a regular expression.
struct SplitRule: Sendable {
    enum Form: Sendable {
        case literal(String)
        case expression(Pattern)
    }

    /// What becomes of the occurrences, in the terms of Hugging Face's `SplitDelimiterBehavior`.
    enum Behavior: String, Sendable {
        case removed = "Removed"
        case isolated = "Isolated"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
        case contiguous = "Contiguous"
    }

    let form: Form
    let behavior: Behavior
    /// Whether the parts between the occurrences take the role of the occurrences.
    let isInverted: Bool

    init(_ form: Form, _ behavior: Behavior, isInverted: Bool = false) {
        self.form = form
        self.behavior = behavior
        self.isInverted = isInverted
    }

    /// A rule with a pattern that is part of the program. Traps on an error in it.
    init(builtIn pattern: String, _ behavior: Behavior = .isolated, isInverted: Bool = false) {
        guard let compiled = try? Pattern(pattern, failure: Self.builtInFailure) else {
            preconditionFailure("the built-in pattern \(pattern) does not compile")
        }
        self.init(.expression(compiled), behavior, isInverted: isInverted)
    }

    /// A rule for single scalars.
    init(builtIn set: ScalarSet, _ behavior: Behavior) {
        guard let compiled = try? Pattern(.scalars(set), source: "", failure: Self.builtInFailure) else {
            preconditionFailure("a set does not compile")
        }
        self.init(.expression(compiled), behavior)
    }

    private static func builtInFailure(_ found: String) -> DyadError {
        DyadError(.failed, found: found, expected: "a pattern that compiles", remedy: "Report this.")
    }

    /// Divides every piece of the text. Linear.
    func apply(to text: inout ScalarText, matcher: inout PatternMatcher) {
        var pieces: [Range<Int>] = []
        pieces.reserveCapacity(text.pieces.count)
        var parts: [(range: Range<Int>, isMatch: Bool)] = []
        for piece in text.pieces {
            parts.removeAll(keepingCapacity: true)
            var end = piece.lowerBound
            let isInverted = isInverted
            form.matches(in: text, bounds: piece, matcher: &matcher) { match in
                if end < match.lowerBound { parts.append((end..<match.lowerBound, isInverted)) }
                parts.append((match, !isInverted))
                end = match.upperBound
            }
            if end < piece.upperBound { parts.append((end..<piece.upperBound, isInverted)) }
            behavior.collect(parts, into: &pieces)
        }
        // Empty matches cut the text too; by themselves they are no pieces.
        pieces.removeAll(where: \.isEmpty)
        text.pieces = pieces
    }
}

extension SplitRule.Form {
    /// The steps of a pattern, one for a string.
    var size: Int { if case .expression(let pattern) = self { pattern.size } else { 1 } }

    func matches(
        in text: ScalarText, bounds: Range<Int>, matcher: inout PatternMatcher, each: (Range<Int>) -> Void
    ) {
        switch self {
        case .expression(let pattern): matcher.matches(of: pattern, in: text, bounds: bounds, each: each)
        case .literal(let string):
            let wanted = string.unicodeScalars.map(\.value)
            guard let first = wanted.first else { return }
            var position = bounds.lowerBound
            while position + wanted.count <= bounds.upperBound {
                if text.values[position] == first,
                    text.values[position..<position + wanted.count].elementsEqual(wanted)
                {
                    each(position..<position + wanted.count)
                    position += wanted.count
                } else {
                    position += 1
                }
            }
        }
    }
}

extension SplitRule.Behavior {
    /// Joins or drops the parts of one piece.
    fileprivate func collect(_ parts: [(range: Range<Int>, isMatch: Bool)], into pieces: inout [Range<Int>]) {
        switch self {
        case .isolated: for part in parts { pieces.append(part.range) }
        case .removed: for part in parts where !part.isMatch { pieces.append(part.range) }
        case .contiguous: join(parts, into: &pieces) { $0 == $1 }
        case .mergedWithPrevious: join(parts, into: &pieces) { !$0 && $1 }
        case .mergedWithNext: join(parts, into: &pieces) { $0 && !$1 }
        }
    }

    private func join(
        _ parts: [(range: Range<Int>, isMatch: Bool)], into pieces: inout [Range<Int>],
        _ areJoined: (_ earlier: Bool, _ later: Bool) -> Bool
    ) {
        var earlier: Bool?
        for part in parts {
            if let was = earlier, areJoined(was, part.isMatch), let last = pieces.last {
                pieces[pieces.count - 1] = last.lowerBound..<part.range.upperBound
            } else {
                pieces.append(part.range)
            }
            earlier = part.isMatch
        }
    }
}
