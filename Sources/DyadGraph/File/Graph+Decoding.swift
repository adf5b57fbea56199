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
    fileprivate func list<Element>(
        _ key: String, _ element: (JSONField) throws(DyadError) -> Element
    ) throws(DyadError) -> [Element] {
        var result: [Element] = []
        for field in try member(key).elements() { result.append(try element(field)) }
        return result
    }

    fileprivate func integer(_ key: String) throws(DyadError) -> Int { try member(key).integer() }

    fileprivate func string(_ key: String) throws(DyadError) -> String { try member(key).string() }

    fileprivate func function(_ key: String) throws(DyadError) -> Operation.Function {
        let field = try member(key)
        let name = try field.string()
        guard let function = Operation.Function(name: name) else {
            throw field.failure(
                .unsupported, found: "\"\(name.prefix(40))\"",
                expected: Operation.Function.allCases.map { $0.rawValue }.joined(separator: ", "))
        }
        return function
    }

    fileprivate func optionalString(_ key: String) throws(DyadError) -> String? { try optional(key)?.string() }

    /// A number that is exactly a float32.
    fileprivate func float(_ key: String) throws(DyadError) -> Float {
        let field = try member(key)
        let double = try field.double()
        guard let float = Float(exactly: double) else {
            throw field.failure(.malformed, found: "\(double)", expected: "a number that float32 holds exactly")
        }
        return float
    }

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

extension Operation {
    fileprivate init(_ json: JSONField) throws(DyadError) {
        self.init(name: try json.string("name"), kind: try Kind(json))
    }
}

extension Operation.Kind {
    fileprivate init(_ json: JSONField) throws(DyadError) {
        let kind = try json.member("kind")
        self =
            switch try kind.string() {
            case "embed":
                .embed(
                    .init(
                        weight: try json.string("weight"), scales: try json.string("scales"),
                        output: try json.integer("output")))
            case "rms_norm": .rmsNorm(try Operation.Normalization(json))
            case "layer_norm": .layerNorm(try Operation.Normalization(json))
            case "linear": .linear(try Operation.Linear(json))
            case "logits": .logits(try Operation.Linear(json))
            case "rotary":
                .rotary(
                    .init(
                        input: try json.integer("input"), cosine: try json.string("cosine"),
                        sine: try json.string("sine"), headDimension: try json.integer("head_dimension"),
                        rotated: try json.integer("rotated"), output: try json.integer("output")))
            case "cache_append": .cacheAppend(.init(input: try json.integer("input"), cache: try json.integer("cache")))
            case "matmul":
                .matmul(
                    .init(
                        form: try Self.form(json), input: try json.integer("input"), cache: try json.integer("cache"),
                        factor: try json.float("factor"), output: try json.integer("output")))
            case "mask": .mask(try Operation.Unary(json))
            case "softmax": .softmax(try Operation.Unary(json))
            case "exponential":
                .exponential(
                    .init(
                        input: try json.integer("input"), output: try json.integer("output"),
                        prefixWeights: try json.optional("prefix_weights")?.integer()))
            case "late_attention":
                .lateAttention(
                    .init(
                        exponentials: try json.integer("exponentials"),
                        prefixWeights: try json.optional("prefix_weights")?.integer(), cache: try json.integer("cache"),
                        output: try json.integer("output")))
            case "lookup":
                .lookup(
                    .init(
                        input: try json.integer("input"), table: try json.string("table"),
                        function: try json.function("function"), output: try json.integer("output")))
            case "multiply": .multiply(try Operation.Binary(json))
            case "add": .add(try Operation.Binary(json))
            case "requantize":
                .requantize(
                    .init(
                        input: try json.integer("input"), factor: try json.float("factor"),
                        output: try json.integer("output")))
            case "hadamard":
                .hadamard(
                    .init(
                        input: try json.integer("input"),
                        base: try json.list("base") { (field) throws(DyadError) in try field.string() },
                        power: try json.integer("power"), output: try json.integer("output")))
            case "concatenate":
                .concatenate(
                    .init(
                        inputs: try json.list("inputs") { (field) throws(DyadError) in try field.integer() },
                        output: try json.integer("output")))
            case "slice":
                .slice(
                    .init(
                        input: try json.integer("input"), start: try json.integer("start"),
                        output: try json.integer("output")))
            default:
                throw kind.failure(
                    .unsupported, found: kind.value.text(), expected: "a kind of operation of this version",
                    remedy: "Use a newer Dyad, or quantise the model again with this one.")
            }
    }

    private static func form(_ json: JSONField) throws(DyadError) -> Operation.Matmul.Form {
        let form = try json.member("form")
        switch try form.string() {
        case "query_key": return .queryKey
        case "weighted_values": return .weightedValues
        default:
            throw form.failure(
                .malformed, found: form.value.text(), expected: "\"query_key\" or \"weighted_values\"")
        }
    }
}

extension Operation.Unary {
    fileprivate init(_ json: JSONField) throws(DyadError) {
        self.init(input: try json.integer("input"), output: try json.integer("output"))
    }
}

extension Operation.Binary {
    fileprivate init(_ json: JSONField) throws(DyadError) {
        self.init(
            left: try json.integer("left"), right: try json.integer("right"), output: try json.integer("output"))
    }
}

extension Operation.Normalization {
    fileprivate init(_ json: JSONField) throws(DyadError) {
        self.init(
            input: try json.integer("input"), gain: try json.optionalString("gain"),
            bias: try json.optionalString("bias"), epsilon: try json.float("epsilon"), size: try json.integer("size"),
            output: try json.integer("output"))
    }
}

extension Operation.Linear {
    fileprivate init(_ json: JSONField) throws(DyadError) {
        self.init(
            input: try json.integer("input"), weight: try json.string("weight"), scales: try json.string("scales"),
            bias: try json.optionalString("bias"), output: try json.integer("output"))
    }
}
