import DyadFormats

extension TemplateInterpreter {
    /// The tests, with how many arguments each takes.
    static let tests: [String: Int] = [
        "defined": 0, "undefined": 0, "none": 0, "string": 0, "boolean": 0, "integer": 0, "float": 0, "number": 0,
        "true": 0, "false": 0, "mapping": 0, "callable": 0, "sequence": 0, "iterable": 0, "lower": 0, "upper": 0,
        "odd": 0, "even": 0, "escaped": 0, "filter": 0, "test": 0, "divisibleby": 1, "in": 1, "sameas": 1,
        "equalto": 1, "eq": 1, "==": 1, "ne": 1, "!=": 1, "lt": 1, "lessthan": 1, "<": 1, "le": 1, "<=": 1, "gt": 1,
        "greaterthan": 1, ">": 1, "ge": 1, ">=": 1,
    ]

    /// `value is name(arguments)`.
    mutating func test(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(DyadError) -> Bool {
        guard let count = Self.tests[name] else {
            throw TemplateFailure.unsupported(
                line, "the test '\(name.prefix(40))'", Self.tests.keys.sorted().joined(separator: ", "))
        }
        if let name = call.named.keys.min() { throw call.refuses(name) }
        guard call.positional.count == count else {
            throw TemplateFailure.value(
                line, "\(call.positional.count) arguments of the test '\(name)'", count == 0 ? "none" : "1")
        }
        let argument = call.positional.first ?? .none
        switch (name, value) {
        case ("defined", _): return !value.isUndefined
        case ("undefined", _): return value.isUndefined
        case ("true", .bool(let value)): return value
        case ("false", .bool(let value)): return !value
        case ("none", .none), ("string", .string), ("boolean", .bool), ("integer", .integer), ("float", .decimal),
            ("number", .integer), ("number", .decimal), ("number", .bool), ("mapping", .map):
            return true
        case ("callable", .macro), ("callable", .function), ("callable", .method), ("callable", .joiner),
            ("callable", .loop):
            return true
        case ("sequence", .string), ("sequence", .map), ("sequence", .undefined): return true
        case ("sequence", .sequence(let sequence)): return ![.keys, .values, .items].contains(sequence.kind)
        case ("iterable", .sequence), ("iterable", .string), ("iterable", .map), ("iterable", .undefined),
            ("iterable", .iterator), ("iterable", .loop):
            return true
        case ("escaped", .string(let text)): return text.isMarkup
        case ("none", _), ("string", _), ("boolean", _), ("integer", _), ("float", _), ("number", _), ("true", _),
            ("false", _), ("mapping", _), ("callable", _), ("sequence", _), ("iterable", _), ("escaped", _):
            return false
        case ("lower", _), ("upper", _):
            let text = try string(value)
            try spend(64 * text.count)
            return TemplateText.isCase(text.scalars, upper: name == "upper")
        case ("filter", .string(let text)): return text.count < 40 && Self.filterArguments[text.text] != nil
        case ("test", .string(let text)): return text.count < 40 && Self.tests[text.text] != nil
        case ("filter", _), ("test", _): return false
        case ("in", _): return try compare("in", value, argument)
        case ("sameas", _): return try areSame(value, argument)
        case ("odd", _), ("even", _), ("divisibleby", _):
            let divisor = name == "divisibleby" ? argument : .integer(2)
            guard value.number != nil, divisor.number != nil else { throw call.refuses(value, "numbers") }
            let rest = try arithmetic("%", value, divisor)
            return try areEqual(rest, .integer(name == "odd" ? 1 : 0))
        default:
            let operations = [
                "equalto": "==", "eq": "==", "ne": "!=", "lt": "<", "lessthan": "<", "le": "<=", "gt": ">",
                "greaterthan": ">", "ge": ">=",
            ]
            return try compare(operations[name] ?? name, value, argument)
        }
    }
}
