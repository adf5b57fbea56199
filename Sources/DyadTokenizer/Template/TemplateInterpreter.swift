import DyadFormats

/// Runs a template: writes text, keeps variables and all that changes. Evaluation of expressions is in
/// TemplateInterpreter+Expressions.swift.
struct TemplateInterpreter {
    /// What has been written so far, in pieces that share their storage with values.
    var output: [TemplateString] = []
    private var written = 0
    /// Variables, innermost scope last; the first holds those of the caller, the second those of the template.
    private(set) var scopes: [[String: TemplateValue]] = [[:], [:]]
    /// The line of the statement that runs, for errors.
    private(set) var line = 1
    private var depth = 0
    private var work = 0
    private var bytes = 0
    /// The text that `strftime_now` formats.
    let clock: TemplateClock

    // What values with numbers stand for.
    var namespaces: [TemplateMembers] = []
    var iterators: [ArraySlice<TemplateValue>] = []
    var loops: [TemplateLoopState] = []
    var cyclers: [(values: [TemplateValue], place: Int)] = []
    var joiners: [(separator: TemplateValue, isUsed: Bool)] = []
    private var macros: [(macro: TemplateMacro, scopes: [[String: TemplateValue]]?)] = []

    // A template from a stranger ends in bounded time and memory. All work is charged before it is done.

    /// How much may be done, and made.
    struct Budget {
        /// Units of work: about a nanosecond or two each. A scalar read is one, a step of the interpreter ``stepCost``.
        var work = 250_000_000
        /// Bytes of all values ever made.
        var bytes = 64 << 20
    }

    private let budget: Budget
    static let stepCost = 200
    /// Scalars of the prompt: more than a million tokens.
    static let outputLimit = 4 << 20
    /// Depth of calls, and of values within values: both are bounded by the stack.
    static let depthLimit = 300
    static let nestingLimit = 200

    private enum Flow { case next, breakLoop, continueLoop }

    init(clock: TemplateClock, budget: Budget = Budget()) {
        self.clock = clock
        self.budget = budget
    }

    /// Gives the template a variable.
    mutating func define(_ name: String, _ json: JSONValue, isContent: Bool) throws(DyadError) {
        scopes[0][name] = try value(json, isContent: isContent)
    }

    mutating func run(_ statements: [TemplateStatement]) throws(DyadError) {
        _ = try execute(statements)
    }

    // MARK: Limits

    mutating func enter() throws(DyadError) {
        depth += 1
        guard depth <= Self.depthLimit else { throw limit("a depth of \(Self.depthLimit) calls") }
        try spend(Self.stepCost)
    }

    mutating func leave() { depth -= 1 }

    /// Accounts for work that is about to be done.
    mutating func spend(_ units: Int) throws(DyadError) {
        let (sum, overflow) = work.addingReportingOverflow(units)
        guard !overflow, sum <= budget.work else { throw limit("\(budget.work) units of work") }
        work = sum
    }

    /// Accounts for elements of lists that are made or copied.
    mutating func charge(elements: Int) throws(DyadError) {
        try charge(elements, times: MemoryLayout<TemplateValue>.stride)
        try spend(elements)
    }

    /// Accounts for a text that is made.
    mutating func charge(scalars: Int) throws(DyadError) {
        try charge(scalars, times: MemoryLayout<UInt32>.stride)
        try charge(48)
        try spend(scalars)
    }

    private mutating func charge(_ count: Int, times size: Int = 1) throws(DyadError) {
        let (product, tooMuch) = max(0, count).multipliedReportingOverflow(by: size)
        let (sum, overflow) = bytes.addingReportingOverflow(product)
        guard !tooMuch, !overflow, sum <= budget.bytes else { throw limit("\(budget.bytes >> 10) KiB of values") }
        bytes = sum
    }

    private func limit(_ limit: String) -> DyadError {
        DyadError(
            .failed, subject: "chat template, line \(line)", found: "a template that needs more than \(limit)",
            expected: "less", remedy: "Shorten the conversation or correct the template.")
    }

    // MARK: Making values

