import DyadFormats

extension TemplateInterpreter {
    /// The functions every template can call.
    static let functions: Set<String> = [
        "range", "namespace", "dict", "cycler", "joiner", "raise_exception", "strftime_now", "lipsum",
    ]

    /// `caller`: the body of a call block.
    mutating func call(_ callee: TemplateExpression, _ arguments: TemplateArguments, caller: TemplateValue?)
        throws(DyadError) -> TemplateValue
    {
        let function = try evaluate(callee)
        func evaluated(_ name: String, _ interpreter: inout TemplateInterpreter) throws(DyadError) -> TemplateCall {
            let call = try TemplateCall(name, interpreter.line, arguments, &interpreter)
            return caller.map { call.adding("caller", $0) } ?? call
        }
        switch function {
        case .macro(let number):
            return try call(macro: number, try evaluated(name(ofMacro: number), &self))
        case .method(let method):
            return try self.method(method.value, try evaluated(method.name, &self))
        case .function(let name): return try builtIn(name, try evaluated(name, &self))
        case .loop(let number):
            let call = try evaluated("loop", &self)
            try call.check(["iterable"])
            return try recurse(number, over: try call.required(0, "iterable"))
        case .joiner(let number):
            try evaluated("joiner", &self).check([])
            defer { joiners[number].isUsed = true }
            return joiners[number].isUsed ? joiners[number].separator : TemplateValue("")
        default: throw TemplateFailure.value(line, "a call of \(function.kind)", "a function")
        }
    }

    private mutating func builtIn(_ name: String, _ call: TemplateCall) throws(DyadError) -> TemplateValue {
        switch name {
        case "range": return try range(call)
        case "dict": return try map(try members(call))
        case "namespace":
            let members = try members(call)
            try charge(elements: 5 * members.keys.count + 5)
            namespaces.append(TemplateMembers())
            let number = namespaces.count - 1
            for (name, value) in zip(members.keys, members.values) {
                try setMember(of: number, try string(name).text, value)
            }
            return .namespace(number)
        case "cycler":
            guard !call.positional.isEmpty, call.named.isEmpty else {
                throw TemplateFailure.value(line, "'cycler' without values, or with names", "values")
            }
            try charge(elements: call.positional.count + 3)
            cyclers.append((call.positional, 0))
            return .cycler(cyclers.count - 1)
        case "joiner":
            try call.check(["sep"])
            try charge(elements: 3)
            joiners.append((call.value(0, "sep") ?? TemplateValue(", "), false))
            return .joiner(joiners.count - 1)
        case "raise_exception":
            try call.check(["message"])
            let message = try string(try call.required(0, "message")).scalars.prefix(2000)
            throw DyadError(
                .mismatch, subject: "chat template, line \(line)",
                found: "a conversation that the template refuses: \(TemplateString(Array(message)).text)",
                expected: "one that the model was trained for", remedy: "Change the conversation as the message says.")
        case "strftime_now":
            try call.check(["format"])
            let format = try call.requiredString(0, "format")
            let text = try clock.format(TemplateString(format).text, line)
            // A format of the conversation's makes a text of it.
            let isContent = format.contains { $0 & TemplateString.contentMark != 0 }
            return .string(TemplateString(text, isContent: isContent))
        default: throw TemplateFailure.unsupported(line, "the function '\(name)'", "text of your own")
        }
    }

    /// The members that `dict(…)` and `namespace(…)` are given: of a mapping, or pairs; and by name.
    private mutating func members(_ call: TemplateCall) throws(DyadError) -> TemplateMembers {
        guard call.positional.count <= 1 else {
            throw TemplateFailure.value(line, "\(call.positional.count) arguments of '\(call.name)'", "at most 1")
        }
        var members = TemplateMembers()
        if case .map(let map)? = call.positional.first {
            try charge(elements: 5 * map.keys.count)
            for (name, value) in zip(map.keys, map.values) { members.set(try key(name), name, value) }
        } else if let given = call.positional.first {
            guard let pairs = try elements(of: given) else { throw call.refuses(given, "a mapping or pairs") }
            for pair in pairs {
                guard let pair = try elements(of: pair), pair.count == 2 else {
                    throw call.refuses(given, "a mapping or pairs")
                }
                members.set(try key(pair[0]), pair[0], pair[1])
            }
        }
        for name in call.named.keys.sorted(by: { (call.order[$0] ?? 0) < (call.order[$1] ?? 0) }) {
            members.set(TemplateKey(name), TemplateValue(name), call.named[name] ?? .none)
        }
        return members
    }

    private mutating func range(_ call: TemplateCall) throws(DyadError) -> TemplateValue {
        try call.check(["start", "stop", "step"], unnamed: 3)
        guard let first = try call.integer(0, "start") else {
            throw TemplateFailure.value(line, "'range' without an integer", "one to three integers")
        }
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
        return try sequence(values, .range)
    }
}
