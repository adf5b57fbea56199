/// A JSON document or a part of one, without loss: numbers keep their digits and objects their key order.
///
/// Dyad has a reader of its own because what it reads comes from strangers: nesting is bounded, a key that
/// occurs twice is an error, and every error says at which byte of which file it is.
public enum JSONValue: Equatable, Sendable {
    /// `null`
    case null
    /// `true` or `false`
    case bool(Bool)
    /// A number written without fraction and exponent that fits `Int`.
    case integer(Int)
    /// Any other number.
    case decimal(JSONDecimal)
    /// A string.
    case string(String)
    /// An array.
    case array([JSONValue])
    /// An object.
    case object(JSONObject)
}

extension JSONValue {
    /// Whether both values give the same text. Strings are compared by their bytes, as keys are.
    public static func == (left: JSONValue, right: JSONValue) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.bool(let left), .bool(let right)): left == right
        case (.integer(let left), .integer(let right)): left == right
        case (.decimal(let left), .decimal(let right)): left == right
        case (.string(let left), .string(let right)): ExactString(left) == ExactString(right)
        case (.array(let left), .array(let right)): left == right
        case (.object(let left), .object(let right)): left == right
        default: false
        }
    }

    /// A finite number, written with the fewest digits that give the same `Double` back. Traps on NaN and
    /// infinity, which JSON cannot express.
    public static func number(_ value: Double) -> JSONValue { .decimal(JSONDecimal(value)) }

    /// A finite number, written with the fewest digits that give the same `Float` back. Traps on NaN and infinity.
    public static func number(_ value: Float) -> JSONValue { .decimal(JSONDecimal(value)) }

    /// A measured number, which may be NaN or infinite: `null` then.
    public static func measured(_ value: Double) -> JSONValue { value.isFinite ? .number(value) : .null }

    /// The value as an integer, if it is one.
    public var integer: Int? {
        if case .integer(let value) = self { value } else { nil }
    }

    /// The value of any number that is finite as a `Double`.
    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .decimal(let value): value.double
        default: nil
        }
    }

    /// The value as a string, if it is one.
    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The value as a Boolean, if it is one.
    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The elements, if it is an array.
    public var array: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }

    /// The members, if it is an object.
    public var object: JSONObject? {
        if case .object(let value) = self { value } else { nil }
    }

    /// Whether it is `null`.
    public var isNull: Bool { self == .null }

    /// The member of an object; nil if this is no object or has no such key.
    public subscript(key: String) -> JSONValue? { object?[key] }

    /// What kind of value it is, in the words of an error message.
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a Boolean"
        case .integer, .decimal: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

/// A JSON number as it is written, for numbers that are not plain machine integers.
public struct JSONDecimal: Hashable, Sendable {
    /// The digits as in the file: a valid JSON number, or one of Python's three words where the reader allowed them.
    public let literal: String

    init(trusted literal: String) { self.literal = literal }

    /// A finite number; traps on NaN and infinity.
    public init(_ value: Double) {
        precondition(value.isFinite, "JSON has no NaN and no infinity")
        literal = "\(value)"
    }

    /// A finite number; traps on NaN and infinity.
    public init(_ value: Float) {
        precondition(value.isFinite, "JSON has no NaN and no infinity")
        literal = "\(value)"
    }

    /// The nearest `Double`; nil when it is beyond the largest one or not finite.
    public var double: Double? {
        guard let value = Double(literal), value.isFinite else { return nil }
        return value
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral, ExpressibleByFloatLiteral
{
    /// A string.
    public init(stringLiteral value: String) { self = .string(value) }
    /// An integer.
    public init(integerLiteral value: Int) { self = .integer(value) }
    /// A number.
    public init(floatLiteral value: Double) { self = .number(value) }
    /// A Boolean.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// An array.
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    /// An object in the order as written; traps on a key that occurs twice.
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(JSONObject(elements)) }
    /// `null`
    public init(nilLiteral: ()) { self = .null }
}
