/// The members of a JSON object in their order, with look-up by key. Keys are compared byte by byte.
public struct JSONObject: Sendable {
    /// The keys in order.
    public private(set) var keys: [String] = []
    /// The values, parallel to ``keys``.
    public private(set) var values: [JSONValue] = []
    /// Positions by key; kept only for objects large enough for a linear search to be slower.
    private var index: [ExactString: Int] = [:]

    private static let indexedFrom = 9

    /// An empty object.
    public init() {}

    /// An object from members in order; traps on a key that occurs twice.
    public init(_ members: [(String, JSONValue)]) {
        for (key, value) in members {
            let isNew = append(key, value)
            precondition(isNew, "the key \(key) occurs twice")
        }
    }

    /// The number of members.
    public var count: Int { keys.count }

    /// Whether it has no members.
    public var isEmpty: Bool { keys.isEmpty }

    /// The members in order.
    public var members: Zip2Sequence<[String], [JSONValue]> { zip(keys, values) }

    /// The value of a key. Setting replaces the value in place or appends; setting nil removes. Constant time to read.
    public subscript(key: String) -> JSONValue? {
        get { position(of: key).map { values[$0] } }
        set {
            guard let newValue else { return remove(key) }
            if let position = position(of: key) {
                values[position] = newValue
            } else {
                append(key, newValue)
            }
        }
    }

    /// Appends a member; does nothing and returns false when the key is there already.
    @discardableResult
    public mutating func append(_ key: String, _ value: JSONValue) -> Bool {
        if keys.count < Self.indexedFrom - 1 {
            guard position(of: key) == nil else { return false }
        } else {
            if index.isEmpty {
                for (position, key) in keys.enumerated() { index[ExactString(key)] = position }
            }
            if let earlier = index.updateValue(keys.count, forKey: ExactString(key)) {
                index[ExactString(key)] = earlier
                return false
            }
        }
        keys.append(key)
        values.append(value)
        return true
    }

    private func position(of key: String) -> Int? {
        if index.isEmpty {
            let key = ExactString(key)
            return keys.firstIndex { ExactString($0) == key }
        }
        return index[ExactString(key)]
    }

    private mutating func remove(_ key: String) {
        guard let position = position(of: key) else { return }
        let rest = members.enumerated().filter { $0.offset != position }.map { $0.element }
        self = JSONObject(rest)
    }
}

extension JSONObject: Equatable {
    /// Whether both have the same members in the same order.
    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.keys.count == right.keys.count && left.values == right.values
            && zip(left.keys, right.keys).allSatisfy { ExactString($0) == ExactString($1) }
    }
}
