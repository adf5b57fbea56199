/// One step of a pattern; classes and steps are given by number.
enum PatternInstruction: Sendable {
    /// The end of the pattern, of an atomic group, or of what is looked for ahead or behind.
    case accept
    /// One scalar of the class.
    case one(Int, next: Int)
    /// One scalar of the class before the position, which moves back: in look-behinds.
    case oneBefore(Int, next: Int)
    /// As many scalars of the class as there are, up to the maximum; gives them back one by one unless possessive.
    case many(Int, minimum: Int, maximum: Int, possessive: Bool, next: Int)
    /// Goes on at the first step, and at the second if that fails.
    case fork(Int, Int)
    case anchor(PatternNode.Anchor, next: Int)
    /// Goes on if the scalar before the position is in the class (or is not, or is not there, if negated).
    case before(Int, negated: Bool, next: Int)
    /// Runs the body, ahead or behind, without consuming.
    case look(body: Int, negated: Bool, next: Int)
    /// Runs the body and goes on where it ends first; at `whenEmpty` if it consumed nothing.
    case atomic(body: Int, whenEmpty: Int, next: Int)
}

/// A program of steps.
struct PatternProgram: Sendable {
    var steps: [PatternInstruction] = []
    /// Where to begin.
    var start = 0
    /// Where the bodies of look-behinds begin: these run from right to left.
    var behind: [Int] = []
}
