/// A value of a JSON file together with where it stands, so that reading a document field by field throws errors
/// that name the file and the field.
public struct JSONField: Sendable {
    /// The value.
    public let value: JSONValue
    /// The file it is from.
    public let file: String?
    private let place: JSONPlace

    /// A root.
    public init(_ value: JSONValue, file: String?, path: String = "") {
        self.init(value, file, JSONPlace(nil, .key(path)))
    }

    init(_ value: JSONValue, _ file: String?, _ place: JSONPlace) {
        self.value = value
        self.file = file
        self.place = place
    }

    /// The way from the root, as in `rope_scaling.factor` or `merges[3]`; empty at the root. Made when it is asked for.
    public var path: String { place.text }

    /// The error for this field.
    public func failure(_ reason: DyadError.Reason, found: String, expected: String, remedy: String? = nil)
        -> DyadError
    {
        let path = path
        return DyadError(
            reason, file: file, subject: path.isEmpty ? "document" : path, found: found, expected: expected,
            remedy: remedy ?? "Correct the file, or write it again.")
    }

    private func wrongKind(_ expected: String) -> DyadError {
        var found = value.kind
        switch value {
        case .integer, .bool: found = value.text()
        case .decimal(let number) where number.literal.utf8.count <= 60: found = number.literal
        case .string(let text) where text.utf8.count <= 60: found = value.text()
        default: break
        }
        return failure(.malformed, found: found, expected: expected)
    }

    private func child(_ value: JSONValue, _ key: String) -> JSONField {
        JSONField(value, file, JSONPlace(JSONPlace.Container(place), .key(key)))
    }

    /// The members. Throws `malformed` if this is no object.
    public func object() throws(DyadError) -> JSONObject {
        guard case .object(let object) = value else { throw wrongKind("an object") }
        return object
    }

    /// The member of an object. Throws `malformed` if it is not there.
    public func member(_ key: String) throws(DyadError) -> JSONField {
        guard let member = try object()[key] else {
            throw child(.null, key).failure(.malformed, found: "no such field", expected: "a value")
        }
        return child(member, key)
    }

    /// The member of an object; nil if it is not there or `null`. Throws `malformed` if this is no object.
    public func optional(_ key: String) throws(DyadError) -> JSONField? {
        guard let member = try object()[key], !member.isNull else { return nil }
        return child(member, key)
    }

    /// The members of an object in order, each with its path. Constant time. Throws `malformed` if this is no object.
    public func members() throws(DyadError) -> JSONMembers {
        JSONMembers(object: try object(), file: file, container: JSONPlace.Container(place))
    }

    /// The elements of an array. Constant time. Throws `malformed` if this is none.
    public func elements() throws(DyadError) -> JSONElements {
        guard case .array(let elements) = value else { throw wrongKind("an array") }
        return JSONElements(values: elements, file: file, container: JSONPlace.Container(place))
    }

    /// The integer, which must be in `range`. Throws `malformed`. Accepts `1.0` and `1e3` for integers.
    public func integer(in range: ClosedRange<Int> = Int.min...Int.max) throws(DyadError) -> Int {
        var integer = value.integer
        if case .decimal(let decimal) = value { integer = decimal.double.flatMap { Int(exactly: $0) } }
        guard let integer, range.contains(integer) else {
            let bounded = range != Int.min...Int.max
            throw wrongKind("an integer" + (bounded ? " from \(range.lowerBound) to \(range.upperBound)" : ""))
        }
        return integer
    }

    /// The number. Throws `malformed` if it is none or is not finite.
    public func double() throws(DyadError) -> Double {
        guard let double = value.double else { throw wrongKind("a finite number") }
        return double
    }

    /// The string. Throws `malformed` if it is none.
    public func string() throws(DyadError) -> String {
        guard case .string(let string) = value else { throw wrongKind("a string") }
        return string
    }

    /// The Boolean. Throws `malformed` if it is none.
    public func bool() throws(DyadError) -> Bool {
        guard case .bool(let bool) = value else { throw wrongKind("true or false") }
        return bool
    }
}
