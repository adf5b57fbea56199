import DyadFormats

/// A compiled regular expression.
struct Pattern: Sendable {
    /// The source.
    let source: String
    /// The instructions; execution starts at 0.
    let program: [PatternInstruction]
    /// The classes that instructions refer to.
    let classes: [ScalarClass]

    /// Compiles a pattern.
    /// - Throws: what `failure` makes of a complaint about the pattern.
    init(_ source: String, failure: @escaping (_ found: String) -> DyadError) throws(DyadError) {
        self.source = source
        var syntax = PatternSyntax(source, failure: failure)
        var compiler = PatternCompiler(failure: failure)
        try compiler.emit(try syntax.parse())
        compiler.program.append(.accept)
        program = compiler.program
        classes = compiler.classes
    }
}

/// One step of a pattern; classes are given by number, targets are absolute.
enum PatternInstruction: Sendable {
    /// One scalar of the class.
    case one(Int)
    /// As many scalars of the class as there are, up to the maximum; gives them back one by one unless possessive.
    case many(Int, minimum: Int, maximum: Int, possessive: Bool)
    /// Goes on at the first target, and at the second if that fails.
    case fork(Int, Int)
    case jump(Int)
    /// Runs what follows up to its `accept` without consuming, then goes on at `next`.
    case lookahead(negated: Bool, next: Int)
    case lookbehind(Int, negated: Bool)
    case start
    case end
    case wordBoundary(negated: Bool)
    case accept
}

private struct PatternCompiler {
    var program: [PatternInstruction] = []
    var classes: [ScalarClass] = []
    var numbers: [ScalarClass: Int] = [:]
    let failure: (_ found: String) -> DyadError

    private static let sizeLimit = 20_000

    init(failure: @escaping (_ found: String) -> DyadError) { self.failure = failure }

    private mutating func number(_ set: ScalarClass) -> Int {
        if let known = numbers[set] { return known }
        classes.append(set)
        numbers[set] = classes.count - 1
        return classes.count - 1
    }

    mutating func emit(_ node: PatternNode) throws(DyadError) {
        guard program.count < Self.sizeLimit else { throw failure("a pattern of more than \(Self.sizeLimit) steps") }
        switch node {
        case .scalars(let set): program.append(.one(number(set)))
        case .sequence(let parts): for part in parts { try emit(part) }
        case .alternatives(let branches): try emit(branches)
        case .repeated(.scalars(let set), let minimum, let maximum, let possessive):
            program.append(.many(number(set), minimum: minimum, maximum: maximum ?? .max, possessive: possessive))
        case .repeated(let inner, let minimum, let maximum, _):
            for _ in 0..<minimum { try emit(inner) }
            guard let maximum else { return try emitLoop(inner) }
            for _ in minimum..<maximum { try emitOptional(inner) }
        case .lookahead(let inner, let negated):
            let place = program.count
            program.append(.accept)
            try emit(inner)
            program.append(.accept)
            program[place] = .lookahead(negated: negated, next: program.count)
        case .lookbehind(let set, let negated): program.append(.lookbehind(number(set), negated: negated))
        case .start: program.append(.start)
        case .end: program.append(.end)
        case .wordBoundary(let negated): program.append(.wordBoundary(negated: negated))
        }
    }

    private mutating func emit(_ branches: [PatternNode]) throws(DyadError) {
        var jumps: [Int] = []
        for (place, branch) in branches.enumerated() {
            let isLast = place == branches.count - 1
            let fork = program.count
            if !isLast { program.append(.accept) }
            try emit(branch)
            guard !isLast else { break }
            jumps.append(program.count)
            program.append(.accept)
            program[fork] = .fork(fork + 1, program.count)
        }
        for jump in jumps { program[jump] = .jump(program.count) }
    }

    private mutating func emitOptional(_ inner: PatternNode) throws(DyadError) {
        let fork = program.count
        program.append(.accept)
        try emit(inner)
        program[fork] = .fork(fork + 1, program.count)
    }

    private mutating func emitLoop(_ inner: PatternNode) throws(DyadError) {
        let fork = program.count
        program.append(.accept)
        try emit(inner)
        program.append(.jump(fork))
        program[fork] = .fork(fork + 1, program.count)
    }
}
