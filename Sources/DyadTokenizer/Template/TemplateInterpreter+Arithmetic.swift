import DyadFormats
import Foundation

/// Operators with Python's meaning. Integers have 64 bits; what needs more is refused.
extension TemplateInterpreter {
    mutating func negative(_ value: TemplateValue) throws(DyadError) -> TemplateValue {
        if let integer = value.integer {
            guard integer != .min else { throw overflow }
            return .integer(-integer)
        }
        guard let number = value.number else { throw TemplateFailure.value(line, value.kind, "a number after '-'") }
        return .decimal(-number)
    }

    mutating func arithmetic(_ operation: String, _ left: TemplateValue, _ right: TemplateValue) throws(DyadError)
        -> TemplateValue
    {
        switch (operation, left, right) {
        case ("~", _, _): return text(try joined([try string(left), try string(right)]))
        case ("+", .string(let left), .string(let right)): return .string(try sum(left, right))
        case ("+", .sequence(let first), .sequence(let second))
        where first.isTuple == second.isTuple && (first.isTuple || first.kind == .list && second.kind == .list):
            try charge(elements: first.elements.count + second.elements.count)
            return try sequence(first.elements + second.elements, first.isTuple ? .tuple : .list)
        case ("%", .string(let format), _):
            if format.isMarkup { throw TemplateFailure.unsupported(line, "'%' of text marked safe", "plain text") }
            return text(try percentFormat(format.scalars, right))
        case ("*", .string(let text), _) where right.integer != nil:
            return .string(try repeated(text, right.integer ?? 0))
        case ("*", _, .string(let text)) where left.integer != nil:
            return .string(try repeated(text, left.integer ?? 0))
        case ("*", .sequence(let elements), _) where right.integer != nil && elements.kind != .range:
            return try repeated(elements, right.integer ?? 0)
        case ("*", _, .sequence(let elements)) where left.integer != nil && elements.kind != .range:
            return try repeated(elements, left.integer ?? 0)
        default: break
        }
        if let left = left.integer, let right = right.integer, operation != "/", operation != "**" || right >= 0 {
            return try integers(operation, left, right)
        }
        guard let first = left.number, let second = right.number else {
            throw TemplateFailure.value(line, "\(left.kind) \(operation) \(right.kind)", "values that go together")
        }
        return try decimals(operation, first, second)
    }

    /// `+` of strings; plain text is escaped beside text that is marked safe, as Jinja's Markup does.
    private mutating func sum(_ left: TemplateString, _ right: TemplateString) throws(DyadError) -> TemplateString {
        guard left.isMarkup || right.isMarkup else { return TemplateString(try joined([left, right])) }
        return TemplateString(try joined([try escaped(left), try escaped(right)]), isMarkup: true)
    }

    private mutating func repeated(_ text: TemplateString, _ count: Int) throws(DyadError) -> TemplateString {
        let (length, overflow) = text.count.multipliedReportingOverflow(by: max(0, count))
        try charge(scalars: overflow ? .max : length)
        var scalars: [UInt32] = []
        scalars.reserveCapacity(length)
        if !text.scalars.isEmpty { for _ in 0..<max(0, count) { scalars += text.scalars } }
        return TemplateString(scalars, isMarkup: text.isMarkup)
    }

    private mutating func repeated(_ list: TemplateSequence, _ count: Int) throws(DyadError) -> TemplateValue {
        guard list.isTuple || list.kind == .list else {
            throw TemplateFailure.value(line, "a view * a number", "a list")
        }
        let (length, overflow) = list.elements.count.multipliedReportingOverflow(by: max(0, count))
        try charge(elements: overflow ? .max : length)
        var elements: [TemplateValue] = []
        if !list.elements.isEmpty { for _ in 0..<max(0, count) { elements += list.elements } }
        return try sequence(elements, list.isTuple ? .tuple : .list)
    }

    private var overflow: DyadError {
        TemplateFailure.unsupported(line, "an integer beyond 64 bits", "integers of 64 bits")
    }

    private var divisionByZero: DyadError { TemplateFailure.value(line, "a division by zero", "another divisor") }

