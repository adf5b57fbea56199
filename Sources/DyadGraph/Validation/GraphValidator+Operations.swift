import DyadFormats

/// Types, shapes and constants of each kind of operation. Tensor indices are already known to be in range.
extension GraphValidator {
    func checkOperands(_ kind: Operation.Kind) throws(DyadError) {
        switch kind {
        case .embed(let o):
            let width = try activation(o.output)
            try checkConstant(o.weight, [.i8], [graph.vocabularySize, width])
            try checkConstant(o.scales, [nil], [graph.vocabularySize])
        case .rmsNorm(let o):
            guard o.bias == nil else { throw failure("a bias", "none: an rmsNorm has only a gain") }
            try checkNormalization(o)
        case .layerNorm(let o): try checkNormalization(o)
        case .linear(let o): try checkLinear(o, outputs: try activation(o.output))
        case .logits(let o): try checkLogits(o)
        case .rotary(let o): try checkRotary(o)
        case .cacheAppend(let o): try checkAppend(o)
        case .matmul(let o): try checkMatmul(o)
        case .mask(let o):
            _ = try scores(o.input)
            try same(o.input, o.output)
        case .softmax(let o): try checkProbabilities(o.output, [.u16], like: o.input)
        case .exponential(let o): try checkExponential(o)
        case .lateAttention(let o): try checkLateAttention(o)
        case .lookup(let o):
            try equal(try activation(o.output), try activation(o.input), "output channels")
            try checkConstant(o.table, [graph.tensors[o.output].type], [1 << graph.tensors[o.input].type.bitWidth])
        case .multiply(let o), .add(let o):
            let width = try activation(o.output)
            try equal(try activation(o.left), width, "channels on the left")
            try equal(try activation(o.right), width, "channels on the right")
        case .requantize(let o):
            try checkFactor(o.factor)
            let width = graph.tensors[o.input].type == .i32 ? try integers(o.input) : try activation(o.input)
            try equal(try activation(o.output), width, "output channels")
        case .hadamard(let o): try checkHadamard(o)
        case .concatenate(let o): try checkConcatenate(o)
        case .slice(let o):
            let (width, count) = (try activation(o.input), try activation(o.output))
            guard o.start >= 0, o.start <= width - count else {
                throw failure("elements \(o.start) and \(count - 1) more", "a range inside 0 ..< \(width)")
            }
            try sameEncoding(o.input, o.output)
        }
    }

    // MARK: Kinds with more to check

    private func checkNormalization(_ o: Operation.Normalization) throws(DyadError) {
        let width = try activation(o.input)
        try equal(try activation(o.output), width, "output channels")
        try check("size", o.size, in: 1...GraphLimits.normalization)
        guard width % o.size == 0 else { throw failure("size \(o.size)", "a divisor of \(width) channels") }
        guard o.epsilon.isFinite, o.epsilon >= 0 else {
            throw failure("epsilon \(o.epsilon)", "a finite number that is not negative")
        }
        if let gain = o.gain { try checkConstant(gain, [nil], [o.size]) }
        if let bias = o.bias { try checkConstant(bias, [nil], [o.size]) }
    }

    private func checkLinear(_ o: Operation.Linear, outputs: Int) throws(DyadError) {
        let inputs = try activation(o.input)
        try checkConstant(o.weight, [.i8, .i4], [outputs, inputs])
        if constants[o.weight]?.type == .i4, inputs % 2 != 0 {
            throw failure("\(inputs) input channels of 4-bit weights", "an even number")
        }
        try checkConstant(o.scales, [nil], [outputs])
        if let bias = o.bias { try checkConstant(bias, [.i32], [outputs]) }
    }

    private func checkLogits(_ o: Operation.Linear) throws(DyadError) {
        let output = graph.tensors[o.output]
        let expected = Encoding(scale: 0x1p-16, zeroPoint: 0)
        guard output.type == .i32, output.encoding == expected else {
            throw failure(
                "\(output.type) logits at scale \(output.encoding.scale), zero point \(output.encoding.zeroPoint)",
                "i32 at scale 2^-16, zero point 0")
        }
        try equal(try integers(o.output), graph.vocabularySize, "logits")
        try checkLinear(o, outputs: graph.vocabularySize)
    }

    private func checkRotary(_ o: Operation.Rotary) throws(DyadError) {
        let width = try activation(o.input)
        try equal(try activation(o.output), width, "output channels")
        try check("headDimension", o.headDimension, in: 1...GraphLimits.headDimension)
        guard width % o.headDimension == 0 else {
            throw failure("headDimension \(o.headDimension)", "a divisor of \(width) channels")
        }
        guard o.rotated > 0, o.rotated % 2 == 0, o.rotated <= o.headDimension else {
            throw failure("\(o.rotated) rotated channels", "an even number in 2 … \(o.headDimension)")
        }
        for table in [o.cosine, o.sine] { try checkConstant(table, [.i16], [graph.maximumContext, o.rotated / 2]) }
    }

