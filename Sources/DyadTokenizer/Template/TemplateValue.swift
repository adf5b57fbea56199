import DyadFormats

/// A value while a template runs. It behaves as the Python value that Jinja would have.
///
/// Values do not change, so that they can be shared. What changes (namespaces, iterators, loops) is kept by the
/// interpreter, and values hold its number: no cycle of references can form, and freeing a value never goes deep.
enum TemplateValue: Sendable {
    /// A name or member that is not there; remembers which, for errors.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case decimal(Double)
    case string(TemplateString)
    case sequence(TemplateSequence)
    case map(TemplateMap)
    /// What can be gone through once, as Python's generators.
    case iterator(Int)
    case namespace(Int)
    case loop(Int)
    case macro(Int)
    case cycler(Int)
    case joiner(Int)
    case function(String)
    case method(TemplateMethod)
}

/// A list or what is read like one.
final class TemplateSequence: Sendable {
    enum Kind: Sendable, Equatable {
        case list, tuple, range, keys, values, items
        /// A pair that `groupby` makes: a tuple whose members have names.
        case group
    }

    let elements: [TemplateValue]
    let kind: Kind
    /// How deep values are nested in it.
    let depth: Int

    init(_ elements: [TemplateValue], _ kind: Kind) {
        self.elements = elements
        self.kind = kind
        depth = 1 + (elements.lazy.map(\.depth).max() ?? 0)
    }

    var isTuple: Bool { kind == .tuple || kind == .group }
}

/// A mapping; its members are in the order in which they were added.
final class TemplateMap: Sendable {
    let keys: [TemplateValue]
    let values: [TemplateValue]
    private let places: [TemplateKey: Int]
    let depth: Int

    init(_ members: TemplateMembers) {
        keys = members.keys
        values = members.values
        places = members.places
        depth = 1 + max(keys.lazy.map(\.depth).max() ?? 0, values.lazy.map(\.depth).max() ?? 0)
    }

    subscript(key: TemplateKey) -> TemplateValue? { places[key].map { values[$0] } }
}

/// The members of a mapping or a namespace while they are collected.
struct TemplateMembers {
    private(set) var keys: [TemplateValue] = []
    private(set) var values: [TemplateValue] = []
    private(set) var places: [TemplateKey: Int] = [:]

    subscript(key: TemplateKey) -> TemplateValue? { places[key].map { values[$0] } }

    /// Adds a member, or replaces the value of the key.
    mutating func set(_ key: TemplateKey, _ name: TemplateValue, _ value: TemplateValue) {
        if let place = places[key] {
            values[place] = value
        } else {
            places[key] = keys.count
            keys.append(name)
            values.append(value)
        }
    }
}

/// A value as a key: numbers that are equal are one key, as in Python.
enum TemplateKey: Hashable, Sendable {
    case none
    case integer(Int)
    case decimal(Double)
    case string(TemplateString)
    case tuple([TemplateKey])

    init(_ name: String) { self = .string(TemplateString(name)) }

    /// Nil for what Python cannot hash.
    init?(_ value: TemplateValue) {
        switch value {
        case .none: self = .none
        case .string(let text): self = .string(text)
        case .sequence(let sequence) where sequence.isTuple:
            var keys: [TemplateKey] = []
            for element in sequence.elements {
                guard let key = TemplateKey(element) else { return nil }
                keys.append(key)
            }
            self = .tuple(keys)
        default:
            if let integer = value.integer {
                self = .integer(integer)
            } else if case .decimal(let number) = value {
                self = Int(exactly: number).map { .integer($0) } ?? .decimal(number)
            } else {
                return nil
            }
        }
    }
}

/// A method of a value.
final class TemplateMethod: Sendable {
    let value: TemplateValue
    let name: String

    init(_ value: TemplateValue, _ name: String) {
        self.value = value
        self.name = name
    }
}

extension TemplateValue {
    init(_ text: String) { self = .string(TemplateString(text)) }

    /// How deep values are nested in this one.
    var depth: Int {
        switch self {
        case .sequence(let sequence): sequence.depth
        case .map(let map): map.depth
        case .method(let method): 1 + method.value.depth
        default: 0
        }
    }

    /// What kind of value it is, in the words of an error message.
    var kind: String {
        switch self {
        case .undefined(let name): "'\(name.prefix(60))', which is undefined"
        case .none: "none"
        case .bool: "a Boolean"
        case .integer, .decimal: "a number"
        case .string: "a string"
        case .sequence(let sequence): sequence.isTuple ? "a tuple" : "a list"
        case .map: "a mapping"
        case .iterator: "an iterator"
        case .namespace: "a namespace"
        case .loop: "a loop"
        case .macro, .function, .method, .joiner: "a function"
        case .cycler: "a cycler"
        }
    }

    /// Whether Python takes it as true.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .decimal(let value): value != 0
        case .string(let text): text.count > 0
        case .sequence(let sequence): !sequence.elements.isEmpty
        case .map(let map): !map.keys.isEmpty
        default: true
        }
    }

    /// The value as an integer, which Booleans are, too.
    var integer: Int? {
        switch self {
        case .integer(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    /// The value as a number.
    var number: Double? {
        if case .decimal(let value) = self { value } else { integer.map(Double.init) }
    }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }
    var isNone: Bool { if case .none = self { true } else { false } }

    /// The string, if it is one.
    var string: TemplateString? { if case .string(let text) = self { text } else { nil } }
}