    /// A list or tuple; refuses one that is nested too deep.
    mutating func sequence(_ elements: [TemplateValue], _ kind: TemplateSequence.Kind = .list) throws(DyadError)
        -> TemplateValue
    {
        try charge(elements: elements.count + 3)
        let sequence = TemplateSequence(elements, kind)
        guard sequence.depth <= Self.nestingLimit else { throw limit("\(Self.nestingLimit) values in each other") }
        return .sequence(sequence)
    }

    mutating func map(_ members: TemplateMembers) throws(DyadError) -> TemplateValue {
        try charge(elements: 5 * members.keys.count + 5)
        let map = TemplateMap(members)
        guard map.depth <= Self.nestingLimit else { throw limit("\(Self.nestingLimit) values in each other") }
        return .map(map)
    }

    mutating func iterator(_ elements: [TemplateValue]) throws(DyadError) -> TemplateValue {
        try charge(elements: elements.count + 3)
        iterators.append(elements[...])
        return .iterator(iterators.count - 1)
    }

    /// A text that is made of scalars which were already charged.
    func text(_ scalars: [UInt32]) -> TemplateValue { .string(TemplateString(scalars)) }

    /// The key of a value, for a mapping.
    mutating func key(_ value: TemplateValue) throws(DyadError) -> TemplateKey {
        try spend(32)
        if let text = value.string { try spend(4 * text.count) }
        if case .sequence(let sequence) = value { try spend(try hashCost(sequence)) }
        guard let key = TemplateKey(value) else {
            throw TemplateFailure.value(
                line, value.kind + " as a key", "none, a Boolean, a number, a string or a tuple")
        }
        return key
    }

    /// The work of hashing a tuple; tuples may share their elements, so that they are not walked without counting.
    private mutating func hashCost(_ sequence: TemplateSequence) throws(DyadError) -> Int {
        var cost = 0
        for element in sequence.elements {
            try spend(Self.stepCost / 4)
            if case .sequence(let inner) = element { cost += try hashCost(inner) }
            if let text = element.string { cost += 4 * text.count }
        }
        return cost
    }

    /// A value of the caller. `isContent`: whether its strings count as the conversation's.
    mutating func value(_ json: JSONValue, isContent: Bool, depth: Int = 0) throws(DyadError) -> TemplateValue {
        guard depth < Self.nestingLimit else { throw limit("\(Self.nestingLimit) values in each other") }
        switch json {
        case .null: return .none
        case .bool(let value): return .bool(value)
        case .integer(let value): return .integer(value)
        case .decimal(let value): return .decimal(value.double ?? .infinity)
        case .string(let value):
            try charge(scalars: value.utf8.count)
            return .string(TemplateString(value, isContent: isContent))
        case .array(let values):
            var elements: [TemplateValue] = []
            for value in values { elements.append(try self.value(value, isContent: isContent, depth: depth + 1)) }
            return try sequence(elements)
        case .object(let object):
            var members = TemplateMembers()
            for (name, value) in object.members {
                let name = TemplateString(name, isContent: isContent)
                try charge(scalars: name.count)
                members.set(
                    .string(name), .string(name), try self.value(value, isContent: isContent, depth: depth + 1))
            }
            return try map(members)
        }
    }

    // MARK: Variables

    func value(of name: String) -> TemplateValue? {
        for scope in scopes.reversed() {
            if let value = scope[name] { return value }
        }
        return nil
    }

    mutating func set(_ name: String, _ value: TemplateValue) { scopes[scopes.count - 1][name] = value }

    private mutating func assign(_ target: TemplateTarget, _ value: TemplateValue) throws(DyadError) {
        switch target {
        case .name(let name): set(name, value)
        case .targets(let targets):
            guard let elements = try elements(of: value), elements.count == targets.count else {
                throw TemplateFailure.value(line, value.kind, "\(targets.count) elements")
            }
            for (target, element) in zip(targets, elements) { try assign(target, element) }
        case .attribute(let name, let member):
            guard case .namespace(let namespace)? = self.value(of: name) else {
                throw TemplateFailure.value(line, "'\(name)'", "a namespace, the only thing with members to set")
            }
            try setMember(of: namespace, member, value)
        }
    }

    /// Sets a member of a namespace. Names that begin with an underscore are refused, as in transformers.
    mutating func setMember(of namespace: Int, _ name: String, _ value: TemplateValue) throws(DyadError) {
        guard !name.hasPrefix("_") else {
            throw TemplateFailure.value(line, "the member '\(name)' of a namespace", "a name without '_' in front")
        }
        try charge(elements: 4)
        namespaces[namespace].set(TemplateKey(name), TemplateValue(name), value)
    }

