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
    static func expand(_ node: PatternNode) -> PatternNode {
        switch node {
        case .scalars, .anchor: return node
        case .folded(let value): return expand([value])
        case .sequence(let parts):
            var result: [PatternNode] = []
            var literals: [UInt32] = []
            for part in flatten(parts) {
                if case .folded(let value) = part {
                    literals.append(value)
                    continue
                }
                if !literals.isEmpty { result.append(expand(literals)) }
                literals = []
                result.append(expand(part))
            }
            if !literals.isEmpty { result.append(expand(literals)) }
            return result.count == 1 ? result[0] : .sequence(result)
        case .alternatives(let branches): return .alternatives(branches.map { expand($0) })
        case .repeated(let inner, let minimum, let maximum, let preference):
            return .repeated(expand(inner), minimum: minimum, maximum: maximum, preference)
        case .atomic(let inner): return .atomic(expand(inner))
        case .lookahead(let inner, let negated): return .lookahead(expand(inner), negated: negated)
        case .lookbehind(let inner, let negated): return .lookbehind(expandSingly(inner), negated: negated)
        }
    }

    /// The same within a look-behind, where Oniguruma takes every scalar for itself.
    private static func expandSingly(_ node: PatternNode) -> PatternNode {
        switch node {
        case .scalars, .anchor: node
        case .folded(let value): .scalars(closure(ScalarSet(value)))
        case .sequence(let parts): .sequence(parts.map { expandSingly($0) })
        case .alternatives(let branches): .alternatives(branches.map { expandSingly($0) })
        case .repeated(let inner, let minimum, let maximum, let preference):
            .repeated(expandSingly(inner), minimum: minimum, maximum: maximum, preference)
        case .atomic(let inner): .atomic(expandSingly(inner))
        case .lookahead(let inner, let negated): .lookahead(expandSingly(inner), negated: negated)
        case .lookbehind(let inner, let negated): .lookbehind(expandSingly(inner), negated: negated)
        }
    }

    /// The parts without nesting; empty ones stay, to part literals.
    private static func flatten(_ parts: [PatternNode]) -> [PatternNode] {
        parts.flatMap { part in
            if case .sequence(let inner) = part, !inner.isEmpty { flatten(inner) } else { [part] }
        }
    }

    /// Literals one after the other. From left to right, the longest sequence that folds together is a unit, which the
    /// single scalars that fold to it may stand for; units do not overlap.
    private static func expand(_ literals: [UInt32]) -> PatternNode {
        let folding = UnicodeTables.folding
        var parts: [PatternNode] = []
        var place = 0
        while place < literals.count {
            let here = literals[place]
            if let sequence = folding.sequences.first(where: { $0.scalars.contains(here) }) {
                parts.append(unit(sequence.folded, sequence.scalars))
                place += 1
                continue
            }
            let rest = literals[place...].prefix(3).map { folding.simple[$0] ?? $0 }
            let fitting = folding.sequences.filter { sequence in
                rest.starts(with: sequence.folded.map { folding.simple[$0] ?? $0 })
            }
            if let longest = fitting.max(by: { $0.folded.count < $1.folded.count }) {
                parts.append(unit(longest.folded, longest.scalars))
                place += longest.folded.count
            } else {
                parts.append(.scalars(closure(ScalarSet(here))))
                place += 1
            }
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private static func unit(_ folded: [UInt32], _ scalars: [UInt32]) -> PatternNode {
        .alternatives([.scalars(ScalarSet(scalars.map { $0...$0 })), spell(folded)])
    }

    private static func spell(_ folded: [UInt32]) -> PatternNode {
        .sequence(folded.map { .scalars(closure(ScalarSet($0))) })
    }
}
