import DyadFormats

/// A graph as the JSON document `dyad.graph`.
///
/// Keys are in snake case; tensors and caches are referred to by position, constants by name. A scale is written as
/// the shortest decimal of the double-precision number equal to it, so reading it back gives the same bits.
extension IntegerGraph {
    /// The document. Equal graphs give equal text.
    var json: JSONValue {
        [
            "vocabulary_size": .integer(vocabularySize), "maximum_context": .integer(maximumContext),
            "prefix_tokens": .array(prefixTokens.map { .integer(Int($0)) }),
            "tensors": .array(tensors.map(\.json)), "constants": .array(constants.map(\.json)),
            "caches": .array(caches.map(\.json)), "operations": .array(operations.map(\.json)),
        ]
    }
}

/// A float32, exactly.
private func number(_ value: Float) -> JSONValue { .number(Double(value)) }

extension GraphTensor {
    fileprivate var json: JSONValue {
        let extents = shape.map { dimension -> JSONValue in
            switch dimension {
            case .fixed(let extent): .integer(extent)
            case .tokens: "tokens"
            case .context: "context"
            }
        }
        return [
            "name": .string(name), "shape": .array(extents), "type": .string(type.rawValue),
            "scale": number(encoding.scale), "zero_point": .integer(Int(encoding.zeroPoint)),
        ]
    }
}

extension GraphConstant {
    fileprivate var json: JSONValue {
        [
            "name": .string(name), "shape": .array(shape.map { .integer($0) }),
            "type": .string(type?.rawValue ?? "f32"),
        ]
    }
}

extension CacheState {
    fileprivate var json: JSONValue {
        [
            "name": .string(name), "key_value_heads": .integer(keyValueHeads),
            "head_dimension": .integer(headDimension), "scale": number(encoding.scale),
            "zero_point": .integer(Int(encoding.zeroPoint)), "prefix": prefix.map { .string($0) } ?? .null,
        ]
    }
}

extension Operation {
    fileprivate var json: JSONValue {
        let (kind, operands) = kind.json
        var object = JSONObject([("name", .string(name)), ("kind", .string(kind))])
        for (key, value) in operands where !value.isNull { object[key] = value }
        return .object(object)
    }
}

extension Operation.Kind {
    /// The kind's name and its operands; a null stands for an operand that is not there.
    fileprivate var json: (String, [(String, JSONValue)]) {
        switch self {
        case .embed(let o):
            ("embed", [("weight", .string(o.weight)), ("scales", .string(o.scales)), ("output", .integer(o.output))])
        case .rmsNorm(let o): ("rms_norm", o.json)
        case .layerNorm(let o): ("layer_norm", o.json)
        case .linear(let o): ("linear", o.json)
        case .logits(let o): ("logits", o.json)
        case .rotary(let o):
            (
                "rotary",
                [
                    ("input", .integer(o.input)), ("cosine", .string(o.cosine)), ("sine", .string(o.sine)),
                    ("head_dimension", .integer(o.headDimension)), ("rotated", .integer(o.rotated)),
                    ("output", .integer(o.output)),
                ]
            )
        case .cacheAppend(let o): ("cache_append", [("input", .integer(o.input)), ("cache", .integer(o.cache))])
        case .matmul(let o):
            (
                "matmul",
                [
                    ("form", .string(o.form == .queryKey ? "query_key" : "weighted_values")),
                    ("input", .integer(o.input)), ("cache", .integer(o.cache)), ("factor", number(o.factor)),
                    ("output", .integer(o.output)),
                ]
            )
        case .mask(let o): ("mask", o.json)
        case .softmax(let o): ("softmax", o.json)
        case .exponential(let o):
            (
                "exponential",
                [
                    ("input", .integer(o.input)), ("output", .integer(o.output)),
                    ("prefix_weights", o.prefixWeights.map { .integer($0) } ?? .null),
                ]
            )
        case .lateAttention(let o):
            (
                "late_attention",
                [
                    ("exponentials", .integer(o.exponentials)),
                    ("prefix_weights", o.prefixWeights.map { .integer($0) } ?? .null), ("cache", .integer(o.cache)),
                    ("output", .integer(o.output)),
                ]
            )
        case .lookup(let o):
            (
                "lookup",
                [
                    ("input", .integer(o.input)), ("table", .string(o.table)),
                    ("function", .string(o.function.rawValue)),
                    ("output", .integer(o.output)),
                ]
            )
        case .multiply(let o): ("multiply", o.json)
        case .add(let o): ("add", o.json)
        case .requantize(let o):
            (
                "requantize",
                [("input", .integer(o.input)), ("factor", number(o.factor)), ("output", .integer(o.output))]
            )
        case .hadamard(let o):
            (
                "hadamard",
                [
                    ("input", .integer(o.input)), ("base", .array(o.base.map { .string($0) })),
                    ("power", .integer(o.power)), ("output", .integer(o.output)),
                ]
            )
        case .concatenate(let o):
            ("concatenate", [("inputs", .array(o.inputs.map { .integer($0) })), ("output", .integer(o.output))])
        case .slice(let o):
            ("slice", [("input", .integer(o.input)), ("start", .integer(o.start)), ("output", .integer(o.output))])
        }
    }
}

extension Operation.Unary {
    fileprivate var json: [(String, JSONValue)] { [("input", .integer(input)), ("output", .integer(output))] }
}

extension Operation.Binary {
    fileprivate var json: [(String, JSONValue)] {
        [("left", .integer(left)), ("right", .integer(right)), ("output", .integer(output))]
    }
}

extension Operation.Normalization {
    fileprivate var json: [(String, JSONValue)] {
        [
            ("input", .integer(input)), ("gain", gain.map { .string($0) } ?? .null),
            ("bias", bias.map { .string($0) } ?? .null), ("epsilon", number(epsilon)), ("size", .integer(size)),
            ("output", .integer(output)),
        ]
    }
}

extension Operation.Linear {
    fileprivate var json: [(String, JSONValue)] {
        [
            ("input", .integer(input)), ("weight", .string(weight)), ("scales", .string(scales)),
            ("bias", bias.map { .string($0) } ?? .null), ("output", .integer(output)),
        ]
    }
}
