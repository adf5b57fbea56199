/// One step of the integer program, at the level that NPUs know.
///
/// The page Numerics gives the arithmetic of each kind; the files under `Operations` are its executable form, an operation's
/// operands, checks, parameters and meaning in one file. All multipliers follow from the encodings of the tensors named here.
public struct Operation: Equatable, Sendable {
    /// Unique, for example `layers.3.mlp.down_proj`.
    public var name: String
    /// What it does, with its operands.
    public var kind: Kind

    /// Creates an operation.
    public init(name: String, kind: Kind) {
        self.name = name
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