    private func checkAppend(_ o: Operation.CacheAppend) throws(DyadError) {
        guard isAppended.indices.contains(o.cache) else {
            throw failure("the cache \(o.cache)", "0 ..< \(isAppended.count)")
        }
        let cache = graph.caches[o.cache]
        guard !isAppended[o.cache] else { throw failure("a second append to \(cache.name)", "one") }
        try equal(try activation(o.input), cache.keyValueHeads * cache.headDimension, "channels")
        let input = graph.tensors[o.input]
        guard input.type == .u8, input.encoding == cache.encoding else {
            throw failure(
                "\(input.name) with another type or encoding than \(cache.name)", "u8 and the cache's encoding")
        }
    }

    private func checkMatmul(_ o: Operation.Matmul) throws(DyadError) {
        try checkFactor(o.factor)
        switch o.form {
        case .queryKey:
            let width = try activation(o.input)
            let cache = try readableCache(o.cache)
            guard graph.tensors[o.input].type == .u8 else {
                throw failure("\(graph.tensors[o.input].type) queries", "u8")
            }
            guard width % cache.headDimension == 0 else {
                throw failure("\(width) query channels", "a multiple of \(cache.headDimension)")
            }
            let heads = try scores(o.output)
            try equal(heads, width / cache.headDimension, "heads of scores")
            try checkGroups(heads, cache)
        case .weightedValues:
            guard o.factor == 1 else { throw failure("the factor \(o.factor)", "1") }
            guard case .softmax? = producers[o.input]?.kind else {
                throw failure("probabilities that no softmax made", "the output of a softmax")
            }
            try checkWeighted(o.input, o.cache, o.output)
        }
    }

    private func checkExponential(_ o: Operation.Exponential) throws(DyadError) {
        try checkProbabilities(o.output, [.u8, .u16], like: o.input)
        let prefix = graph.prefixTokens.count
        guard let weights = o.prefixWeights else {
            guard prefix == 0 else { throw failure("no prefix weights", "them for \(prefix) prefix columns") }
            return
        }
        let tensor = graph.tensors[weights]
        let expected: [Dimension] = [.fixed(try scores(o.input)), .tokens, .fixed(prefix)]
        guard prefix > 0, weights != o.output, tensor.type == .u32, tensor.shape == expected,
            tensor.encoding == graph.tensors[o.output].encoding
        else {
            throw failure(
                "prefix weights \(describe(weights))", "u32 [heads, tokens, \(prefix)] in the output's encoding")
        }
    }

    private func checkLateAttention(_ o: Operation.LateAttention) throws(DyadError) {
        guard case .exponential(let source)? = producers[o.exponentials]?.kind, source.output == o.exponentials,
            source.prefixWeights == o.prefixWeights
        else {
            throw failure("exponentials and prefix weights of different origin", "both of one exponential")
        }
        try checkWeighted(o.exponentials, o.cache, o.output)
    }

    private func checkWeighted(_ rows: TensorID, _ cache: Int, _ output: TensorID) throws(DyadError) {
        guard case .fixed(let heads)? = graph.tensors[rows].shape.first else {
            throw failure(describe(rows), "[heads, tokens, context]")
        }
        let cache = try readableCache(cache)
        try checkGroups(heads, cache)
        try equal(try activation(output), heads * cache.headDimension, "output channels")
    }

    private func checkHadamard(_ o: Operation.Hadamard) throws(DyadError) {
        let width = try activation(o.input)
        try equal(try integers(o.output), width, "output channels")
        guard let matrix = HadamardMatrix(signs: o.base) else {
            throw failure(
                "a base that is no Hadamard matrix", "orthogonal rows of + and -, at most \(GraphLimits.hadamardOrder)")
        }
        try check("power", o.power, in: 1...GraphLimits.extent)
        guard o.power.nonzeroBitCount == 1, width % (matrix.order * o.power) == 0 else {
            throw failure(
                "blocks of \(matrix.order) · \(o.power)", "a power of two that makes blocks divide \(width) channels")
        }
        let input = graph.tensors[o.input]
        guard input.maximumMagnitude * UInt64(matrix.order * o.power) < 1 << 31 else {
            throw failure("sums of \(matrix.order * o.power) values of \(input.type)", "sums below 2^31")
        }
        guard graph.tensors[o.output].encoding == Encoding(scale: input.encoding.scale, zeroPoint: 0) else {
            throw failure("the output \(describe(o.output))", "the input's scale and zero point 0")
        }
    }

