import DyadFormats

/// What the checks of several operations share. Tensor indices are already known to be in range.
extension GraphValidator {
    /// The channels of a `[tokens, channels]` activation: u8, or u16 with zero point 32,768.
    func activation(_ id: TensorID) throws(DyadError) -> Int {
        let tensor = graph.tensors[id]
        guard tensor.shape.count == 2, tensor.shape[0] == .tokens, case .fixed(let width) = tensor.shape[1],
            tensor.type == .u8 || (tensor.type == .u16 && tensor.encoding.zeroPoint == 32768)
        else {
            throw failure(describe(id), "[tokens, channels] of u8, or of u16 with zero point 32768")
        }
        return width
    }

    /// The channels of a `[tokens, channels]` i32 tensor with zero point 0.
    func integers(_ id: TensorID) throws(DyadError) -> Int {
        let tensor = graph.tensors[id]
        guard tensor.shape.count == 2, tensor.shape[0] == .tokens, case .fixed(let width) = tensor.shape[1],
            tensor.type == .i32, tensor.encoding.zeroPoint == 0
        else {
            throw failure(describe(id), "[tokens, channels] of i32 with zero point 0")
        }
        return width
    }

    /// The heads of `[heads, tokens, context]` scores: u16 with zero point 32,768.
    func scores(_ id: TensorID) throws(DyadError) -> Int {
        let tensor = graph.tensors[id]
        guard tensor.shape.count == 3, case .fixed(let heads) = tensor.shape[0], tensor.shape[1] == .tokens,
            tensor.shape[2] == .context, tensor.type == .u16, tensor.encoding.zeroPoint == 32768
        else {
            throw failure(describe(id), "scores [heads, tokens, context] of u16 with zero point 32768")
        }
        return heads
    }

    /// Probabilities or exponentials: the scores' shape, zero point 0, scale 1/(largest value).
    func checkProbabilities(_ id: TensorID, _ types: [IntegerType], like input: TensorID) throws(DyadError) {
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

    func readableCache(_ index: Int) throws(DyadError) -> CacheState {
        guard isAppended.indices.contains(index) else {
            throw failure("the cache \(index)", "0 ..< \(isAppended.count)")
        }
        guard isAppended[index] else {
            throw failure("a read of \(graph.caches[index].name) before its append", "the append first")
        }
        return graph.caches[index]
    }

    func checkGroups(_ heads: Int, _ cache: CacheState) throws(DyadError) {
        guard heads % cache.keyValueHeads == 0 else {
            throw failure("\(heads) heads for \(cache.keyValueHeads) key/value heads", "a multiple")
        }
    }

    /// Weights `[heads, tokens, context]` of a cache's columns, whose sums go to `output`.
    func checkWeighted(_ rows: TensorID, _ cache: Int, _ output: TensorID) throws(DyadError) {
        guard case .fixed(let heads)? = graph.tensors[rows].shape.first else {
            throw failure(describe(rows), "[heads, tokens, context]")
        }
        let cache = try readableCache(cache)
        try checkGroups(heads, cache)
        try equal(try activation(output), heads * cache.headDimension, "output channels")
    }

    func checkFactor(_ factor: Float) throws(DyadError) {
        guard factor.isFinite, factor > 0 else { throw failure("the factor \(factor)", "a finite positive number") }
    }

    func equal(_ found: Int, _ expected: Int, _ what: String) throws(DyadError) {
        guard found == expected else { throw failure("\(found) \(what)", "\(expected)") }
    }

    func same(_ input: TensorID, _ output: TensorID) throws(DyadError) {
        guard graph.tensors[input].shape == graph.tensors[output].shape else {
            throw failure("\(describe(input)) to \(describe(output))", "equal shapes")
        }
        try sameEncoding(input, output)
    }

    func sameEncoding(_ input: TensorID, _ output: TensorID) throws(DyadError) {
        let (a, b) = (graph.tensors[input], graph.tensors[output])
        guard a.type == b.type, a.encoding == b.encoding else {
            throw failure("\(describe(input)) to \(describe(output))", "equal types and encodings")
        }
    }

    func describe(_ id: TensorID) -> String {
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
