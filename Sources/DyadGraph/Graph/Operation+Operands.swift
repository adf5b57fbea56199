<<<<<<< HEAD
extension Operation {
    /// The tensors that the operation reads, in order.
    public var inputs: [TensorID] {
        switch kind {
        case .embed: []
        case .rmsNorm(let norm), .layerNorm(let norm): [norm.input]
        case .linear(let linear), .logits(let linear): [linear.input]
        case .rotary(let rotary): [rotary.input]
        case .cacheAppend(let append): [append.input]
        case .matmul(let matmul): [matmul.input]
        case .mask(let unary), .softmax(let unary): [unary.input]
        case .exponential(let exponential): [exponential.input]
        case .lateAttention(let attention):
            [attention.exponentials] + (attention.prefixWeights.map { [$0] } ?? [])
        case .lookup(let lookup): [lookup.input]
        case .multiply(let pair), .add(let pair): [pair.left, pair.right]
        case .requantize(let requantize): [requantize.input]
        case .hadamard(let hadamard): [hadamard.input]
        case .concatenate(let concatenate): concatenate.inputs
        case .slice(let slice): [slice.input]
        }
    }

    /// The tensors that the operation writes; none for `cacheAppend`, the main one first.
    public var outputs: [TensorID] {
        switch kind {
        case .embed(let embed): [embed.output]
        case .rmsNorm(let norm), .layerNorm(let norm): [norm.output]
        case .linear(let linear), .logits(let linear): [linear.output]
        case .rotary(let rotary): [rotary.output]
        case .cacheAppend: []
        case .matmul(let matmul): [matmul.output]
        case .mask(let unary), .softmax(let unary): [unary.output]
        case .exponential(let exponential):
            [exponential.output] + (exponential.prefixWeights.map { [$0] } ?? [])
        case .lateAttention(let attention): [attention.output]
        case .lookup(let lookup): [lookup.output]
        case .multiply(let pair), .add(let pair): [pair.output]
        case .requantize(let requantize): [requantize.output]
        case .hadamard(let hadamard): [hadamard.output]
        case .concatenate(let concatenate): [concatenate.output]
        case .slice(let slice): [slice.output]
=======
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
>>>>>>> graph
        }
    }
}
