import DyadFormats

extension TemplateInterpreter {
    mutating func evaluate(_ expression: TemplateExpression) throws(DyadError) -> TemplateValue {
        try enter()
        defer { leave() }
        switch expression {
        case .literal(let value): return value
        case .name(let name):
            if let value = value(of: name) { return value }
            return Self.functions.contains(name) ? .function(name) : .undefined(name)
        case .list(let parts): return try sequence(try evaluate(all: parts))
        case .tuple(let parts): return try sequence(try evaluate(all: parts), .tuple)
        case .map(let members): return try map(members)
        case .attribute(let value, let name): return try attribute(try evaluate(value), name)
        case .item(let value, let key): return try item(try evaluate(value), try evaluate(key))
        case .slice(let value, let from, let to, let step):
            return try slice(try evaluate(value), try bound(from), try bound(to), try bound(step))
        case .call(let callee, let arguments): return try call(callee, arguments, caller: nil)
        case .filter(let value, let name, let arguments):
            let value = try evaluate(value)
            return try filter(name, value, try TemplateCall(name, line, arguments, &self))
        case .test(let value, let name, let arguments):
            let value = try evaluate(value)
            return .bool(try test(name, value, try TemplateCall(name, line, arguments, &self)))
        case .negative(let value): return try negative(try evaluate(value))
        case .positive(let value):
            let value = try evaluate(value)
            guard value.number != nil else { throw TemplateFailure.value(line, value.kind, "a number after '+'") }
            return value.integer.map { .integer($0) } ?? value
        case .not(let value): return .bool(!(try evaluate(value).isTrue))
        case .and(let left, let right):
            let left = try evaluate(left)
            return left.isTrue ? try evaluate(right) : left
        case .or(let left, let right):
            let left = try evaluate(left)
            return left.isTrue ? left : try evaluate(right)
        case .arithmetic(let operation, let left, let right):
            return try arithmetic(operation, try evaluate(left), try evaluate(right))
        case .comparison(let left, let pairs): return .bool(try compare(try evaluate(left), pairs))
        case .conditional(let value, let condition, let otherwise):
            if try evaluate(condition).isTrue { return try evaluate(value) }
            guard let otherwise else { return .undefined("the inline if without else") }
            return try evaluate(otherwise)
        }
    }

    mutating func evaluate(all parts: [TemplateExpression]) throws(DyadError) -> [TemplateValue] {
        var values: [TemplateValue] = []
        for part in parts { values.append(try evaluate(part)) }
        return values
    }

    private mutating func map(_ members: [(TemplateExpression, TemplateExpression)]) throws(DyadError) -> TemplateValue
    {
        var map = TemplateMembers()
        for (key, value) in members {
            let name = try evaluate(key)
            map.set(try self.key(name), name, try evaluate(value))
        }
        return try self.map(map)
    }

    /// What a loop goes over: elements, the scalars of a string, the keys of a mapping; nil for what Python cannot go
    /// over. An iterator is empty afterwards.
    mutating func elements(of value: TemplateValue) throws(DyadError) -> [TemplateValue]? {
        switch value {
        case .sequence(let sequence): return sequence.elements
        case .string(let text):
            try charge(elements: 4 * text.count)
            return text.scalars.map { .string(TemplateString([$0])) }
        case .map(let map): return map.keys
        case .undefined: return []
        case .iterator(let number):
            defer { iterators[number] = [] }
            return Array(iterators[number])
        default: return nil
        }
    }

    // MARK: Members

    /// `value.name`: Python's attribute, then the member.
    mutating func attribute(_ value: TemplateValue, _ name: String) throws(DyadError) -> TemplateValue {
        if case .undefined = value {
            throw TemplateFailure.value(line, "\(value.kind), asked for '\(name)'", "a value")
        }
        if let attribute = try pythonAttribute(value, name) { return attribute }
        if case .map(let map) = value { return map[TemplateKey(name)] ?? .undefined(name) }
        return .undefined(name)
    }

    /// What Python's `getattr` finds; nil if there is nothing.
    mutating func pythonAttribute(_ value: TemplateValue, _ name: String) throws(DyadError) -> TemplateValue? {
        let methods: Set<String>
        switch value {
        case .namespace(let number): return namespaces[number][TemplateKey(name)]
        case .loop(let number): return attribute(ofLoop: number, name)
        case .cycler(let number):
            if name == "current" { return cyclers[number].values[cyclers[number].place] }
            methods = ["next", "reset"]
        case .macro(let number):
            if name == "name" { return TemplateValue(self.name(ofMacro: number)) }
            methods = []
        case .map: methods = Self.mapMethods
        case .string: methods = Self.stringMethods
        case .sequence(let sequence):
            if sequence.kind == .group, name == "grouper" { return sequence.elements[0] }
            if sequence.kind == .group, name == "list" { return sequence.elements[1] }
            methods = [.keys, .values, .items].contains(sequence.kind) ? [] : Self.listMethods
        case .function("dict"): methods = ["fromkeys"]
        default: methods = []
        }
        if methods.contains(name) { return .method(TemplateMethod(value, name)) }
        if Self.refusedAttributes.contains(name) || name.hasPrefix("__"), refuses(value, name) {
            throw TemplateFailure.unsupported(line, "'\(name.prefix(40))' of \(value.kind)", "another way to say it")
        }
        return nil
    }

