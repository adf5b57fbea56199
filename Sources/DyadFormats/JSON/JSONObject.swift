/// The members of a JSON object in their order, with look-up by key. Keys are compared byte by byte.
public struct JSONObject: Sendable {
    /// What an object holds, behind one reference so that a ``JSONValue`` stays small.
    private final class Storage: @unchecked Sendable {
        // Unchecked: changed only while one object alone refers to it.
        var keys: [String] = []
        var values: [JSONValue] = []
        /// Positions by key; kept only for objects large enough for a linear search to be slower.
        var index: [ExactString: Int] = [:]
    }
    private var storage = empty

    private static let empty = Storage()
    private static let indexedFrom = 9

    /// An empty object.
    public init() {}

    /// The keys in order.
    public var keys: [String] { storage.keys }

    /// The values, parallel to ``keys``.
    public var values: [JSONValue] { storage.values }

    private mutating func makeUnique() {
        guard !isKnownUniquelyReferenced(&storage) else { return }
        let copy = Storage()
        (copy.keys, copy.values, copy.index) = (storage.keys, storage.values, storage.index)
        storage = copy
    }

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
                makeUnique()
                storage.values[position] = newValue
            } else {
                append(key, newValue)
            }
        }
    }

    /// Appends a member; does nothing and returns false when the key is there already.
    @discardableResult
    public mutating func append(_ key: String, _ value: JSONValue) -> Bool {
        guard position(of: key) == nil else { return false }
        makeUnique()
        if storage.keys.count >= Self.indexedFrom - 1 {
            if storage.index.isEmpty {
                for (position, key) in storage.keys.enumerated() { storage.index[ExactString(key)] = position }
            }
            storage.index[ExactString(key)] = storage.keys.count
        }
        storage.keys.append(key)
        storage.values.append(value)
        return true
    }

    private func position(of key: String) -> Int? {
        if storage.index.isEmpty {
            let key = ExactString(key)
            return storage.keys.firstIndex { ExactString($0) == key }
        }
        return storage.index[ExactString(key)]
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
