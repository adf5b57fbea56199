/// A document read member by member, where only the reader knows what is kept.
extension JSONParser {
    private static let keyLimit = 1024
    /// What a value that is no string may take. It is checked only when it is whole.
    private static let memberLimit = 1 << 20

    /// See ``JSONValue/parseMembers(of:file:subject:budget:group:_:)``.
    mutating func document(
        budget: Int, group: String, _ body: (String?, String, JSONField) throws(DyadError) -> Int?
    ) throws(DyadError) {
        allow(budget)
        let root = JSONPlace.Container(JSONPlace(nil, .key("")))
        try open(JSONPlace(nil, .key("")))
        var hasGroup = false
        try members { (key, parser) throws(DyadError) in
            guard ExactString(key) == ExactString(group) else {
                return try parser.handOver(key, JSONPlace(root, .key(key))) { (field) throws(DyadError) in
                    try body(nil, key, field)
                }
            }
            guard !hasGroup else { return false }
            hasGroup = true
            let place = JSONPlace(root, .key(group))
            try parser.open(place)
            let container = JSONPlace.Container(place)
            try parser.members { (key, parser) throws(DyadError) in
                try parser.handOver(key, JSONPlace(container, .key(key))) { (field) throws(DyadError) in
                    try body(group, key, field)
                }
            }
            return true
        }
        try end()
    }

    /// Stands at the bracket of an object; throws for any other value.
    private mutating func open(_ place: JSONPlace) throws(DyadError) {
        skipSpace()
        guard next != UInt8(ascii: "{") else { return }
        allow(Self.memberLimit)
        _ = try JSONField(try value(depth: 0), file, place).object()
    }

    /// Parses the value behind a key for `body`, and pays for what that keeps.
    private mutating func handOver(
        _ key: String, _ place: JSONPlace, _ body: (JSONField) throws(DyadError) -> Int?
    ) throws(DyadError) -> Bool {
        guard key.utf8.count <= Self.keyLimit else {
            throw failure("a key of \(key.utf8.count) bytes", "at most \(Self.keyLimit)")
        }
        let (budget, rest) = (limit, allowance)
        skipSpace()
        if next != UInt8(ascii: "\""), rest > Self.memberLimit { allow(Self.memberLimit) }
        guard let kept = try body(JSONField(try value(depth: 1), file, place)) else { return false }
        // The value is gone.
        (limit, allowance) = (budget, rest)
        try charge(kept)
        return true
    }

    private mutating func allow(_ bytes: Int) { (limit, allowance) = (bytes, bytes) }
}
