import DyadFormats

/// Short forms for reading members of an object.
extension JSONField {
    func list<Element>(
        _ key: String, _ element: (JSONField) throws(DyadError) -> Element
    ) throws(DyadError) -> [Element] {
        var result: [Element] = []
        for field in try member(key).elements() { result.append(try element(field)) }
        return result
    }

    func integer(_ key: String) throws(DyadError) -> Int { try member(key).integer() }

    func string(_ key: String) throws(DyadError) -> String { try member(key).string() }

    func optionalString(_ key: String) throws(DyadError) -> String? { try optional(key)?.string() }

    /// A number that is exactly a float32.
    func float(_ key: String) throws(DyadError) -> Float {
        let field = try member(key)
        let double = try field.double()
        guard let float = Float(exactly: double) else {
            throw field.failure(.malformed, found: "\(double)", expected: "a number that float32 holds exactly")
        }
        return float
    }
}

/// Short forms for writing them.
extension JSONValue {
    /// A float32, exactly.
    static func float(_ value: Float) -> JSONValue { .number(Double(value)) }

    /// A name, or null.
    static func optional(_ name: String?) -> JSONValue { name.map { .string($0) } ?? .null }

    /// A position, or null.
    static func optional(_ position: Int?) -> JSONValue { position.map { .integer($0) } ?? .null }
}
