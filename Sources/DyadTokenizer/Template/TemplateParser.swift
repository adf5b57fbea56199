import DyadFormats

/// Reads the statements of a template; expressions are in TemplateParser+Expressions.swift.
struct TemplateParser {
    private let tokens: [TemplateToken]
    private var position = 0
    /// How deep statements and expressions are nested now.
    var depth = 0

    /// How many operators the expression being read has chained so far.
    var chain = 0

    /// The names that have been read, for macros, which are given more if they ask for it.
    var names: Set<String> = []

    /// Whether `break` and `continue` may stand here.
    private var isInLoop = false

    /// The parser recurses: this bounds the stack it uses, and that of the interpreter.
    static let depthLimit = 64
    /// A chain such as `a + b + c` nests to the left, and the interpreter recurses, too.
    static let chainLimit = 200

    init(_ template: String) throws(DyadError) {
        var lexer = TemplateLexer(template)
        tokens = try lexer.tokenize()
    }

    mutating func template() throws(DyadError) -> [TemplateStatement] {
        let statements = try self.statements(until: [])
        guard next == .end else { throw unexpected("the end of the template") }
        return statements
    }

    // MARK: Tokens

    var next: TemplateToken.Kind { tokens[position].kind }
    var following: TemplateToken.Kind { tokens[min(position + 1, tokens.count - 1)].kind }
    var line: Int { tokens[position].line }

    /// Goes on to the next token; stays at the end.
    mutating func advance() { position = min(position + 1, tokens.count - 1) }

    mutating func take(_ kind: TemplateToken.Kind) -> Bool {
        guard next == kind else { return false }
        advance()
        return true
    }

    mutating func take(name: String) -> Bool { take(.name(name)) }
    mutating func take(mark: String) -> Bool { take(.mark(mark)) }

    mutating func expect(_ kind: TemplateToken.Kind, _ text: String) throws(DyadError) {
        guard take(kind) else { throw unexpected(text) }
    }

    mutating func expect(mark: String) throws(DyadError) { try expect(.mark(mark), "'\(mark)'") }

    mutating func name() throws(DyadError) -> String {
        guard case .name(let name) = next else { throw unexpected("a name") }
        advance()
        return name
    }

    func unexpected(_ expected: String) -> DyadError {
        let found =
            switch next {
            case .text: "text"
            case .variableBegin: "'{{'"
            case .variableEnd: "'}}'"
            case .blockBegin: "'{%'"
            case .blockEnd: "'%}'"
            case .name(let name): "'\(name.prefix(40))'"
            case .string: "a string"
            case .integer, .decimal: "a number"
            case .mark(let mark): "'\(mark)'"
            case .end: "the end of the template"
            }
        return TemplateFailure.syntax(line, found, expected)
    }

    mutating func enter() throws(DyadError) {
        depth += 1
        guard depth <= Self.depthLimit else {
            throw TemplateFailure.syntax(line, "more than \(Self.depthLimit) nested parts", "less nesting")
        }
    }

    mutating func link() throws(DyadError) {
        chain += 1
        guard chain <= Self.chainLimit else {
            throw TemplateFailure.syntax(
                line, "an expression of more than \(Self.chainLimit) operators", "a shorter one")
        }
    }

    // MARK: Statements

    /// Statements up to a block that begins with one of the names, or to the end. That block's `{%` is consumed.
    private mutating func statements(until ends: Set<String>) throws(DyadError) -> [TemplateStatement] {
        try enter()
        defer { depth -= 1 }
        var statements: [TemplateStatement] = []
        while true {
            let line = line
            switch next {
            case .text(let text):
                advance()
                statements.append(TemplateStatement(kind: .text(TemplateString(text)), line: line))
            case .variableBegin:
                advance()
                chain = 0
                statements.append(TemplateStatement(kind: .output(try expressionOrTuple()), line: line))
                try expect(.variableEnd, "'}}'")
            case .blockBegin:
                advance()
                if case .name(let name) = next, ends.contains(name) { return statements }
                statements.append(TemplateStatement(kind: try statement(), line: line))
            default: return statements
            }
        }
    }

    /// The statements of a block and its end: `{% endwith %}`. A loop outside is out of reach of most blocks.
    private mutating func body(_ end: String, mayLeaveLoop: Bool = false) throws(DyadError) -> [TemplateStatement] {
        let outer = isInLoop
        isInLoop = outer && mayLeaveLoop
        defer { isInLoop = outer }
        let body = try statements(until: [end])
        try closeBlock(end)
        return body
    }

    private mutating func closeBlock(_ end: String) throws(DyadError) {
        guard take(name: end) else { throw unexpected("'{% \(end) %}'") }
        try expect(.blockEnd, "'%}'")
    }

    private mutating func statement() throws(DyadError) -> TemplateStatement.Kind {
        let line = line
        let name = try name()
        chain = 0
        switch name {
        case "if": return try condition()
        case "for": return .loop(try loop())
        case "set": return try set()
        case "macro": return .macro(try macro(name: try self.name(), end: "endmacro"))
        case "call": return try callBlock()
        case "filter":
            var filters: TemplateFilters = []
            repeat {
                try link()
                filters.append(try filter())
            } while take(mark: "|")
            try expect(.blockEnd, "'%}'")
            return .filterBlock(filters, try body("endfilter"))
        case "break", "continue":
            guard isInLoop else {
                throw TemplateFailure.syntax(line, "'\(name)' outside of a loop", "a loop around it")
            }
            try expect(.blockEnd, "'%}'")
            return name == "break" ? .breakLoop : .continueLoop
        case "generation":
            try expect(.blockEnd, "'%}'")
            return .scope(try body("endgeneration"))
        case "with": return try with()
        default:
            throw TemplateFailure.unsupported(
                line, "the tag '\(name.prefix(40))'",
                "if, for, set, macro, call, filter, with, break, continue, generation, raw or a comment")
        }
    }

