import DyadFormats

/// Reads the statements of a template; expressions are in TemplateParser+Expressions.swift.
struct TemplateParser {
    private let tokens: [TemplateToken]
    private var position = 0
    /// How deep statements and expressions are nested now.
    var depth = 0

    /// How many operators the expression being read has chained so far.
    var chain = 0

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
                statements.append(TemplateStatement(kind: .text(text), line: line))
            case .variableBegin:
                advance()
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

    /// The statements of a block and its end: `{% endfor %}`.
    private mutating func body(_ end: String) throws(DyadError) -> [TemplateStatement] {
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
        switch name {
        case "if": return try condition()
        case "for": return .loop(try loop())
        case "set": return try set()
        case "macro": return .macro(try macro())
        case "break", "continue":
            try expect(.blockEnd, "'%}'")
            return name == "break" ? .breakLoop : .continueLoop
        case "generation":
            try expect(.blockEnd, "'%}'")
            return .block(try body("endgeneration"), isScope: false)
        case "with": return try with(line)
        default:
            throw TemplateFailure.unsupported(
                line, "the tag '\(name.prefix(40))'",
                "if, for, set, macro, with, break, continue, generation, raw or a comment")
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
        let target = try target()
        guard take(name: "in") else { throw unexpected("'in'") }
        let items = try expressionWithoutCondition()
        let condition = take(name: "if") ? try expression() : nil
        if next == .name("recursive") {
            throw TemplateFailure.unsupported(line, "a recursive loop", "a plain loop")
        }
        try expect(.blockEnd, "'%}'")
        let body = try statements(until: ["else", "endfor"])
        var otherwise: [TemplateStatement] = []
        if take(name: "else") {
            try expect(.blockEnd, "'%}'")
            otherwise = try statements(until: ["endfor"])
        }
        try closeBlock("endfor")
        return TemplateLoop(target: target, items: items, condition: condition, body: body, otherwise: otherwise)
    }

    private mutating func target() throws(DyadError) -> TemplateTarget {
        let isParenthesised = take(mark: "(")
        let first = try name()
        if take(mark: ".") { return .attribute(first, try name()) }
        var names = [first]
        while take(mark: ",") { names.append(try name()) }
        if isParenthesised { try expect(mark: ")") }
        return names.count == 1 ? .name(first) : .names(names)
    }

    private mutating func set() throws(DyadError) -> TemplateStatement.Kind {
        let target = try target()
        if take(mark: "=") {
            let value = try expressionOrTuple()
            try expect(.blockEnd, "'%}'")
            return .set(target, value)
        }
        try expect(.blockEnd, "'=' or '%}'")
        return .setBlock(target, try body("endset"))
    }

    private mutating func macro() throws(DyadError) -> TemplateMacro {
        let name = try name()
        var parameters: [(name: String, value: TemplateExpression?)] = []
        try expect(mark: "(")
        while !take(mark: ")") {
            if !parameters.isEmpty { try expect(mark: ",") }
            if parameters.isEmpty || next != .mark(")") {
                let parameter = try self.name()
                parameters.append((parameter, take(mark: "=") ? try expression() : nil))
            }
        }
        try expect(.blockEnd, "'%}'")
        return TemplateMacro(name: name, parameters: parameters, body: try body("endmacro"))
    }

    private mutating func with(_ line: Int) throws(DyadError) -> TemplateStatement.Kind {
        var statements: [TemplateStatement] = []
        while next != .blockEnd {
            if !statements.isEmpty { try expect(mark: ",") }
            let target = try target()
            try expect(mark: "=")
            statements.append(TemplateStatement(kind: .set(target, try expression()), line: line))
        }
        try expect(.blockEnd, "'%}'")
        return .block(statements + (try body("endwith")), isScope: true)
    }
}
