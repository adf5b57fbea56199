import DyadFormats

/// The evaluated arguments of a call, a filter or a test, taken by position or by name.
struct TemplateCall {
    let name: String
    let line: Int
    let positional: [TemplateValue]
    let named: [String: TemplateValue]

    init(_ name: String, _ line: Int, _ arguments: TemplateArguments, _ interpreter: inout TemplateInterpreter)
        throws(DyadError)
    {
        self.name = name
        self.line = line
        positional = try interpreter.evaluate(all: arguments.positional)
        var named: [String: TemplateValue] = [:]
        for (name, value) in arguments.named { named[name] = try interpreter.evaluate(value) }
        self.named = named
    }

    /// A call with other arguments, for filters that apply filters or tests.
    init(_ name: String, _ line: Int, positional: [TemplateValue]) {
        self.name = name
        self.line = line
        self.positional = positional
        named = [:]
    }

    /// The argument at a position or of a name; nil if it is not given.
    func value(_ place: Int, _ name: String) -> TemplateValue? {
        positional.indices.contains(place) ? positional[place] : named[name]
    }

    func string(_ place: Int, _ name: String) throws(DyadError) -> String? {
        guard let value = value(place, name) else { return nil }
        if case .none = value { return nil }
        guard case .string(let text) = value else { throw wrong(name, value, "a string") }
        return text
    }

    func requiredString(_ place: Int, _ name: String) throws(DyadError) -> String {
        guard let text = try string(place, name) else {
            throw TemplateFailure.value(line, "'\(self.name)' without the argument '\(name)'", "a string")
        }
        return text
    }

    func integer(_ place: Int, _ name: String) throws(DyadError) -> Int? {
        guard let value = value(place, name) else { return nil }
        if case .none = value { return nil }
        guard let integer = value.integer else { throw wrong(name, value, "an integer") }
        return integer
    }

    private func wrong(_ name: String, _ value: TemplateValue, _ expected: String) -> DyadError {
        TemplateFailure.value(line, "\(value.kind) as '\(name)' of '\(self.name)'", expected)
    }

    /// The error for a value that a filter or method does not work with.
    func refuses(_ value: TemplateValue, _ expected: String) -> DyadError {
        TemplateFailure.value(line, "\(value.kind) for '\(name)'", expected)
    }
}