    private func checkConcatenate(_ o: Operation.Concatenate) throws(DyadError) {
        try check("the number of inputs", o.inputs.count, in: 1...1024)
        var width = 0
        for input in o.inputs {
            width += try activation(input)
            try sameEncoding(input, o.output)
        }
        try equal(try activation(o.output), width, "output channels")
    }

    // MARK: Shared checks

    /// The channels of a `[tokens, channels]` activation: u8, or u16 with zero point 32,768.
    private func activation(_ id: TensorID) throws(DyadError) -> Int {
        let tensor = graph.tensors[id]
        guard tensor.shape.count == 2, tensor.shape[0] == .tokens, case .fixed(let width) = tensor.shape[1],
            tensor.type == .u8 || (tensor.type == .u16 && tensor.encoding.zeroPoint == 32768)
        else {
            throw failure(describe(id), "[tokens, channels] of u8, or of u16 with zero point 32768")
        }
        return width
    }

    /// The channels of a `[tokens, channels]` i32 tensor with zero point 0.
    private func integers(_ id: TensorID) throws(DyadError) -> Int {
        let tensor = graph.tensors[id]
        guard tensor.shape.count == 2, tensor.shape[0] == .tokens, case .fixed(let width) = tensor.shape[1],
            tensor.type == .i32, tensor.encoding.zeroPoint == 0
        else {
            throw failure(describe(id), "[tokens, channels] of i32 with zero point 0")
        }
        return width
    }

    /// The heads of `[heads, tokens, context]` scores: u16 with zero point 32,768.
    private func scores(_ id: TensorID) throws(DyadError) -> Int {
        let tensor = graph.tensors[id]
        guard tensor.shape.count == 3, case .fixed(let heads) = tensor.shape[0], tensor.shape[1] == .tokens,
            tensor.shape[2] == .context, tensor.type == .u16, tensor.encoding.zeroPoint == 32768
        else {
            throw failure(describe(id), "scores [heads, tokens, context] of u16 with zero point 32768")
        }
        return heads
    }

    /// Probabilities or exponentials: the scores' shape, zero point 0, scale 1/(largest value).
    private func checkProbabilities(_ id: TensorID, _ types: [IntegerType], like input: TensorID) throws(DyadError) {
        _ = try scores(input)
        let tensor = graph.tensors[id]
        guard types.contains(tensor.type), tensor.shape == graph.tensors[input].shape,
            tensor.encoding == Encoding(scale: 1 / Float(tensor.type.range.upperBound), zeroPoint: 0)
        else {
            throw failure(
                "the output \(describe(id))",
                "the scores' shape, \(types.map(\.rawValue).joined(separator: " or ")), scale 1/255 or 1/65535, zero point 0"
            )
        }
    }

    private func readableCache(_ index: Int) throws(DyadError) -> CacheState {
        guard isAppended.indices.contains(index) else {
            throw failure("the cache \(index)", "0 ..< \(isAppended.count)")
        }
        guard isAppended[index] else {
            throw failure("a read of \(graph.caches[index].name) before its append", "the append first")
        }
        return graph.caches[index]
    }

    private func checkGroups(_ heads: Int, _ cache: CacheState) throws(DyadError) {
        guard heads % cache.keyValueHeads == 0 else {
            throw failure("\(heads) heads for \(cache.keyValueHeads) key/value heads", "a multiple")
        }
    }

    private func checkFactor(_ factor: Float) throws(DyadError) {
        guard factor.isFinite, factor > 0 else { throw failure("the factor \(factor)", "a finite positive number") }
    }

    private func equal(_ found: Int, _ expected: Int, _ what: String) throws(DyadError) {
        guard found == expected else { throw failure("\(found) \(what)", "\(expected)") }
    }

    private func same(_ input: TensorID, _ output: TensorID) throws(DyadError) {
        guard graph.tensors[input].shape == graph.tensors[output].shape else {
            throw failure("\(describe(input)) to \(describe(output))", "equal shapes")
        }
        try sameEncoding(input, output)
    }

    private func sameEncoding(_ input: TensorID, _ output: TensorID) throws(DyadError) {
        let (a, b) = (graph.tensors[input], graph.tensors[output])
        guard a.type == b.type, a.encoding == b.encoding else {
            throw failure("\(describe(input)) to \(describe(output))", "equal types and encodings")
        }
    }

    private func describe(_ id: TensorID) -> String {
        let tensor = graph.tensors[id]
        let shape = tensor.shape.map {
            switch $0 {
            case .fixed(let extent): "\(extent)"
            case .tokens: "tokens"
            case .context: "context"
            }
        }
        return "\(tensor.name): \(tensor.type) [\(shape.joined(separator: ", "))], "
            + "scale \(tensor.encoding.scale), zero point \(tensor.encoding.zeroPoint)"
    }
}
