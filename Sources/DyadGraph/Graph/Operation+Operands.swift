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
        }
    }
}
