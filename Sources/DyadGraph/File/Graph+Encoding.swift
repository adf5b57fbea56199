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
            "scale": .float(encoding.scale), "zero_point": .integer(Int(encoding.zeroPoint)),
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
            "head_dimension": .integer(headDimension), "scale": .float(encoding.scale),
            "zero_point": .integer(Int(encoding.zeroPoint)), "prefix": .optional(prefix),
        ]
    }
}
