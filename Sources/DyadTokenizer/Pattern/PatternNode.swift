/// The parts of a regular expression.
indirect enum PatternNode: Sendable {
    /// How a repetition chooses its count.
    enum Preference: Sendable { case most, fewest, mostWithoutReturn }

    /// What holds between two scalars and consumes nothing.
    enum Anchor: Sendable {
        case textStart, textEnd, lineStart, lineEnd
        /// The end, or before a line feed that is the last scalar.
        case lastLineEnd
        case wordBoundary
        case noWordBoundary
    }

    case scalars(ScalarSet)
    /// A literal scalar in a part that ignores case; becomes sets when the pattern is whole (``PatternFolding``).
    case folded(UInt32)
    case sequence([PatternNode])
    case alternatives([PatternNode])
    case repeated(PatternNode, minimum: Int, maximum: Int?, Preference)
    /// Once matched, no other way to match it is tried.
    case atomic(PatternNode)
    case lookahead(PatternNode, negated: Bool)
    case lookbehind(PatternNode, negated: Bool)
    case anchor(Anchor)
}

extension PatternNode {
    /// What matches nothing but the empty text.
    static let empty = PatternNode.sequence([])

    /// Whether it can match no scalar at all.
    var matchesEmpty: Bool {
        switch self {
        case .scalars, .folded: false
        case .sequence(let parts): parts.allSatisfy { $0.matchesEmpty }
        case .alternatives(let parts): parts.contains { $0.matchesEmpty }
        case .repeated(let inner, let minimum, _, _): minimum == 0 || inner.matchesEmpty
        case .atomic(let inner): inner.matchesEmpty
        case .lookahead, .lookbehind, .anchor: true
        }
    }

    /// Whether some part satisfies the condition, itself included.
    func contains(where condition: (PatternNode) -> Bool) -> Bool {
        if condition(self) { return true }
        switch self {
        case .scalars, .folded, .anchor: return false
        case .sequence(let parts), .alternatives(let parts): return parts.contains { $0.contains(where: condition) }
        case .repeated(let inner, _, _, _), .atomic(let inner), .lookahead(let inner, _), .lookbehind(let inner, _):
            return inner.contains(where: condition)
        }
    }
}
