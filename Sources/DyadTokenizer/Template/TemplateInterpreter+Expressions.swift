import DyadFormats

extension TemplateInterpreter {
    mutating func evaluate(_ expression: TemplateExpression) throws(DyadError) -> TemplateValue {
        try enter()
        defer { leave() }
        switch expression {
        case .literal(let json): return TemplateValue(json)
        case .name(let name):
            if let value = value(of: name) { return value }
            return Self.functions.contains(name) ? .callable(.function(name)) : .undefined(name)
        case .list(let parts): return .list(try evaluate(all: parts))
        case .map(let members): return try map(members)
        case .attribute(let value, let name): return try attribute(try evaluate(value), name)
        case .item(let value, let key): return try item(try evaluate(value), try evaluate(key))
        case .slice(let value, let from, let to, let step):
            return try slice(try evaluate(value), try bound(from), try bound(to), try bound(step))
        case .call(let callee, let arguments): return try call(callee, arguments)
        case .filter(let value, let name, let arguments):
            let value = try evaluate(value)
            return try filter(name, value, try TemplateCall(name, line, arguments, &self))
        case .test(let value, let name, let arguments):
            let value = try evaluate(value)
            return .bool(try test(name, value, try TemplateCall(name, line, arguments, &self)))
        case .negative(let value):
            let value = try evaluate(value)
            if let integer = value.integer { return .integer(0 &- integer) }
            guard let number = value.number else { throw TemplateFailure.value(line, value.kind, "a number after '-'") }
            return .decimal(-number)
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
        try charge(elements: parts.count)
        var values: [TemplateValue] = []
        for part in parts { values.append(try evaluate(part)) }
        return values
    }

    private mutating func map(_ members: [(TemplateExpression, TemplateExpression)]) throws(DyadError) -> TemplateValue
    {
        try charge(elements: members.count)
        var map = TemplateMap()
        for (key, value) in members {
            let key = try evaluate(key)
            guard case .string(let name) = key else {
                throw TemplateFailure.unsupported(line, key.kind + " as a key", "a string")
            }
            map[name] = try evaluate(value)
        }
        return .map(map)
    }

    /// `value.name`: Python's attribute, then the member.
    func attribute(_ value: TemplateValue, _ name: String) throws(DyadError) -> TemplateValue {
        switch value {
        case .undefined:
            throw TemplateFailure.value(line, "\(value.kind), asked for '\(name)'", "a value")
        case .namespace(let namespace): return namespace.members[name] ?? .undefined(name)
        case .loop(let loop): return loop.attribute(name)
        case .map(let map):
            if Self.mapMethods.contains(name) { return .callable(.method(value, name)) }
            return map[name] ?? .undefined(name)
        case .string: return Self.stringMethods.contains(name) ? .callable(.method(value, name)) : .undefined(name)
        case .list: return Self.listMethods.contains(name) ? .callable(.method(value, name)) : .undefined(name)
        default: return .undefined(name)
        }
    }

    /// `value[key]`.
    func item(_ value: TemplateValue, _ key: TemplateValue) throws(DyadError) -> TemplateValue {
        if case .undefined = value { throw TemplateFailure.value(line, "\(value.kind), asked for an item", "a value") }
        if case .string(let name) = key {
            if case .map(let map) = value, let member = map[name] { return member }
            return try attribute(value, name)
        }
        guard var index = key.integer else { return .undefined("item \(key.text)") }
        if case .string(let text) = value {
            let scalars = Array(text.unicodeScalars)
            if index < 0 { index += scalars.count }
            return scalars.indices.contains(index)
                ? .string(String(Character(scalars[index]))) : .undefined("item \(index)")
        }
        guard case .list(let elements) = value else { return .undefined("item \(index)") }
        if index < 0 { index += elements.count }
        return elements.indices.contains(index) ? elements[index] : .undefined("item \(index)")
    }

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
        case .string(let text): count = text.unicodeScalars.count
        case .list(let elements): count = elements.count
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
        let places = Array(stride(from: first, to: end, by: step))
        try charge(elements: places.count)
        if case .string(let text) = value {
            let scalars = Array(text.unicodeScalars)
            return .string(TemplateText.string(places.map { scalars[$0] }[...]))
        }
        guard case .list(let elements) = value else { return .none }
        return .list(places.map { elements[$0] })
    }

    // MARK: Operators