    /// Whether Python has the attribute, and Dyad, or transformers' sandbox, has not.
    private func refuses(_ value: TemplateValue, _ name: String) -> Bool {
        if name.hasPrefix("__") { return true }
        switch value {
        case .string: return ["encode", "translate", "maketrans"].contains(name)
        case .bool, .integer, .decimal: return Self.numberAttributes.contains(name)
        case .sequence(let sequence):
            return sequence.kind == .list && Self.changingMethods.contains(name)
                || sequence.kind == .range && ["start", "stop", "step"].contains(name)
                || [.keys, .values, .items].contains(sequence.kind) && ["isdisjoint", "mapping"].contains(name)
        case .map: return ["clear", "pop", "popitem", "setdefault", "update"].contains(name)
        case .macro: return ["arguments", "caller", "catch_kwargs", "catch_varargs", "explicit_caller"].contains(name)
        default: return false
        }
    }

    private static let numberAttributes: Set<String> = [
        "real", "imag", "numerator", "denominator", "conjugate", "bit_length", "bit_count", "as_integer_ratio",
        "is_integer", "to_bytes", "from_bytes", "hex", "fromhex",
    ]
    private static let changingMethods: Set<String> = [
        "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove",
    ]
    private static let refusedAttributes = numberAttributes.union(changingMethods).union([
        "encode", "translate", "maketrans", "start", "stop", "step", "isdisjoint", "mapping", "popitem", "setdefault",
        "update", "arguments", "caller", "catch_kwargs", "catch_varargs", "explicit_caller",
    ])

    private func attribute(ofLoop number: Int, _ name: String) -> TemplateValue? {
        let loop = loops[number]
        switch name {
        case "index": return .integer(loop.index + 1)
        case "index0": return .integer(loop.index)
        case "revindex": return .integer(loop.items.count - loop.index)
        case "revindex0": return .integer(loop.items.count - loop.index - 1)
        case "first": return .bool(loop.index == 0)
        case "last": return .bool(loop.index == loop.items.count - 1)
        case "length": return .integer(loop.items.count)
        case "depth": return .integer(loop.depth)
        case "depth0": return .integer(loop.depth - 1)
        case "previtem": return loop.items.indices.contains(loop.index - 1) ? loop.items[loop.index - 1] : nil
        case "nextitem": return loop.items.indices.contains(loop.index + 1) ? loop.items[loop.index + 1] : nil
        case "cycle", "changed": return .method(TemplateMethod(.loop(number), name))
        default: return nil
        }
    }

    /// `value[key]`: the item, then Python's attribute.
    mutating func item(_ value: TemplateValue, _ key: TemplateValue) throws(DyadError) -> TemplateValue {
        if case .undefined = value { throw TemplateFailure.value(line, "\(value.kind), asked for an item", "a value") }
        if case .map(let map) = value, !key.isUndefined {
            switch key {
            case .none, .bool, .integer, .decimal, .string:
                if let member = map[try self.key(key)] { return member }
            case .sequence(let sequence) where sequence.isTuple:
                if let member = map[try self.key(key)] { return member }
            default: break
            }
        }
        if let name = key.string {
            guard name.count <= 1000 else { return .undefined("an item with a long name") }
            return try pythonAttribute(value, name.text) ?? .undefined(name.text)
        }
        guard var index = key.integer else { return .undefined("an item of \(key.kind)") }
        let missing = "item \(index)"
        switch value {
        case .string(let text):
            if index < 0 { index += text.count }
            return text.scalars.indices.contains(index) ? self.text([text.scalars[index]]) : .undefined(missing)
        case .sequence(let sequence) where ![.keys, .values, .items].contains(sequence.kind):
            if index < 0 { index += sequence.elements.count }
            return sequence.elements.indices.contains(index) ? sequence.elements[index] : .undefined(missing)
        default: return .undefined(missing)
        }
    }

    // MARK: Slices

    private mutating func bound(_ expression: TemplateExpression?) throws(DyadError) -> Int? {
        guard let expression else { return nil }
        let value = try evaluate(expression)
        if case .none = value { return nil }
        guard let integer = value.integer else {
            throw TemplateFailure.value(line, value.kind, "an integer in a slice")
        }
        return integer
    }

    private mutating func slice(_ value: TemplateValue, _ from: Int?, _ to: Int?, _ step: Int?) throws(DyadError)
        -> TemplateValue
    {
        let count: Int
        switch value {
        case .string(let text): count = text.count
        case .sequence(let sequence) where ![.keys, .values, .items].contains(sequence.kind):
            count = sequence.elements.count
        default: throw TemplateFailure.value(line, value.kind, "a list or a string to slice")
        }
        let step = step ?? 1
        guard step != 0 else { throw TemplateFailure.value(line, "the step 0", "another step") }
        // Python's rules: negative bounds count from the end, all are clamped, a negative step goes backwards.
        let limits = step > 0 ? 0...count : -1...max(-1, count - 1)
        func place(_ bound: Int?, _ standard: Int) -> Int {
            guard let bound else { return standard }
            let absolute = bound < 0 ? bound &+ count : bound
            return min(max(absolute, limits.lowerBound), limits.upperBound)
        }
        let first = place(from, step > 0 ? 0 : count - 1)
        let end = place(to, step > 0 ? count : -1)
        let places = stride(from: first, to: end, by: max(-count - 1, min(step, count + 1)))
        if case .string(let text) = value {
            try charge(scalars: abs(end - first))
            return .string(
                TemplateString(
                    step == 1 ? Array(text.scalars[first..<max(first, end)]) : places.map { text.scalars[$0] },
                    isMarkup: text.isMarkup))
        }
        guard case .sequence(let sequence) = value else { return .none }
        try charge(elements: abs(end - first))
        return try self.sequence(
            places.map { sequence.elements[$0] }, sequence.kind == .group ? .tuple : sequence.kind)
    }
}
