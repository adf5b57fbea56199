/// A program prepared for ``PatternTable``: steps in an order in which those they lead to at the same place come first.
struct PatternTableLayout: Sendable {
    enum Kind: UInt8, Sendable { case accept, one, fork, anchor, before, lookahead, lookbehind, atomic }

    struct Step: Sendable {
        var kind: Kind
        var isNegated = false
        var anchor = PatternNode.Anchor.textStart
        /// A class, a step, or for a look-behind a memory.
        var first: Int32 = 0
        /// A step.
        var second: Int32 = 0
        /// A memory.
        var third: Int32 = 0
        /// Where its value stands.
        var number: Int32
        /// Where its values at all places are kept, or -1.
        var memory: Int32
    }

    let classes: [ScalarClass]
    /// The steps that run from left to right: bodies of look-behinds.
    private(set) var behind: [Step] = []
    /// All others.
    private(set) var ahead: [Step] = []
    /// The number of values, of memories, and of the first step.
    let size: Int
    let memories: Int
    let start: Int

    init(_ program: PatternProgram, classes: [ScalarClass]) {
        self.classes = classes
        size = program.steps.count
        start = program.start
        var memory = [Int32](repeating: -1, count: size)
        var memories: Int32 = 0
        func remember(_ step: Int) {
            if memory[step] < 0 {
                memory[step] = memories
                memories += 1
            }
        }
        for body in program.behind { remember(body) }
        for case .atomic(_, _, let next) in program.steps { remember(next) }
        self.memories = Int(memories)
        let bodies = Set(program.behind)
        func steps(_ order: [Int]) -> [Step] {
            order.map { Self.step($0, program.steps[$0], memory, bodies: bodies) }
        }
        behind = steps(Self.order(program, from: program.behind, bodies: bodies))
        ahead = steps(Self.order(program, from: [program.start], bodies: bodies))
    }

    private static func step(
        _ number: Int, _ instruction: PatternInstruction, _ memory: [Int32], bodies: Set<Int>
    ) -> Step {
        func make(
            _ kind: Kind, _ first: Int, _ second: Int, third: Int32 = 0, isNegated: Bool = false,
            anchor: PatternNode.Anchor = .textStart
        ) -> Step {
            Step(
                kind: kind, isNegated: isNegated, anchor: anchor, first: Int32(first), second: Int32(second),
                third: third, number: Int32(number), memory: memory[number])
        }
        switch instruction {
        case .accept: return make(.accept, 0, 0)
        case .one(let set, let next), .oneBefore(let set, let next), .many(let set, _, _, _, let next):
            return make(.one, set, next)
        case .fork(let first, let second): return make(.fork, first, second)
        case .anchor(let anchor, let next): return make(.anchor, 0, next, anchor: anchor)
        case .before(let set, let negated, let next): return make(.before, set, next, isNegated: negated)
        case .look(let body, let negated, let next):
            return bodies.contains(body)
                ? make(.lookbehind, Int(memory[body]), next, isNegated: negated)
                : make(.lookahead, body, next, isNegated: negated)
        case .atomic(let body, let whenEmpty, let next): return make(.atomic, body, whenEmpty, third: memory[next])
        }
    }

    /// The steps that are reached from some, each after those it leads to at the same place. What is behind a place is
    /// known before all that is ahead; nested look-behinds come before those they are in.
    private static func order(_ program: PatternProgram, from roots: [Int], bodies: Set<Int>) -> [Int] {
        enum State { case new, open, done }
        let isBehind = roots.allSatisfy(bodies.contains)
        var states = [State](repeating: .new, count: program.steps.count)
        var order: [Int] = []
        var pending = roots
        while let root = pending.popLast() {
            var stack = [root]
            while let step = stack.last {
                if states[step] == .new {
                    states[step] = .open
                    let (here, later) = program.steps[step].targets
                    pending += later
                    stack += here.filter { states[$0] == .new && (isBehind || !bodies.contains($0)) }
                } else {
                    stack.removeLast()
                    if states[step] == .open {
                        states[step] = .done
                        order.append(step)
                    }
                }
            }
        }
        return order
    }
}

extension PatternInstruction {
    /// The steps that this one leads to: at the same place, and after consuming.
    fileprivate var targets: (here: [Int], later: [Int]) {
        switch self {
        case .accept: ([], [])
        case .one(_, let next), .oneBefore(_, let next), .many(_, _, _, _, let next): ([], [next])
        case .fork(let first, let second): ([first, second], [])
        case .anchor(_, let next), .before(_, _, let next): ([next], [])
        case .look(let body, _, let next): ([body, next], [])
        case .atomic(let body, let whenEmpty, let next): ([body, whenEmpty], [next])
        }
    }
}