    private mutating func integers(_ operation: String, _ left: Int, _ right: Int) throws(DyadError) -> TemplateValue {
        var result: (partialValue: Int, overflow: Bool)
        switch operation {
        case "+": result = left.addingReportingOverflow(right)
        case "-": result = left.subtractingReportingOverflow(right)
        case "*": result = left.multipliedReportingOverflow(by: right)
        case "//", "%":
            guard right != 0 else { throw divisionByZero }
            result = left.dividedReportingOverflow(by: right)
            let rest = left.remainderReportingOverflow(dividingBy: right).partialValue
            let isBelow = rest != 0 && (rest < 0) != (right < 0)
            if operation == "%" { return .integer(isBelow ? rest + right : rest) }
            if isBelow { result.partialValue -= 1 }
        default:
            // The other powers end after 63 steps or never leave -1, 0 and 1.
            if left == 0 || left == 1 { return .integer(right == 0 ? 1 : left) }
            if left == -1 { return .integer(right % 2 == 0 ? 1 : -1) }
            result = (1, false)
            for _ in 0..<min(right, 64) where !result.overflow {
                result = result.partialValue.multipliedReportingOverflow(by: left)
            }
        }
        guard !result.overflow else { throw overflow }
        return .integer(result.partialValue)
    }

    private func decimals(_ operation: String, _ first: Double, _ second: Double) throws(DyadError) -> TemplateValue {
        switch operation {
        case "+": return .decimal(first + second)
        case "-": return .decimal(first - second)
        case "*": return .decimal(first * second)
        case "/":
            guard second != 0 else { throw divisionByZero }
            return .decimal(first / second)
        case "//", "%":
            guard second != 0 else { throw divisionByZero }
            var rest = fmod(first, second)
            var quotient = (first - rest) / second
            if rest == 0 {
                rest = copysign(0, second)
            } else if (rest < 0) != (second < 0) {
                rest += second
                quotient -= 1
            }
            guard operation == "//" else { return .decimal(rest) }
            let floor = quotient.rounded(.down)
            return .decimal(
                quotient == 0 ? copysign(0, first / second) : quotient - floor > 0.5 ? floor + 1 : floor)
        default:
            guard first != 0 || second >= 0 else { throw divisionByZero }
            let power = pow(first, second)
            guard !power.isNaN || first.isNaN || second.isNaN else {
                throw TemplateFailure.unsupported(line, "a power that is a complex number", "a real one")
            }
            guard power.isFinite || !first.isFinite || !second.isFinite else {
                throw TemplateFailure.value(line, "a power beyond the largest decimal", "a smaller one")
            }
            return .decimal(power)
        }
    }

    // MARK: Comparisons

    mutating func compare(_ first: TemplateValue, _ pairs: [(operation: String, right: TemplateExpression)])
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

    mutating func compare(_ operation: String, _ left: TemplateValue, _ right: TemplateValue) throws(DyadError) -> Bool
    {
        switch operation {
        case "==": return try areEqual(left, right)
        case "!=": return !(try areEqual(left, right))
        case "in": return try contains(right, left)
        case "not in": return !(try contains(right, left))
        default: break
        }
        if let first = left.number, let second = right.number, first.isNaN || second.isNaN { return false }
        let isSwapped = operation == ">" || operation == "<="
        let less = try isSwapped ? isLess(right, left) : isLess(left, right)
        return operation == "<" || operation == ">" ? less : !less
    }

    /// How two numbers are ordered: -1, 0 or 1; nil where one is NaN or no number.
    private static func order(_ left: TemplateValue, _ right: TemplateValue) -> Int? {
        switch (left, right) {
        case (.decimal(let left), .decimal(let right)):
            return left < right ? -1 : left > right ? 1 : left == right ? 0 : nil
        case (_, .decimal(let right)): return left.integer.flatMap { TemplateNumber.compare($0, right) }
        case (.decimal(let left), _): return right.integer.flatMap { TemplateNumber.compare($0, left) }.map { -$0 }
        default:
            guard let left = left.integer, let right = right.integer else { return nil }
            return left < right ? -1 : left > right ? 1 : 0
        }
    }

