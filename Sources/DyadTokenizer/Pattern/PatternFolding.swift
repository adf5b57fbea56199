import DyadFormats

/// What ignoring case makes of literals and sets, as Oniguruma does it: sets gain every scalar of the same simple
/// folding, and where several scalars fold as one (`ss` and `ß`) one may stand for the other.
enum PatternFolding {
    /// The set with all scalars that differ from a member only in case.
    static func closure(_ set: ScalarSet) -> ScalarSet {
        ScalarSet(
            set.ranges
                + UnicodeTables.folding.orbits.filter { $0.contains(where: set.contains) }.flatMap {
                    $0.map { $0...$0 }
                })
    }

    /// A set in a part that ignores case, given by its members.
    static func expand(_ set: ScalarSet) -> PatternNode {
        let sequences = UnicodeTables.folding.sequences.filter { $0.scalars.contains(where: set.contains) }
        guard !sequences.isEmpty else { return .scalars(closure(set)) }
        let together = ScalarSet(sequences.flatMap { $0.scalars.map { $0...$0 } })
        return .alternatives([.scalars(closure(set).union(together))] + sequences.map { spell($0.folded) })
    }

    /// Replaces the literals that ignore case by sets.
    static func expand(
        _ node: PatternNode, _ failure: (_ found: String) -> DyadError
    ) throws(DyadError) -> PatternNode {
        switch node {
        case .scalars, .anchor: return node
        case .folded(let value): return try expand([value], failure)
        case .sequence(let parts):
            var result: [PatternNode] = []
            var literals: [UInt32] = []
            for part in flatten(parts) {
                if case .folded(let value) = part {
                    literals.append(value)
                    continue
                }
                if !literals.isEmpty { result.append(try expand(literals, failure)) }
                literals = []
                result.append(try expand(part, failure))
            }
            if !literals.isEmpty { result.append(try expand(literals, failure)) }
            return .sequence(result)
        case .alternatives(let branches):
            var result: [PatternNode] = []
            for branch in branches { result.append(try expand(branch, failure)) }
            return .alternatives(result)
        case .repeated(let inner, let minimum, let maximum, let preference):
            return .repeated(try expand(inner, failure), minimum: minimum, maximum: maximum, preference)
        case .atomic(let inner): return .atomic(try expand(inner, failure))
        case .lookahead(let inner, let negated): return .lookahead(try expand(inner, failure), negated: negated)
        case .lookbehind(let inner, let negated): return .lookbehind(try expand(inner, failure), negated: negated)
        }
    }

    private static func flatten(_ parts: [PatternNode]) -> [PatternNode] {
        parts.flatMap { part in
            if case .sequence(let inner) = part { flatten(inner) } else { [part] }
        }
    }

    /// Literals one after the other. What several scalars fold to is found from left to right; where two such
    /// sequences overlap Oniguruma has rules of its own, and the pattern is refused.
    private static func expand(
        _ literals: [UInt32], _ failure: (_ found: String) -> DyadError
    ) throws(DyadError) -> PatternNode {
        let folding = UnicodeTables.folding
        var parts: [PatternNode] = []
        var folded: [[UInt32]] = []
        for value in literals {
            folded.append(
                folding.sequences.first { $0.scalars.contains(value) }?.folded ?? [folding.simple[value] ?? value])
        }
        var place = 0
        var end = 0
        while place < literals.count {
            let rest = Array(folded[place...].prefix(3).joined())
            let fitting = folding.sequences.filter { rest.starts(with: $0.folded) }
            guard let longest = fitting.max(by: { $0.folded.count < $1.folded.count }) else {
                if place >= end { parts.append(.scalars(closure(ScalarSet(literals[place])))) }
                place += 1
                continue
            }
            var scalars = 0
            var length = 0
            while length < longest.folded.count {
                length += folded[place + scalars].count
                scalars += 1
            }
            guard place >= end, fitting.count == 1, length == longest.folded.count else {
                throw failure("literals that fold together in more than one way where case is ignored")
            }
            parts.append(
                .alternatives([.scalars(ScalarSet(longest.scalars.map { $0...$0 })), spell(longest.folded)]))
            end = place + scalars
            place += 1
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private static func spell(_ folded: [UInt32]) -> PatternNode {
        .sequence(folded.map { .scalars(closure(ScalarSet($0))) })
    }
}
