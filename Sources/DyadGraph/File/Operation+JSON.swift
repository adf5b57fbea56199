import DyadFormats

/// An operation in `dyad.graph`: `name`, `kind`, and the operands that its definition names.
extension Operation {
    init(_ json: JSONField) throws(DyadError) {
        self.init(name: try json.string("name"), kind: try Kind(json))
    }

    var json: JSONValue {
        var object = JSONObject([("name", .string(name)), ("kind", .string(kind.name))])
        for (key, value) in kind.definition.json where !value.isNull { object[key] = value }
        return .object(object)
    }
}

extension Operation.Kind {
    fileprivate init(_ json: JSONField) throws(DyadError) {
        let kind = try json.member("kind")
        self =
            switch try kind.string() {
            case "embed": .embed(try .init(json))
            case "rms_norm": .rmsNorm(try .init(json))
            case "layer_norm": .layerNorm(try .init(json))
            case "linear": .linear(try .init(json))
            case "rotary": .rotary(try .init(json))
            case "cache_append": .cacheAppend(try .init(json))
            case "matmul": .matmul(try .init(json))
            case "mask": .mask(try .init(json))
            case "softmax": .softmax(try .init(json))
            case "exponential": .exponential(try .init(json))
            case "late_attention": .lateAttention(try .init(json))
            case "lookup": .lookup(try .init(json))
            case "multiply": .multiply(try .init(json))
            case "add": .add(try .init(json))
            case "requantize": .requantize(try .init(json))
            case "hadamard": .hadamard(try .init(json))
            case "concatenate": .concatenate(try .init(json))
            case "slice": .slice(try .init(json))
            case "logits": .logits(try .init(json))
            default:
                throw kind.failure(
                    .unsupported, found: kind.value.text(), expected: "a kind of operation of this version",
                    remedy: "Use a newer Dyad, or quantise the model again with this one.")
            }
    }

    /// The name in a file.
    fileprivate var name: String {
        switch self {
        case .embed: "embed"
        case .rmsNorm: "rms_norm"
        case .layerNorm: "layer_norm"
        case .linear: "linear"
        case .rotary: "rotary"
        case .cacheAppend: "cache_append"
        case .matmul: "matmul"
        case .mask: "mask"
        case .softmax: "softmax"
        case .exponential: "exponential"
        case .lateAttention: "late_attention"
        case .lookup: "lookup"
        case .multiply: "multiply"
        case .add: "add"
        case .requantize: "requantize"
        case .hadamard: "hadamard"
        case .concatenate: "concatenate"
        case .slice: "slice"
        case .logits: "logits"
        }
    }
}
