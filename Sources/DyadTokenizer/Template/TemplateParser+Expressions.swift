import DyadFormats

/// Expressions in Jinja's order of precedence, from the loosest: `a if b else c`, `or`, `and`, `not`, comparisons,
/// `+ -`, `~`, `* / // %`, `**`, signs, and then what follows a value: attributes, items, calls, filters and tests.
extension TemplateParser {
    /// `a, b` is a list, too.
    mutating func expressionOrTuple() throws(DyadError) -> TemplateExpression {
        let first = try expression()
        guard next == .mark(",") else { return first }
        var elements = [first]
        while take(mark: ",") {
            if next == .blockEnd || next == .variableEnd || next == .mark(")") { break }
            elements.append(try expression())
        }
        return .list(elements)
    }

    mutating func expression() throws(DyadError) -> TemplateExpression {
        try enter()
        defer { depth -= 1 }
        var value = try expressionWithoutCondition()
        while take(name: "if") {
            try link()
            let condition = try expressionWithoutCondition()
            let otherwise = take(name: "else") ? try expression() : nil
            value = .conditional(value, if: condition, else: otherwise)
        }
        return value
    }

    mutating func expressionWithoutCondition() throws(DyadError) -> TemplateExpression {
        let outer = chain
        defer { chain = outer }
        var left = try conjunction()
        while take(name: "or") {
            try link()
            left = .or(left, try conjunction())
        }
        return left
    }

    private mutating func conjunction() throws(DyadError) -> TemplateExpression {
        var left = try negation()
        while take(name: "and") {
            try link()
            left = .and(left, try negation())
        }
        return left
    }

    private mutating func negation() throws(DyadError) -> TemplateExpression {
        guard next == .name("not") else { return try comparison() }
        advance()
        try enter()
        defer { depth -= 1 }
        return .not(try negation())
    }

    private mutating func comparison() throws(DyadError) -> TemplateExpression {
        let left = try sum()
        var pairs: [(operation: String, right: TemplateExpression)] = []
        while true {
            if case .mark(let mark) = next, ["==", "!=", "<", "<=", ">", ">="].contains(mark) {
                advance()
                pairs.append((mark, try sum()))
            } else if take(name: "in") {
                pairs.append(("in", try sum()))
            } else if next == .name("not"), following == .name("in") {
                advance()
                advance()
                pairs.append(("not in", try sum()))
            } else {
                return pairs.isEmpty ? left : .comparison(left, pairs)
            }
        }
    }

    private mutating func sum() throws(DyadError) -> TemplateExpression {
        var left = try concatenation()
        while case .mark(let mark) = next, mark == "+" || mark == "-" {
            advance()
            try link()
            left = .arithmetic(mark, left, try concatenation())
        }
        return left
    }

    private mutating func concatenation() throws(DyadError) -> TemplateExpression {
        var left = try product()
        while take(mark: "~") {
            try link()
            left = .arithmetic("~", left, try product())
        }
        return left
    }

    private mutating func product() throws(DyadError) -> TemplateExpression {
        var left = try power()
        while case .mark(let mark) = next, ["*", "/", "//", "%"].contains(mark) {
            advance()
            try link()
            left = .arithmetic(mark, left, try power())
        }
        return left
    }

    private mutating func power() throws(DyadError) -> TemplateExpression {
        var left = try signed(filters: true)
        while take(mark: "**") {
            try link()
            left = .arithmetic("**", left, try signed(filters: true))
        }
        return left
    }

    private mutating func signed(filters: Bool) throws(DyadError) -> TemplateExpression {
        try enter()
        let outer = chain
        defer {
            depth -= 1
            chain = outer
        }
        var value: TemplateExpression
        if take(mark: "-") {
            value = .negative(try signed(filters: false))
        } else if take(mark: "+") {
            value = try signed(filters: false)
        } else {
            value = try postfix(try primary())
        }
        while filters, next == .mark("|") || next == .mark("(") || next == .name("is") {
            try link()
            if take(mark: "|") {
                let name = try name()
                value = .filter(value, name, next == .mark("(") ? try arguments() : TemplateArguments())
            } else if take(name: "is") {
                value = try test(value)
            } else {
                value = .call(value, try arguments())
            }
        }
        return value
    }