    private mutating func condition() throws(DyadError) -> TemplateStatement.Kind {
        var branches: [(TemplateExpression, [TemplateStatement])] = []
        repeat {
            let condition = try expression()
            try expect(.blockEnd, "'%}'")
            branches.append((condition, try statements(until: ["elif", "else", "endif"])))
        } while take(name: "elif")
        var otherwise: [TemplateStatement] = []
        if take(name: "else") {
            try expect(.blockEnd, "'%}'")
            otherwise = try statements(until: ["endif"])
        }
        try closeBlock("endif")
        return .condition(branches, else: otherwise)
    }

    private mutating func loop() throws(DyadError) -> TemplateLoop {
        let target = try target(isAssignment: false)
        guard take(name: "in") else { throw unexpected("'in'") }
        let items = try expressionOrTuple(withCondition: false)
        let condition = take(name: "if") ? try expression() : nil
        let isRecursive = take(name: "recursive")
        try expect(.blockEnd, "'%}'")
        let outer = isInLoop
        isInLoop = true
        let body = try statements(until: ["else", "endfor"])
        isInLoop = outer
        var otherwise: [TemplateStatement] = []
        if take(name: "else") {
            try expect(.blockEnd, "'%}'")
            otherwise = try statements(until: ["endfor"])
        }
        try closeBlock("endfor")
        return TemplateLoop(
            target: target, items: items, condition: condition, isRecursive: isRecursive, body: body,
            otherwise: otherwise)
    }

    /// Names with commas between, and brackets around some. An assignment may also set a member of a namespace.
    private mutating func target(isAssignment: Bool) throws(DyadError) -> TemplateTarget {
        if case .name(let first) = next, following == .mark("."), isAssignment {
            advance()
            advance()
            return .attribute(first, try name())
        }
        let first = try singleTarget()
        guard next == .mark(",") else { return first }
        var targets = [first]
        while take(mark: ",") {
            if next == .mark("=") || next == .name("in") || next == .mark(")") { break }
            targets.append(try singleTarget())
        }
        return .targets(targets)
    }

    private mutating func singleTarget() throws(DyadError) -> TemplateTarget {
        guard take(mark: "(") else {
            let name = try name()
            guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
                throw TemplateFailure.syntax(line, "an assignment to '\(name)'", "a name")
            }
            return .name(name)
        }
        try enter()
        defer { depth -= 1 }
        let inner = try target(isAssignment: false)
        try expect(mark: ")")
        return inner
    }

    private mutating func set() throws(DyadError) -> TemplateStatement.Kind {
        let target = try target(isAssignment: true)
        if take(mark: "=") {
            let value = try expressionOrTuple()
            try expect(.blockEnd, "'%}'")
            return .set(target, value)
        }
        var filters: TemplateFilters = []
        while take(mark: "|") {
            try link()
            filters.append(try filter())
        }
        try expect(.blockEnd, "'=' or '%}'")
        return .setBlock(target, filters, try body("endset"))
    }

    private mutating func parameters() throws(DyadError) -> [(name: String, value: TemplateExpression?)] {
        var parameters: [(name: String, value: TemplateExpression?)] = []
        try expect(mark: "(")
        while !take(mark: ")") {
            if !parameters.isEmpty { try expect(mark: ",") }
            if parameters.isEmpty || next != .mark(")") {
                let name = try self.name()
                let value = take(mark: "=") ? try expression() : nil
                guard value != nil || parameters.last?.value == nil else {
                    throw TemplateFailure.syntax(line, "'\(name)' without a default after one with", "a default")
                }
                parameters.append((name, value))
            }
        }
        return parameters
    }

    /// A macro from its parameters on.
    private mutating func macro(name: String, end: String) throws(DyadError) -> TemplateMacro {
        let parameters = try parameters()
        try expect(.blockEnd, "'%}'")
        return try macro(name: name, parameters, end: end)
    }

    private mutating func macro(name: String, _ parameters: [(name: String, value: TemplateExpression?)], end: String)
        throws(DyadError) -> TemplateMacro
    {
        let outer = names
        names = []
        defer { names.formUnion(outer) }
        let body = try body(end)
        return TemplateMacro(
            name: name, parameters: parameters, body: body, readsMore: names.contains("varargs"),
            readsNames: names.contains("kwargs"), readsCaller: names.contains("caller"))
    }

    private mutating func callBlock() throws(DyadError) -> TemplateStatement.Kind {
        let parameters = next == .mark("(") ? try parameters() : []
        guard case .call(let callee, let arguments) = try expression() else { throw unexpected("a call") }
        try expect(.blockEnd, "'%}'")
        return .callBlock(try macro(name: "", parameters, end: "endcall"), callee, arguments)
    }

    private mutating func with() throws(DyadError) -> TemplateStatement.Kind {
        var assignments: [(TemplateTarget, TemplateExpression)] = []
        while next != .blockEnd {
            if !assignments.isEmpty { try expect(mark: ",") }
            let target = try singleTarget()
            try expect(mark: "=")
            assignments.append((target, try expression()))
        }
        try expect(.blockEnd, "'%}'")
        return .with(assignments, try body("endwith", mayLeaveLoop: true))
    }
}
