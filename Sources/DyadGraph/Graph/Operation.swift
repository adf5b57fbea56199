import DyadFormats

/// One step of the integer program, at the level that NPUs know.
///
/// The page Numerics gives the arithmetic of each kind; the files under `Operations` are its executable form, an operation's
/// operands, checks, parameters and meaning in one file. All multipliers follow from the encodings of the tensors named here.
public struct Operation: Equatable, Sendable {
    /// Unique, for example `layers.3.mlp.down_proj`.
    public var name: String
    /// The layer it belongs to, from 0; nil for the embedding, the last norm and the head.
    public var layer: Int?
    /// What it does, with its operands.
    public var kind: Kind

    /// Creates an operation.
    public init(name: String, layer: Int? = nil, kind: Kind) {
        self.name = name
        self.layer = layer
        self.kind = kind
    }

    /// The operations.
    public enum Kind: Equatable, Sendable {
        case embed(Embed)
        case rmsNorm(Normalization)
        case layerNorm(Normalization)
        case linear(Linear)
        case rotary(Rotary)
        case cacheAppend(CacheAppend)
        case matmul(Matmul)
        case softCap(SoftCap)
        case mask(Unary)
        case softmax(Unary)
        case exponential(Exponential)
        case lateAttention(LateAttention)
        case lookup(Lookup)
        case multiply(Binary)
        case add(Binary)
        case requantize(Requantize)
        case hadamard(Hadamard)
        case concatenate(Concatenate)
        case slice(Slice)
        case logits(Linear)
    }
}

extension Operation.Kind {
    /// What the graph knows of this kind: the module's one switch over all kinds but for their names in a file.
    var definition: any OperationDefinition {
        switch self {
        case .embed(let o): o
        case .rmsNorm(let o): NormalizationDefinition(operands: o, isLayerNorm: false)
        case .layerNorm(let o): NormalizationDefinition(operands: o, isLayerNorm: true)
        case .linear(let o): LinearDefinition(operands: o, isLogits: false)
        case .rotary(let o): o
        case .cacheAppend(let o): o
        case .matmul(let o): o
        case .softCap(let o): o
        case .mask(let o): MaskDefinition(operands: o)
        case .softmax(let o): SoftmaxDefinition(operands: o)
        case .exponential(let o): o
        case .lateAttention(let o): o
        case .lookup(let o): o
        case .multiply(let o): MultiplyDefinition(operands: o)
        case .add(let o): AddDefinition(operands: o)
        case .requantize(let o): o
        case .hadamard(let o): o
        case .concatenate(let o): o
        case .slice(let o): o
        case .logits(let o): LinearDefinition(operands: o, isLogits: true)
        }
    }

    /// The tensors it reads.
    public var inputs: [TensorID] { definition.inputs }

    /// The tensors it writes.
    public var outputs: [TensorID] { definition.outputs }
}

// MARK: In a file

/// An operation in `dyad.graph`: `name`, `layer`, `kind`, and the operands that its definition names.
extension Operation {
    init(_ json: JSONField) throws(DyadError) {
        let name = try json.string("name")
        let layer = try json.optional("layer")?.integer(in: 0...GraphLimits.count - 1) ?? Self.layer(inName: name)
        self.init(name: name, layer: layer, kind: try Kind(json))
    }

    /// Early files say the layer in the name only: `layers.<number>.`
    private static func layer(inName name: String) -> Int? {
        let parts = name.split(separator: ".", maxSplits: 2)
        guard parts.count == 3, parts[0] == "layers", let number = Int(parts[1]) else { return nil }
        return (0..<GraphLimits.count).contains(number) ? number : nil
    }

    var json: JSONValue {
        var object = JSONObject([("name", .string(name)), ("kind", .string(kind.name))])
        if let layer { object["layer"] = .integer(layer) }
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
            case "soft_cap": .softCap(try .init(json))
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
        case .softCap: "soft_cap"
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
