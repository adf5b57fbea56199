import DyadFormats

/// Turns the parts of a pattern into steps, from the last to the first: every step knows the next.
///
/// Oniguruma leaves a loop when a round has consumed nothing. Here that is a matter of where a step leads, not of
/// state at run time: within a loop whose body can be empty every part is compiled for the case that the round has
/// consumed something and for the case that it has not. So the future of a match depends on nothing but the step and
/// the position, which is what lets ``PatternTable`` work in linear time.
struct PatternCompiler {
    /// Where to go on.
    private struct Continuation {
        /// If the round of the innermost loop has consumed nothing.
        var empty: Int
        /// If it has.
        var consumed: Int

        init(_ both: Int) { (empty, consumed) = (both, both) }
        init(empty: Int, consumed: Int) { (self.empty, self.consumed) = (empty, consumed) }

        /// The same for a part before which something has been consumed.
        var afterConsumption: Continuation { Continuation(consumed) }
        var isUniform: Bool { empty == consumed }
    }

    private var program = PatternProgram()
    private(set) var sets: [ScalarSet] = []
    private var numbers: [ScalarSet: Int] = [:]
    private var isReversed = false
    /// Whether repetitions of single scalars become single scalars and forks.
    private let expandsRuns: Bool
    private let failure: (_ found: String) -> DyadError

    /// Counts what is emitted, steps or nothing, so that repetitions of nothing end too.
    private var work = 0

    /// Bounds time and memory of matching, which are proportional to it at worst.
    static let sizeLimit = 2048
    /// Each of these remembers something about every position of the text.
    static let rememberingLimit = 64

    init(expandsRuns: Bool, failure: @escaping (_ found: String) -> DyadError) {
        self.expandsRuns = expandsRuns
        self.failure = failure
    }

    /// The program of a pattern.
    mutating func compile(_ node: PatternNode) throws(DyadError) -> PatternProgram {
        let accept = try append(.accept)
        program.start = try emit(node, Continuation(accept))
        var remembering = program.behind.count
        for case .atomic in program.steps { remembering += 1 }
        guard remembering <= Self.rememberingLimit else {
            throw failure("more than \(Self.rememberingLimit) look-behinds, atomic groups and possessive quantifiers")
        }
        return program
    }

    private mutating func spend() throws(DyadError) {
        work += 1
        guard work <= 8 * Self.sizeLimit, program.steps.count < Self.sizeLimit else {
            throw failure("more than \(Self.sizeLimit) steps, with all repetitions written out,")
        }
    }

    private mutating func append(_ step: PatternInstruction) throws(DyadError) -> Int {
        try spend()
        program.steps.append(step)
        return program.steps.count - 1
    }

    private mutating func number(_ set: ScalarSet) -> Int {
        if let known = numbers[set] { return known }
        sets.append(set)
        numbers[set] = sets.count - 1
        return sets.count - 1
    }

    /// Emits a part that goes on at `then`; returns where it begins.
    private mutating func emit(_ node: PatternNode, _ then: Continuation) throws(DyadError) -> Int {
        try spend()
        switch node {
        case .scalars(let set): return try emit(set, then)
        case .folded(let value): return try emit(ScalarSet(value), then)
        case .sequence(let parts):
            var then = then
            for part in isReversed ? parts : parts.reversed() { then = try emitBefore(then, part) }
            return then.empty
        case .alternatives(let branches):
            var entries: [Int] = []
            for branch in branches { entries.append(try emit(branch, then)) }
            guard var entry = entries.popLast() else { return then.empty }
            while let earlier = entries.popLast() { entry = try append(.fork(earlier, entry)) }
            return entry
        case .repeated(let inner, let minimum, let maximum, let preference):
            return try emitRepeated(inner, minimum, maximum, preference, then)
        case .atomic(let inner): return try emitAtomic(inner, then)
        case .lookahead(let inner, let negated):
            let body = try emit(inner, Continuation(0))
            return try append(.look(body: body, negated: negated, next: then.empty))
        case .lookbehind(.scalars(let set), let negated):
            return try append(.before(number(set), negated: negated, next: then.empty))
        case .lookbehind(let inner, let negated):
            let outer = isReversed
            isReversed = true
            // An end of its own: whatever else ends may run in the other direction.
            let body = try emit(inner, Continuation(try append(.accept)))
            isReversed = outer
            program.behind.append(body)
            return try append(.look(body: body, negated: negated, next: then.empty))
        case .anchor(let anchor): return try append(.anchor(anchor, next: then.empty))
        }
    }

    private mutating func emit(_ set: ScalarSet, _ then: Continuation) throws(DyadError) -> Int {
        try append(isReversed ? .oneBefore(number(set), next: then.consumed) : .one(number(set), next: then.consumed))
    }

    /// Where a part begins that is followed by `then`, in both cases.
    private mutating func emitBefore(_ then: Continuation, _ part: PatternNode) throws(DyadError) -> Continuation {
        let empty = try emit(part, then)
        guard !then.isUniform, part.matchesEmpty else { return Continuation(empty) }
        return Continuation(empty: empty, consumed: try emit(part, then.afterConsumption))
    }

    private mutating func emitAtomic(_ inner: PatternNode, _ then: Continuation) throws(DyadError) -> Int {
        let body = try emit(inner, Continuation(0))
        return try append(.atomic(body: body, whenEmpty: then.empty, next: then.consumed))
    }

    private mutating func emitRepeated(
        _ inner: PatternNode, _ minimum: Int, _ maximum: Int?, _ preference: PatternNode.Preference,
        _ then: Continuation
    ) throws(DyadError) -> Int {
        if case .scalars(let set) = inner, !expandsRuns, !isReversed, preference != .fewest,
            then.isUniform || minimum > 0
        {
            return try append(
                .many(
                    number(set), minimum: minimum, maximum: maximum ?? .max,
                    possessive: preference == .mostWithoutReturn, next: then.consumed))
        }
        if preference == .mostWithoutReturn {
            return try emitAtomic(.repeated(inner, minimum: minimum, maximum: maximum, .most), then)
        }
        var tail = then
        if let maximum {
            for _ in minimum..<max(minimum, maximum) {
                let body = try emitBefore(tail, inner)
                let empty = try choose(preference, body.empty, then.empty)
                let isUniform = body.isUniform && then.isUniform
                tail = Continuation(
                    empty: empty, consumed: isUniform ? empty : try choose(preference, body.consumed, then.consumed))
            }
        } else {
            tail = try emitLoop(inner, preference, then)
        }
        for _ in 0..<minimum { tail = try emitBefore(tail, inner) }
        return tail.empty
    }

    private mutating func choose(
        _ preference: PatternNode.Preference, _ body: Int, _ exit: Int
    ) throws(DyadError) -> Int {
        try append(preference == .fewest ? .fork(exit, body) : .fork(body, exit))
    }

    private mutating func emitLoop(
        _ inner: PatternNode, _ preference: PatternNode.Preference, _ then: Continuation
    ) throws(DyadError) -> Continuation {
        let head = try append(.accept)
        let body = try emit(inner, Continuation(empty: then.consumed, consumed: head))
        program.steps[head] = preference == .fewest ? .fork(then.consumed, body) : .fork(body, then.consumed)
        if then.isUniform { return Continuation(head) }
        let first =
            inner.matchesEmpty ? try emit(inner, Continuation(empty: then.empty, consumed: head)) : body
        return Continuation(empty: try choose(preference, first, then.empty), consumed: head)
    }
}
