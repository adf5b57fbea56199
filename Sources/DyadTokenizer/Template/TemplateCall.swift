import DyadFormats

/// The evaluated arguments of a call, a filter or a test, taken by position or by name.
struct TemplateCall {
    let name: String
    let line: Int
    let positional: [TemplateValue]
    let named: [String: TemplateValue]
    /// The place of each name among those of the call.
    private(set) var order: [String: Int] = [:]

    init(_ name: String, _ line: Int, _ arguments: TemplateArguments, _ interpreter: inout TemplateInterpreter)
        throws(DyadError)
    {
        self.name = name
        self.line = line
        var positional = try interpreter.evaluate(all: arguments.positional)
        var named: [String: TemplateValue] = [:]
        for (name, value) in arguments.named {
            guard named.updateValue(try interpreter.evaluate(value), forKey: name) == nil else {
                throw TemplateFailure.syntax(line, "the argument '\(name)' twice", "each argument once")
            }
            order[name] = order.count
        }
        if let unpacked = arguments.unpacked {
            let value = try interpreter.evaluate(unpacked)
            guard let elements = try interpreter.elements(of: value) else {
                throw TemplateFailure.value(line, "\(value.kind) after '*'", "a list")
            }
            positional += elements
        }
        if let unpacked = arguments.unpackedNames {
            let value = try interpreter.evaluate(unpacked)
            guard case .map(let map) = value else {
                throw TemplateFailure.value(line, "\(value.kind) after '**'", "a mapping")
            }
            for (key, value) in zip(map.keys, map.values) {
                guard let name = key.string?.text, named.updateValue(value, forKey: name) == nil else {
                    throw TemplateFailure.value(line, "\(key.kind) as an argument's name", "strings, each once")
                }
                order[name] = order.count
            }
        }
        self.positional = positional
        self.named = named
    }

    /// A call with other arguments, for filters that apply filters or tests.
    init(_ name: String, _ line: Int, positional: [TemplateValue], named: [String: TemplateValue] = [:]) {
        self.name = name
        self.line = line
        self.positional = positional
        self.named = named
    }

    /// A call with one more named argument.
    func adding(_ name: String, _ value: TemplateValue) -> TemplateCall {
        var call = TemplateCall(
            self.name, line, positional: positional, named: named.merging([name: value]) { first, _ in first })
        call.order = order
        return call
    }

    /// Refuses arguments that are not among the names: none is ever ignored. The first `unnamed` are taken by
    /// position only.
    func check(_ names: [String], unnamed: Int = 0) throws(DyadError) {
        guard positional.count <= names.count else {
            throw TemplateFailure.value(line, "\(positional.count) arguments of '\(name)'", "at most \(names.count)")
        }
        for given in named.keys.sorted() {
            guard let place = names.firstIndex(of: given), place >= positional.count, place >= unnamed else {
                throw refuses(given)
            }
        }
    }

    /// The error for an argument that is not known.
    func refuses(_ argument: String) -> DyadError {
        TemplateFailure.unsupported(
            line, "the argument '\(argument.prefix(40))' of '\(name.prefix(40))'", "only arguments it has, each once")
    }

    /// The argument at a position or of a name; nil if it is not given.
    func value(_ place: Int, _ name: String) -> TemplateValue? {
        positional.indices.contains(place) ? positional[place] : named[name]
    }

    func isTrue(_ place: Int, _ name: String) -> Bool { value(place, name)?.isTrue ?? false }

    func string(_ place: Int, _ name: String) throws(DyadError) -> [UInt32]? {
        guard let value = value(place, name) else { return nil }
        if case .none = value { return nil }
        guard case .string(let text) = value else { throw wrong(name, value, "a string") }
        return text.scalars
    }

    func requiredString(_ place: Int, _ name: String) throws(DyadError) -> [UInt32] {
        guard let text = try string(place, name) else { throw missing(name, "a string") }
        return text
    }

    func required(_ place: Int, _ name: String) throws(DyadError) -> TemplateValue {
        guard let value = value(place, name) else { throw missing(name, "a value") }
        return value
    }

    private func missing(_ name: String, _ expected: String) -> DyadError {
        TemplateFailure.value(line, "'\(self.name)' without the argument '\(name)'", expected)
    }

    func integer(_ place: Int, _ name: String) throws(DyadError) -> Int? {
        guard let value = value(place, name) else { return nil }
        if case .none = value { return nil }
        guard let integer = value.integer else { throw wrong(name, value, "an integer") }
        return integer
    }

    func wrong(_ name: String, _ value: TemplateValue, _ expected: String) -> DyadError {
        TemplateFailure.value(line, "\(value.kind) as '\(name)' of '\(self.name)'", expected)
    }

    /// The error for a value that a filter or method does not work with.
    func refuses(_ value: TemplateValue, _ expected: String) -> DyadError {
        TemplateFailure.value(line, "\(value.kind) for '\(name)'", expected)
    }
}