    /// Python's `==`. Shared parts are counted as often as they are compared.
    mutating func areEqual(_ left: TemplateValue, _ right: TemplateValue) throws(DyadError) -> Bool {
        try spend(Self.stepCost / 4)
        if case .integer(let left) = left, case .integer(let right) = right { return left == right }
        if let order = Self.order(left, right) { return order == 0 }
        if left.number != nil, right.number != nil { return false }
        switch (left, right) {
        case (.none, .none), (.undefined, .undefined): return true
        case (.string(let left), .string(let right)):
            try spend(min(left.count, right.count))
            return left == right
        case (.sequence(let first), .sequence(let second)):
            if first === second { return true }
            let views: [TemplateSequence.Kind] = [.keys, .values, .items]
            if views.contains(first.kind) || views.contains(second.kind) {
                throw TemplateFailure.unsupported(line, "a comparison of a mapping's view", "lists")
            }
            let isSameKind = first.isTuple ? second.isTuple : first.kind == second.kind
            guard isSameKind, first.elements.count == second.elements.count else { return false }
            for (first, second) in zip(first.elements, second.elements) where !(try areEqual(first, second)) {
                return false
            }
            return true
        case (.map(let first), .map(let second)):
            if first === second { return true }
            guard first.keys.count == second.keys.count else { return false }
            for (name, value) in zip(first.keys, first.values) {
                guard let other = second[try key(name)], try areEqual(value, other) else { return false }
            }
            return true
        default: return try areSame(left, right)
        }
    }

    /// Python's `is`, of values for which it means something.
    mutating func areSame(_ left: TemplateValue, _ right: TemplateValue) throws(DyadError) -> Bool {
        switch (left, right) {
        case (.none, .none): true
        case (.bool(let left), .bool(let right)): left == right
        case (.integer(let left), .integer(let right)): left == right
        case (.decimal(let left), .decimal(let right)): left == right
        case (.string, .string): try areEqual(left, right)
        case (.sequence(let left), .sequence(let right)): left === right
        case (.map(let left), .map(let right)): left === right
        case (.iterator(let left), .iterator(let right)), (.namespace(let left), .namespace(let right)),
            (.loop(let left), .loop(let right)), (.macro(let left), .macro(let right)),
            (.cycler(let left), .cycler(let right)), (.joiner(let left), .joiner(let right)):
            left == right
        case (.function(let left), .function(let right)): left == right
        default: false
        }
    }

    /// Python's `<`; throws if the two have no order.
    mutating func isLess(_ left: TemplateValue, _ right: TemplateValue) throws(DyadError) -> Bool {
        try spend(Self.stepCost / 4)
        if case .integer(let left) = left, case .integer(let right) = right { return left < right }
        if let order = Self.order(left, right) { return order < 0 }
        if left.number != nil, right.number != nil { return false }
        switch (left, right) {
        case (.string(let left), .string(let right)):
            try spend(min(left.count, right.count))
            return left.scalars.lexicographicallyPrecedes(right.scalars) {
                TemplateText.plain($0) < TemplateText.plain($1)
            }
        case (.sequence(let left), .sequence(let right))
        where left.isTuple == right.isTuple && (left.isTuple || left.kind == .list && right.kind == .list):
            for (first, second) in zip(left.elements, right.elements) where !(try areEqual(first, second)) {
                return try isLess(first, second)
            }
            return left.elements.count < right.elements.count
        default:
            throw TemplateFailure.value(
                line, "a comparison of \(left.kind) and \(right.kind)", "values that have an order")
        }
    }

    private mutating func contains(_ container: TemplateValue, _ element: TemplateValue) throws(DyadError) -> Bool {
        switch (container, element) {
        case (.string(let text), .string(let part)):
            try spend(2 * (text.count + part.count))
            return TemplateText.place(of: part.scalars, in: text.scalars) != nil
        case (.map(let map), _):
            if element.isUndefined { return false }
            return map[try key(element)] != nil
        case (.undefined, _): return false
        case (.sequence, _), (.iterator, _):
            for candidate in try elements(of: container) ?? [] where try areEqual(candidate, element) { return true }
            return false
        default:
            throw TemplateFailure.value(
                line, "\(element.kind) 'in' \(container.kind)", "a list, a mapping, or a string in a string")
        }
    }
}
