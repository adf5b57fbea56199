import DyadFormats

/// Runs a template: writes text, keeps variables. Evaluation of expressions is in
/// TemplateInterpreter+Expressions.swift.
struct TemplateInterpreter {
    /// The text written so far.
    private(set) var output = ""
    /// Variables, innermost scope last; the first holds those of the caller.
    private var scopes: [[String: TemplateValue]]
    /// The line of the statement that runs, for errors.
    private(set) var line = 1
    private var depth = 0
    private var loopDepth = 0
    private var steps = 0
    private var bytes = 0
    /// The text that `strftime_now` formats.
    let clock: TemplateClock

    /// Expressions and statements that may run, bytes of text that may be made, and depth of calls: a template from a
    /// stranger ends in bounded time and memory.
    static let stepLimit = 1_000_000
    static let byteLimit = 64 << 20
    static let depthLimit = 300

    private enum Flow { case next, breakLoop, continueLoop }

    init(variables: [String: TemplateValue], clock: TemplateClock) {
        scopes = [variables, [:]]
        self.clock = clock
    }

    mutating func run(_ statements: [TemplateStatement]) throws(DyadError) {
        _ = try execute(statements)
    }

    // MARK: Limits

    mutating func enter() throws(DyadError) {
        depth += 1
        guard depth <= Self.depthLimit else { throw limit("a depth of \(Self.depthLimit) calls") }
        try step()
    }

    private mutating func step() throws(DyadError) {
        steps += 1
        guard steps <= Self.stepLimit else { throw limit("\(Self.stepLimit) steps") }
    }

    mutating func leave() { depth -= 1 }

    /// Accounts for elements of lists that are made or copied.
    mutating func charge(elements: Int) throws(DyadError) {
        let (size, overflow) = elements.multipliedReportingOverflow(by: MemoryLayout<TemplateValue>.stride)
        try charge(overflow ? .max : size)
    }

    /// Accounts for bytes of text that are made.
    mutating func charge(_ count: Int) throws(DyadError) {
        let (sum, overflow) = bytes.addingReportingOverflow(count)
        guard !overflow, sum <= Self.byteLimit else { throw limit("\(Self.byteLimit) bytes of text") }
        bytes = sum
    }

    private func limit(_ limit: String) -> DyadError {
        DyadError(
            .failed, subject: "chat template, line \(line)", found: "a template that needs more than \(limit)",
            expected: "less", remedy: "Shorten the conversation or correct the template.")
    }

    // MARK: Variables

    func value(of name: String) -> TemplateValue? {
        for scope in scopes.reversed() {
            if let value = scope[name] { return value }
        }
        return nil
    }

    private mutating func set(_ name: String, _ value: TemplateValue) { scopes[scopes.count - 1][name] = value }

    private mutating func assign(_ target: TemplateTarget, _ value: TemplateValue) throws(DyadError) {
        switch target {
        case .name(let name): set(name, value)
        case .names(let names):
            guard let elements = value.elements, elements.count == names.count else {
                throw TemplateFailure.value(line, value.kind, "\(names.count) elements")
            }
            for (name, element) in zip(names, elements) { set(name, element) }
        case .attribute(let name, let member):
            guard case .namespace(let namespace)? = self.value(of: name) else {
                throw TemplateFailure.value(line, "'\(name)'", "a namespace, the only thing with members to set")
            }
            namespace.members[member] = value
        }
    }

    // MARK: Statements

    private mutating func write(_ text: String) throws(DyadError) {
        try charge(text.utf8.count)
        output += text
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
        case .output(let expression): try write(try evaluate(expression).text)
        case .condition(let branches, let otherwise):
            for (condition, body) in branches where try evaluate(condition).isTrue { return try execute(body) }
            return try execute(otherwise)
        case .loop(let loop): try execute(loop)
        case .set(let target, let expression): try assign(target, try evaluate(expression))
        case .setBlock(let target, let body): try assign(target, .string(try captured(body)))
        case .macro(let macro): set(macro.name, .callable(.macro(macro)))
        case .block(let body, let isScope):
            if isScope { scopes.append([:]) }
            defer { if isScope { scopes.removeLast() } }
            return try execute(body)
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        }
        return .next
    }

    private mutating func execute(_ loop: TemplateLoop) throws(DyadError) {
        let value = try evaluate(loop.items)
        guard var items = value.elements else {
            throw TemplateFailure.value(line, value.kind, "something to loop over")
        }
        try charge(elements: items.count)
        if let condition = loop.condition {
            var chosen: [TemplateValue] = []
            for item in items {
                try step()
                scopes.append([:])
                defer { scopes.removeLast() }
                try assign(loop.target, item)
                if try evaluate(condition).isTrue { chosen.append(item) }
            }
            items = chosen
        }
        guard !items.isEmpty else {
            _ = try execute(loop.otherwise)
            return
        }
        loopDepth += 1
        defer { loopDepth -= 1 }
        for (index, item) in items.enumerated() {
            try step()
            scopes.append(["loop": .loop(TemplateLoopState(items: items, index: index, depth: loopDepth))])
            defer { scopes.removeLast() }
            try assign(loop.target, item)
            if try execute(loop.body) == .breakLoop { break }
        }
    }

    /// The text that statements write.
    private mutating func captured(_ body: [TemplateStatement]) throws(DyadError) -> String {
        let outer = output
        output = ""
        defer { output = outer }
        scopes.append([:])
        defer { scopes.removeLast() }
        _ = try execute(body)
        return output
    }

    /// Calls a macro: it sees the template's own variables and its parameters, not those of the caller's loops.
    mutating func call(_ macro: TemplateMacro, _ positional: [TemplateValue], _ named: [String: TemplateValue])
        throws(DyadError) -> TemplateValue
    {
        try enter()
        defer { leave() }
        guard positional.count <= macro.parameters.count else {
            throw TemplateFailure.value(
                line, "\(positional.count) arguments of \(macro.name)", "at most \(macro.parameters.count)")
        }
        let outer = scopes
        let outerLine = line
        scopes = Array(scopes.prefix(2)) + [[:]]
        defer {
            scopes = outer
            line = outerLine
        }
        for (place, parameter) in macro.parameters.enumerated() {
            if place < positional.count {
                set(parameter.name, positional[place])
            } else if let value = named[parameter.name] {
                set(parameter.name, value)
            } else if let expression = parameter.value {
                set(parameter.name, try evaluate(expression))
            } else {
                set(parameter.name, .undefined(parameter.name))
            }
        }
        return .string(try captured(macro.body))
    }
}
