import DyadFormats

/// Expressions in Jinja's order of precedence, from the loosest: `a if b else c`, `or`, `and`, `not`, comparisons,
/// `+ -`, `~`, `* / // %`, `**`, signs, and then what follows a value: attributes, items, calls, filters and tests.
extension TemplateParser {
    /// `a, b` is a tuple. `withCondition`: whether elements may be `a if b else c`.
    mutating func expressionOrTuple(withCondition: Bool = true) throws(DyadError) -> TemplateExpression {
        let first = try withCondition ? expression() : expressionWithoutCondition()
        guard next == .mark(",") else { return first }
        var elements = [first]
        while take(mark: ",") {
            if next == .blockEnd || next == .variableEnd || next == .mark(")") { break }
            elements.append(try withCondition ? expression() : expressionWithoutCondition())
        }
        return .tuple(elements)
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
            value = .positive(try signed(filters: false))
        } else {
            value = try postfix(try primary())
        }
        while filters, next == .mark("|") || next == .mark("(") || next == .name("is") {
            try link()
            if take(mark: "|") {
                let (name, arguments) = try filter()
                value = .filter(value, name, arguments)
            } else if take(name: "is") {
                value = try test(value)
            } else {
                value = .call(value, try arguments())
            }
        }
        return value
    }

    /// The name of a filter and its arguments.
    mutating func filter() throws(DyadError) -> (name: String, arguments: TemplateArguments) {
        let name = try name()
        return (name, next == .mark("(") ? try arguments() : TemplateArguments())
    }

    private mutating func test(_ value: TemplateExpression) throws(DyadError) -> TemplateExpression {
        let isNegated = take(name: "not")
        let name = try name()
        var arguments = TemplateArguments()
        if next == .mark("(") {
            arguments = try self.arguments()
        } else if next == .name("is") {
            throw TemplateFailure.syntax(line, "'is' after a test", "one test of a value")
        } else if startsTestArgument {
            arguments.positional = [try postfix(try primary())]
        }
        let test = TemplateExpression.test(value, name, arguments)
        return isNegated ? .not(test) : test
    }

    /// Whether an argument without brackets follows the name of a test: `x is divisibleby 3`.
    private var startsTestArgument: Bool {
        switch next {
        case .name(let name): !["else", "or", "and"].contains(name)
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
            var indices = from.map { [$0] } ?? []
            while from != nil, take(mark: ",") { indices.append(try expression()) }
            try expect(mark: "]")
            return .item(value, indices.count == 1 ? indices[0] : .tuple(indices))
        }
        let to = endsBound(next) ? nil : try expression()
        var step: TemplateExpression?
        if take(mark: ":") { step = endsBound(next) ? nil : try expression() }
        try expect(mark: "]")
        return .slice(value, from: from, to: to, step: step)
    }

    mutating func arguments() throws(DyadError) -> TemplateArguments {
        var arguments = TemplateArguments()
        try expect(mark: "(")
        var isFirst = true
        while !take(mark: ")") {
            if !isFirst { try expect(mark: ",") }
            isFirst = false
            if take(mark: ")") { break }
            if case .name(let name) = next, following == .mark("="), arguments.unpackedNames == nil {
                advance()
                advance()
                arguments.named.append((name, try expression()))
            } else if next == .mark("*"), arguments.unpacked == nil, arguments.unpackedNames == nil {
                advance()
                arguments.unpacked = try expression()
            } else if next == .mark("**"), arguments.unpackedNames == nil {
                advance()
                arguments.unpackedNames = try expression()
            } else if arguments.unpacked == nil, arguments.unpackedNames == nil, arguments.named.isEmpty {
                arguments.positional.append(try expression())
            } else {
                throw unexpected("')' or an argument with a name")
            }
        }
        return arguments
    }

    private mutating func primary() throws(DyadError) -> TemplateExpression {
        switch next {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return .literal(.bool(true))
            case "false", "False": return .literal(.bool(false))
            case "none", "None": return .literal(.none)
            default:
                names.insert(name)
                return .name(name)
            }
        case .string(var text):
            advance()
            while case .string(let more) = next {
                text += more
                advance()
            }
            return .literal(TemplateValue(text))
        case .integer(let value):
            advance()
            return .literal(.integer(value))
        case .decimal(let value):
            advance()
            return .literal(.decimal(value))
        case .mark("("):
            advance()
            if take(mark: ")") { return .tuple([]) }
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
