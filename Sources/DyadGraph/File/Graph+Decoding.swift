import DyadFormats

/// Reading `dyad.graph`. Every error names the field; ``IntegerGraph/validate()`` checks what the fields mean together.
extension IntegerGraph {
    init(_ json: JSONField) throws(DyadError) {
        self.init(
            vocabularySize: try json.member("vocabulary_size").integer(),
            maximumContext: try json.member("maximum_context").integer(),
            prefixTokens: try json.list("prefix_tokens") { (field) throws(DyadError) in
                Int32(try field.integer(in: 0...Int(Int32.max)))
            },
            tensors: try json.list("tensors") { (field) throws(DyadError) in try GraphTensor(field) },
            constants: try json.list("constants") { (field) throws(DyadError) in try GraphConstant(field) },
            caches: try json.list("caches") { (field) throws(DyadError) in try CacheState(field) },
            operations: try json.list("operations") { (field) throws(DyadError) in try Operation(field) })
    }
}

extension JSONField {
    fileprivate func encoding() throws(DyadError) -> Encoding {
        let zeroPoint = try member("zero_point").integer(in: Int(Int32.min)...Int(Int32.max))
        return Encoding(scale: try float("scale"), zeroPoint: Int32(zeroPoint))
    }
}

extension GraphTensor {
    fileprivate init(_ json: JSONField) throws(DyadError) {
        let type = try json.member("type")
        guard let integerType = IntegerType(rawValue: try type.string()) else {
            throw type.failure(.malformed, found: type.value.text(), expected: "an integer type such as \"u8\"")
        }
        self.init(
            name: try json.string("name"),
            shape: try json.list("shape") { (field) throws(DyadError) in
                switch field.value {
                case "tokens": .tokens
                case "context": .context
                default: .fixed(try field.integer())
                }
            },
            type: integerType, encoding: try json.encoding())
    }
}

extension GraphConstant {
    fileprivate init(_ json: JSONField) throws(DyadError) {
        let type = try json.member("type")
        let text = try type.string()
        let integerType = IntegerType(rawValue: text)
        guard integerType != nil || text == "f32" else {
            throw type.failure(.malformed, found: "\"\(text)\"", expected: "an integer type such as \"i8\", or \"f32\"")
        }
        self.init(
            name: try json.string("name"),
            shape: try json.list("shape") { (field) throws(DyadError) in try field.integer(in: 0...Int.max) },
            type: integerType)
    }
}

extension CacheState {
    fileprivate init(_ json: JSONField) throws(DyadError) {
        self.init(
            name: try json.string("name"), keyValueHeads: try json.integer("key_value_heads"),
            headDimension: try json.integer("head_dimension"), encoding: try json.encoding(),
            prefix: try json.optionalString("prefix"))
    }
}