    private mutating func test(_ value: TemplateExpression) throws(DyadError) -> TemplateExpression {
        let isNegated = take(name: "not")
        let name = try name()
        var arguments = TemplateArguments()
        if next == .mark("(") {
            arguments = try self.arguments()
        } else if startsTestArgument {
            arguments.positional = [try postfix(try primary())]
        }
        let test = TemplateExpression.test(value, name, arguments)
        return isNegated ? .not(test) : test
    }

    /// Whether an argument without brackets follows the name of a test: `x is divisibleby 3`.
    private var startsTestArgument: Bool {
        switch next {
        case .name(let name): !["else", "or", "and", "is", "if", "in", "not"].contains(name)
        case .string, .integer, .decimal, .mark("["), .mark("{"): true
        default: false
        }
    }

    private mutating func postfix(_ value: TemplateExpression) throws(DyadError) -> TemplateExpression {
        var value = value
        while next == .mark(".") || next == .mark("[") || next == .mark("(") {
            try link()
            if take(mark: ".") {
                if case .integer(let index) = next {
                    advance()
                    value = .item(value, .literal(.integer(index)))
                } else {
                    value = .attribute(value, try name())
                }
            } else if take(mark: "[") {
                value = try item(value)
            } else {
                value = .call(value, try arguments())
            }
        }
        return value
    }

    private mutating func item(_ value: TemplateExpression) throws(DyadError) -> TemplateExpression {
        func endsBound(_ kind: TemplateToken.Kind) -> Bool { kind == .mark(":") || kind == .mark("]") }
        let from = endsBound(next) ? nil : try expression()
        guard take(mark: ":") else {
            try expect(mark: "]")
            guard let from else { throw unexpected("an index") }
            return .item(value, from)
        }
        let to = endsBound(next) ? nil : try expression()
        var step: TemplateExpression?
        if take(mark: ":") { step = endsBound(next) ? nil : try expression() }
        try expect(mark: "]")
        return .slice(value, from: from, to: to, step: step)
    }

    private mutating func arguments() throws(DyadError) -> TemplateArguments {
        var arguments = TemplateArguments()
        try expect(mark: "(")
        var isFirst = true
        while !take(mark: ")") {
            if !isFirst { try expect(mark: ",") }
            isFirst = false
            if take(mark: ")") { break }
            if case .name(let name) = next, following == .mark("=") {
                advance()
                advance()
                arguments.named.append((name, try expression()))
            } else if next == .mark("*") || next == .mark("**") {
                throw TemplateFailure.unsupported(line, "unpacked arguments", "arguments one by one")
            } else {
                arguments.positional.append(try expression())
            }
        }
        return arguments
    }

    private mutating func primary() throws(DyadError) -> TemplateExpression {
        switch next {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return .literal(true)
            case "false", "False": return .literal(false)
            case "none", "None": return .literal(nil)
            default: return .name(name)
            }
        case .string(var text):
            advance()
            while case .string(let more) = next {
                text += more
                advance()
            }
            return .literal(.string(text))
        case .integer(let value):
            advance()
            return .literal(.integer(value))
        case .decimal(let value):
            advance()
            return .literal(.number(value))
        case .mark("("):
            advance()
            if take(mark: ")") { return .list([]) }
            let value = try expressionOrTuple()
            try expect(mark: ")")
            return value
        case .mark("["):
            advance()
            var elements: [TemplateExpression] = []
            while !take(mark: "]") {
                if !elements.isEmpty { try expect(mark: ",") }
                if take(mark: "]") { break }
                elements.append(try expression())
            }
            return .list(elements)
        case .mark("{"):
            advance()
            var members: [(TemplateExpression, TemplateExpression)] = []
            while !take(mark: "}") {
                if !members.isEmpty { try expect(mark: ",") }
                if take(mark: "}") { break }
                let key = try expression()
                try expect(mark: ":")
                members.append((key, try expression()))
            }
            return .map(members)
        default: throw unexpected("an expression")
        }
    }
}