    // MARK: Statements

    private mutating func write(_ text: TemplateString) throws(DyadError) {
        guard text.count > 0 else { return }
        written += text.count
        guard written <= Self.outputLimit else { throw limit("\(Self.outputLimit) characters of text") }
        try charge(scalars: text.count)
        output.append(text)
    }

    private mutating func execute(_ statements: [TemplateStatement]) throws(DyadError) -> Flow {
        for statement in statements {
            line = statement.line
            try enter()
            defer { leave() }
            let flow = try execute(statement.kind)
            guard flow == .next else { return flow }
        }
        return .next
    }

    private mutating func execute(_ statement: TemplateStatement.Kind) throws(DyadError) -> Flow {
        switch statement {
        case .text(let text): try write(text)
        case .output(let expression): try write(try string(try evaluate(expression)))
        case .condition(let branches, let otherwise):
            for (condition, body) in branches where try evaluate(condition).isTrue { return try execute(body) }
            return try execute(otherwise)
        case .loop(let loop): try execute(loop)
        case .set(let target, let expression): try assign(target, try evaluate(expression))
        case .setBlock(let target, let filters, let body):
            try assign(target, try filtered(try captured(body), filters))
        case .macro(let macro): set(macro.name, try closure(macro))
        case .callBlock(let macro, let callee, let arguments):
            try write(try string(try call(callee, arguments, caller: try closure(macro))))
        case .filterBlock(let filters, let body):
            try write(try string(try filtered(try captured(body), filters)))
        case .scope(let body):
            scopes.append([:])
            defer { scopes.removeLast() }
            return try execute(body)
        case .with(let assignments, let body):
            var values: [TemplateValue] = []
            for (_, expression) in assignments { values.append(try evaluate(expression)) }
            scopes.append([:])
            defer { scopes.removeLast() }
            for ((target, _), value) in zip(assignments, values) { try assign(target, value) }
            return try execute(body)
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        }
        return .next
    }

    private mutating func execute(_ loop: TemplateLoop) throws(DyadError) {
        try run(loop, over: try evaluate(loop.items), depth: 1, base: scopes.count)
    }

    /// Goes through a loop. `depth`: how deep a recursive loop is; `base`: how many scopes are outside of it.
    private mutating func run(_ loop: TemplateLoop, over value: TemplateValue, depth: Int, base: Int) throws(DyadError)
    {
        guard var items = try elements(of: value) else {
            throw TemplateFailure.value(line, value.kind, "something to loop over")
        }
        try charge(elements: items.count + 8)
        if let condition = loop.condition {
            var chosen: [TemplateValue] = []
            for item in items {
                try spend(Self.stepCost)
                scopes.append([:])
                defer { scopes.removeLast() }
                try assign(loop.target, item)
                if try evaluate(condition).isTrue { chosen.append(item) }
            }
            items = chosen
        }
        let number = loops.count
        loops.append(
            TemplateLoopState(items: items, index: 0, depth: depth, loop: loop.isRecursive ? loop : nil, base: base))
        // What keeps `loop` longer than the loop runs finds no items.
        defer { loops[number].items = [] }
        // As Jinja has it: `else` also runs if every turn ended with `continue` or `break`.
        var isDone = false
        for (index, item) in items.enumerated() {
            try spend(Self.stepCost)
            loops[number].index = index
            scopes.append(["loop": .loop(number)])
            defer { scopes.removeLast() }
            try assign(loop.target, item)
            let flow = try execute(loop.body)
            if flow == .breakLoop { break }
            if flow == .next { isDone = true }
        }
        if !isDone { _ = try execute(loop.otherwise) }
    }

    /// `loop(items)` in a recursive loop: the text of the loop over other items.
    mutating func recurse(_ number: Int, over value: TemplateValue) throws(DyadError) -> TemplateValue {
        let state = loops[number]
        guard let loop = state.loop else {
            throw TemplateFailure.value(line, "a call of 'loop'", "the word 'recursive' at the end of the loop's tag")
        }
        let saved = scopes
        scopes = Array(scopes.prefix(state.base))
        defer { scopes = saved }
        return try captured { (interpreter) throws(DyadError) in
            try interpreter.run(loop, over: value, depth: state.depth + 1, base: state.base)
        }
    }

