/// What an operation reads and writes, whatever its kind.
extension Operation.Kind {
    /// The tensors it reads.
    public var inputs: [TensorID] {
        switch self {
        case .embed: []
        case .rmsNorm(let o), .layerNorm(let o): [o.input]
        case .linear(let o), .logits(let o): [o.input]
        case .rotary(let o): [o.input]
        case .cacheAppend(let o): [o.input]
        case .matmul(let o): [o.input]
        case .mask(let o), .softmax(let o): [o.input]
        case .exponential(let o): [o.input]
        case .lateAttention(let o): [o.exponentials] + (o.prefixWeights.map { [$0] } ?? [])
        case .lookup(let o): [o.input]
        case .multiply(let o), .add(let o): [o.left, o.right]
        case .requantize(let o): [o.input]
        case .hadamard(let o): [o.input]
        case .concatenate(let o): o.inputs
        case .slice(let o): [o.input]
        }
    }

    /// The tensors it writes.
    public var outputs: [TensorID] {
        switch self {
        case .embed(let o): [o.output]
        case .rmsNorm(let o), .layerNorm(let o): [o.output]
        case .linear(let o), .logits(let o): [o.output]
        case .rotary(let o): [o.output]
        case .cacheAppend: []
        case .matmul(let o): [o.output]
        case .mask(let o), .softmax(let o): [o.output]
        case .exponential(let o): [o.output] + (o.prefixWeights.map { [$0] } ?? [])
        case .lateAttention(let o): [o.output]
        case .lookup(let o): [o.output]
        case .multiply(let o), .add(let o): [o.output]
        case .requantize(let o): [o.output]
        case .hadamard(let o): [o.output]
        case .concatenate(let o): [o.output]
        case .slice(let o): [o.output]
        }
    }
}
