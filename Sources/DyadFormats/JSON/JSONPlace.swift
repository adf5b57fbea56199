/// Where a value stands in a document: a chain of steps that becomes text only when an error needs it. All values of one array or
/// object share the chain to it, so that a million elements do not hold a million paths.
struct JSONPlace: Sendable {
    enum Step: Sendable {
        case key(String)
        case index(Int)
    }

    /// The place of an array or object, shared by what it contains.
    final class Container: Sendable {
        let place: JSONPlace
        init(_ place: JSONPlace) { self.place = place }
    }

    private let container: Container?
    private let step: Step

    init(_ container: Container?, _ step: Step) {
        self.container = container
        self.step = step
    }

    /// As in `rope_scaling.factor` or `merges[3]`.
    var text: String {
        let before = container?.place.text ?? ""
        switch step {
        case .key(let key): return before.isEmpty ? key : "\(before).\(key)"
        case .index(let index): return "\(before)[\(index)]"
        }
    }
}

/// The elements of an array with their places; see ``JSONField/elements()``.
public struct JSONElements: RandomAccessCollection, Sendable {
    let values: [JSONValue]
    let file: String?
    let container: JSONPlace.Container

    /// The first position.
    public var startIndex: Int { 0 }
    /// The position after the last.
    public var endIndex: Int { values.count }

    /// An element. Constant time.
    public subscript(position: Int) -> JSONField {
        JSONField(values[position], file, JSONPlace(container, .index(position)))
    }
}

/// The members of an object with their places; see ``JSONField/members()``.
public struct JSONMembers: RandomAccessCollection, Sendable {
    let object: JSONObject
    let file: String?
    let container: JSONPlace.Container

    /// The first position.
    public var startIndex: Int { 0 }
    /// The position after the last.
    public var endIndex: Int { object.count }

    /// A member. Constant time.
    public subscript(position: Int) -> (key: String, field: JSONField) {
        let key = object.keys[position]
        return (key, JSONField(object.values[position], file, JSONPlace(container, .key(key))))
    }
}