    private mutating func arithmetic(_ operation: String, _ left: TemplateValue, _ right: TemplateValue)
        throws(DyadError) -> TemplateValue
    {
        switch (operation, left, right) {
        case ("~", _, _):
            let text = left.text + right.text
            try charge(text.utf8.count)
            return .string(text)
        case ("+", .string(let left), .string(let right)):
            try charge(left.utf8.count + right.utf8.count)
            return .string(left + right)
        case ("+", .list(let left), .list(let right)):
            try charge(elements: left.count + right.count)
            return .list(left + right)
        case ("*", .string(let text), .integer(let count)), ("*", .integer(let count), .string(let text)):
            let (length, overflow) = text.utf8.count.multipliedReportingOverflow(by: max(0, count))
            try charge(overflow ? .max : length)
            return .string(String(repeating: text, count: max(0, count)))
        default: break
        }
        if let left = left.integer, let right = right.integer, operation != "/" {
            return try integers(operation, left, right)
        }
        guard let first = left.number, let second = right.number else {
            throw TemplateFailure.value(line, "\(left.kind) \(operation) \(right.kind)", "values that go together")
        }
        switch operation {
        case "+": return .decimal(first + second)
        case "-": return .decimal(first - second)
        case "*": return .decimal(first * second)
        case "/", "//", "%":
            guard second != 0 else { throw TemplateFailure.value(line, "a division by zero", "another divisor") }
            let floor = (first / second).rounded(.down)
            return .decimal(operation == "/" ? first / second : operation == "//" ? floor : first - floor * second)
        default: throw TemplateFailure.unsupported(line, "'\(operation)' of decimals", "integers")
        }
    }

    private func integers(_ operation: String, _ left: Int, _ right: Int) throws(DyadError) -> TemplateValue {
        var result: (partialValue: Int, overflow: Bool)
        switch operation {
        case "+": result = left.addingReportingOverflow(right)
        case "-": result = left.subtractingReportingOverflow(right)
        case "*": result = left.multipliedReportingOverflow(by: right)
        case "//", "%":
            guard right != 0 else { throw TemplateFailure.value(line, "a division by zero", "another divisor") }
            result = left.dividedReportingOverflow(by: right)
            let rest = left.remainderReportingOverflow(dividingBy: right).partialValue
            let isBelow = rest != 0 && (rest < 0) != (right < 0)
            result.partialValue =
                operation == "%" ? (isBelow ? rest + right : rest) : result.partialValue - (isBelow ? 1 : 0)
        default:
            guard right >= 0, right < 64 else {
                throw TemplateFailure.unsupported(line, "the power \(right)", "0 to 63")
            }
            result = (1, false)
            for _ in 0..<right where !result.overflow {
                result = result.partialValue.multipliedReportingOverflow(by: left)
            }
        }
        guard !result.overflow else { throw TemplateFailure.value(line, "an integer overflow", "64 bits") }
        return .integer(result.partialValue)
    }

    private mutating func compare(_ first: TemplateValue, _ pairs: [(operation: String, right: TemplateExpression)])
        throws(DyadError) -> Bool
    {
        var left = first
        for (operation, right) in pairs {
            let right = try evaluate(right)
            guard try compare(operation, left, right) else { return false }
            left = right
        }
        return true
    }

    func compare(_ operation: String, _ left: TemplateValue, _ right: TemplateValue) throws(DyadError) -> Bool {
        switch operation {
        case "==": return TemplateValue.areEqual(left, right)
        case "!=": return !TemplateValue.areEqual(left, right)
        case "in": return try contains(right, left)
        case "not in": return !(try contains(right, left))
        default: break
        }
        let isSwapped = operation == ">" || operation == "<="
        let less = isSwapped ? TemplateValue.isLess(right, left) : TemplateValue.isLess(left, right)
        guard let less else {
            throw TemplateFailure.value(line, "\(left.kind) \(operation) \(right.kind)", "values that have an order")
        }
        return operation == "<" || operation == ">" ? less : !less
    }

    private func contains(_ container: TemplateValue, _ element: TemplateValue) throws(DyadError) -> Bool {
        switch (container, element) {
        case (.string(let text), .string(let part)): return TemplateText.range(of: part, in: text) != nil
        case (.map(let map), .string(let key)): return map[key] != nil
        case (.map, _), (.undefined, _): return false
        case (.list(let elements), _): return elements.contains { TemplateValue.areEqual($0, element) }
        default:
            throw TemplateFailure.value(line, "'in' \(container.kind)", "a list, a mapping, or a string in a string")
        }
    }
}

extension TemplateLoopState {
    fileprivate func attribute(_ name: String) -> TemplateValue {
        switch name {
        case "index": .integer(index + 1)
        case "index0": .integer(index)
        case "revindex": .integer(items.count - index)
        case "revindex0": .integer(items.count - index - 1)
        case "first": .bool(index == 0)
        case "last": .bool(index == items.count - 1)
        case "length": .integer(items.count)
        case "depth": .integer(depth)
        case "depth0": .integer(depth - 1)
        case "previtem": index > 0 ? items[index - 1] : .undefined(name)
        case "nextitem": index + 1 < items.count ? items[index + 1] : .undefined(name)
        case "cycle": .callable(.method(.loop(self), name))
        default: .undefined(name)
        }
    }
}
