import DyadFormats

/// A value while a template runs. It behaves as the Python value that Jinja would have.
enum TemplateValue {
    /// A name or member that is not there; remembers which, for errors.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case decimal(Double)
    case string(String)
    case list([TemplateValue])
    case map(TemplateMap)
    case namespace(TemplateNamespace)
    case loop(TemplateLoopState)
    case callable(TemplateCallable)
}

/// Members in order.
struct TemplateMap {
    private(set) var keys: [String] = []
    private var values: [ExactString: TemplateValue] = [:]

    subscript(key: String) -> TemplateValue? {
        get { values[ExactString(key)] }
        set {
            if values.updateValue(newValue ?? .none, forKey: ExactString(key)) == nil { keys.append(key) }
        }
    }

    var members: [(key: String, value: TemplateValue)] {
        keys.map { ($0, values[ExactString($0)] ?? .none) }
    }
}

/// What `namespace()` makes: the only thing that a template can change in place.
final class TemplateNamespace {
    var members = TemplateMap()
}

/// The variable `loop`.
struct TemplateLoopState {
    var items: [TemplateValue]
    var index: Int
    var depth: Int
}

/// What can be called.
indirect enum TemplateCallable {
    case function(String)
    case method(TemplateValue, String)
    case macro(TemplateMacro)
}

extension TemplateValue {
    init(_ json: JSONValue) {
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .decimal(let value): self = .decimal(value.double ?? .infinity)
        case .string(let value): self = .string(value)
        case .array(let values): self = .list(values.map { TemplateValue($0) })
        case .object(let object):
            var map = TemplateMap()
            for (key, value) in object.members { map[key] = TemplateValue(value) }
            self = .map(map)
        }
    }

    /// What kind of value it is, in the words of an error message.
    var kind: String {
        switch self {
        case .undefined(let name): "'\(name)', which is undefined"
        case .none: "none"
        case .bool: "a Boolean"
        case .integer, .decimal: "a number"
        case .string: "a string"
        case .list: "a list"
        case .map: "a mapping"
        case .namespace: "a namespace"
        case .loop: "the loop variable"
        case .callable: "a function"
        }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .decimal(let value): value != 0
        case .string(let text): !text.isEmpty
        case .list(let elements): !elements.isEmpty
        case .map(let map): !map.keys.isEmpty
        case .namespace, .loop, .callable: true
        }
    }

    /// The number, where `True` counts as 1.
    var number: Double? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): Double(value)
        case .decimal(let value): value
        default: nil
        }
    }

    /// The integer, where `True` counts as 1.
    var integer: Int? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): value
        default: nil
        }
    }

    /// The elements that a loop goes over: of a list, the scalars of a string, the keys of a mapping; nil for others.
    var elements: [TemplateValue]? {
        switch self {
        case .list(let elements): elements
        case .string(let text): text.unicodeScalars.map { .string(String(Character($0))) }
        case .map(let map): map.keys.map { .string($0) }
        case .undefined: []
        default: nil
        }
    }

    /// Python's `==`.
    static func areEqual(_ left: TemplateValue, _ right: TemplateValue) -> Bool {
        if case .integer(let left) = left, case .integer(let right) = right { return left == right }
        if let left = left.number, let right = right.number { return left == right }
        switch (left, right) {
        case (.none, .none), (.undefined, .undefined): return true
        case (.string(let left), .string(let right)): return ExactString(left) == ExactString(right)
        case (.list(let left), .list(let right)):
            return left.count == right.count && zip(left, right).allSatisfy { areEqual($0, $1) }
        case (.map(let left), .map(let right)):
            return left.keys.count == right.keys.count
                && left.members.allSatisfy { member in right[member.key].map { areEqual(member.value, $0) } ?? false }
        case (.namespace(let left), .namespace(let right)): return left === right
        default: return false
        }
    }

    /// Python's `<`; nil if the two cannot be ordered.
    static func isLess(_ left: TemplateValue, _ right: TemplateValue) -> Bool? {
        if let left = left.number, let right = right.number { return left < right }
        switch (left, right) {
        case (.string(let left), .string(let right)):
            return left.unicodeScalars.lexicographicallyPrecedes(right.unicodeScalars)
        case (.list(let left), .list(let right)):
            for (first, second) in zip(left, right) where !areEqual(first, second) { return isLess(first, second) }
            return left.count < right.count
        default: return nil
        }
    }
}
