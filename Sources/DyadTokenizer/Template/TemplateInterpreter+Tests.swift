import DyadFormats

extension TemplateInterpreter {
    /// `value is name(arguments)`.
    func test(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> Bool {
        let argument = call.positional.first ?? .none
        switch (name, value) {
        case ("defined", .undefined): return false
        case ("defined", _): return true
        case ("undefined", .undefined): return true
        case ("undefined", _): return false
        case ("none", .none): return true
        case ("string", .string), ("boolean", .bool), ("integer", .integer), ("float", .decimal): return true
        case ("number", .integer), ("number", .decimal), ("number", .bool): return true
        case ("true", .bool(let value)): return value
        case ("false", .bool(let value)): return !value
        case ("mapping", .map), ("callable", .callable): return true
        case ("sequence", .list), ("sequence", .string), ("sequence", .map), ("sequence", .undefined): return true
        case ("iterable", .list), ("iterable", .string), ("iterable", .map), ("iterable", .undefined): return true
        case ("none", _), ("string", _), ("boolean", _), ("integer", _), ("float", _), ("number", _), ("true", _),
            ("false", _), ("mapping", _), ("callable", _), ("sequence", _), ("iterable", _):
            return false
        case ("lower", _): return value.text == value.text.lowercased()
        case ("upper", _): return value.text == value.text.uppercased()
        case ("in", _): return try compare("in", value, argument)
        case ("equalto", _), ("eq", _), ("==", _), ("sameas", _): return try compare("==", value, argument)
        case ("ne", _), ("!=", _): return try compare("!=", value, argument)
        case ("lt", _), ("lessthan", _): return try compare("<", value, argument)
        case ("le", _): return try compare("<=", value, argument)
        case ("gt", _), ("greaterthan", _): return try compare(">", value, argument)
        case ("ge", _): return try compare(">=", value, argument)
        case ("odd", _), ("even", _), ("divisibleby", _):
            let divisor = name == "divisibleby" ? argument.integer ?? 0 : 2
            guard let integer = value.integer, divisor != 0 else { throw call.refuses(value, "integers") }
            let rest = integer.remainderReportingOverflow(dividingBy: divisor).partialValue
            return (rest == 0) == (name != "odd")
        default:
            throw TemplateFailure.unsupported(
                line, "the test '\(name.prefix(40))'",
                "defined, undefined, none, string, boolean, integer, float, number, true, false, mapping, callable, "
                    + "sequence, iterable, lower, upper, in, eq, ne, lt, le, gt, ge, odd, even or divisibleby")
        }
    }
}