    /// The text that statements write.
    private mutating func captured(_ body: [TemplateStatement]) throws(DyadError) -> TemplateValue {
        scopes.append([:])
        defer { scopes.removeLast() }
        return try captured { (interpreter) throws(DyadError) in _ = try interpreter.execute(body) }
    }

    private mutating func captured(_ body: (inout TemplateInterpreter) throws(DyadError) -> Void) throws(DyadError)
        -> TemplateValue
    {
        let outer = output
        let outerWritten = written
        output = []
        written = 0
        defer {
            output = outer
            written = outerWritten
        }
        try body(&self)
        if output.count == 1 { return .string(TemplateString(output[0].scalars)) }
        try charge(scalars: written)
        return text(output.flatMap(\.scalars))
    }

    private mutating func filtered(_ value: TemplateValue, _ filters: TemplateFilters) throws(DyadError)
        -> TemplateValue
    {
        var value = value
        for (name, arguments) in filters {
            value = try filter(name, value, try TemplateCall(name, line, arguments, &self))
        }
        return value
    }

    // MARK: Macros

    /// A macro with the scopes that it can see: those of the template as they are when it is called; if it is
    /// defined in a scope inside, those scopes as they are now.
    private mutating func closure(_ macro: TemplateMacro) throws(DyadError) -> TemplateValue {
        let isInside = scopes.count > 2 || macro.name.isEmpty
        // Kept scopes may be copied when they change later.
        try charge(elements: 4 + (isInside ? scopes.reduce(scopes.count) { $0 + 4 * $1.count } : 0))
        macros.append((macro, isInside ? scopes : nil))
        let value = TemplateValue.macro(macros.count - 1)
        // It sees itself, under the name that it is about to have.
        if isInside, !macro.name.isEmpty { macros[macros.count - 1].scopes?[scopes.count - 1][macro.name] = value }
        return value
    }

    func name(ofMacro number: Int) -> String { macros[number].macro.name }

    /// The text of a macro.
    mutating func call(macro number: Int, _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        let (macro, closed) = macros[number]
        try enter()
        defer { leave() }
        let outerLine = line
        let saved = scopes
        scopes = (closed ?? Array(scopes.prefix(2))) + [[:]]
        defer {
            scopes = saved
            line = outerLine
        }
        var named = call.named
        for (place, parameter) in macro.parameters.enumerated() {
            if place < call.positional.count {
                guard named[parameter.name] == nil else { throw call.refuses(parameter.name) }
                set(parameter.name, call.positional[place])
            } else if let value = named.removeValue(forKey: parameter.name) {
                set(parameter.name, value)
            } else if let expression = parameter.value {
                set(parameter.name, try evaluate(expression))
            } else {
                set(parameter.name, .undefined(parameter.name))
            }
        }
        if macro.readsCaller, !macro.parameters.contains(where: { $0.name == "caller" }) {
            set("caller", named.removeValue(forKey: "caller") ?? .undefined("caller"))
        }
        if macro.readsNames {
            var members = TemplateMembers()
            for name in named.keys.sorted(by: { (call.order[$0] ?? 0) < (call.order[$1] ?? 0) }) {
                members.set(TemplateKey(name), TemplateValue(name), named[name] ?? .none)
            }
            set("kwargs", try map(members))
        } else if let name = named.keys.min() {
            throw call.refuses(name)
        }
        let rest = call.positional.dropFirst(macro.parameters.count)
        if macro.readsMore {
            set("varargs", try sequence(Array(rest), .tuple))
        } else if !rest.isEmpty {
            throw TemplateFailure.value(
                line, "\(call.positional.count) arguments of '\(macro.name)'", "\(macro.parameters.count)")
        }
        return try captured(macro.body)
    }
}

/// The variable `loop`.
struct TemplateLoopState {
    var items: [TemplateValue]
    var index: Int
    /// How deep a recursive loop is; 1 for others.
    var depth: Int
    /// The loop itself, if it may call itself.
    var loop: TemplateLoop?
    /// How many scopes are outside of it.
    var base: Int
    /// What `loop.changed` was called with last.
    var last: TemplateValue?
}
