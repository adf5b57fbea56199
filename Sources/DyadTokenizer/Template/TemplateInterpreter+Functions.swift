import DyadFormats

extension TemplateInterpreter {
    /// The functions every template can call.
    static let functions: Set<String> = ["range", "namespace", "dict", "raise_exception", "strftime_now"]

    mutating func call(_ callee: TemplateExpression, _ arguments: TemplateArguments) throws(DyadError) -> TemplateValue
    {
        let function = try evaluate(callee)
        guard case .callable(let callable) = function else {
            throw TemplateFailure.value(line, "a call of \(function.kind)", "a function")
        }
        switch callable {
        case .macro(let macro):
            let call = try TemplateCall(macro.name, line, arguments, &self)
            return try self.call(macro, call.positional, call.named)
        case .method(let value, let name):
            return try method(value, try TemplateCall(name, line, arguments, &self))
        case .function(let name):
            return try builtIn(name, try TemplateCall(name, line, arguments, &self), arguments)
        }
    }

    private mutating func builtIn(_ name: String, _ call: TemplateCall, _ arguments: TemplateArguments)
        throws(DyadError) -> TemplateValue
    {
        switch name {
        case "range": return try range(call)
        case "namespace", "dict":
            var map = TemplateMap()
            if case .map(let given)? = call.positional.first { map = given }
            for (name, _) in arguments.named { map[name] = call.named[name] }
            guard name == "namespace" else { return .map(map) }
            let namespace = TemplateNamespace()
            namespace.members = map
            return .namespace(namespace)
        case "raise_exception":
            throw DyadError(
                .mismatch, subject: "chat template, line \(line)",
                found: "a conversation that the template refuses: \(call.positional.first?.text ?? "")",
                expected: "one that the model was trained for", remedy: "Change the conversation as the message says.")
        default: return .string(clock.format(try call.requiredString(0, "format")))
        }
    }

    private mutating func range(_ call: TemplateCall) throws(DyadError) -> TemplateValue {
        let first = try call.integer(0, "start") ?? 0
        let second = try call.integer(1, "stop")
        let step = try call.integer(2, "step") ?? 1
        guard step != 0 else { throw TemplateFailure.value(line, "the step 0", "another step") }
        var values: [TemplateValue] = []
        for value in stride(from: second == nil ? 0 : first, to: second ?? first, by: step) {
            // Jinja's sandbox has the same limit.
            guard values.count < 100_000 else {
                throw TemplateFailure.value(line, "a range of more than 100000", "a shorter one")
            }
            values.append(.integer(value))
        }
        try charge(elements: values.count)
        return .list(values)
    }
}
