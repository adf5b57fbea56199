import DyadGraph

/// Caches and attention: every normalisation, unequal heads and dimensions of keys and values, one cache as both, and shared
/// scores and probabilities.
extension ProgramGrammar {
    mutating func addAttention() {
        let weighing = source.oneIn(4) && !weighings.isEmpty ? source.pick(weighings) : addWeighing()
        let heads = heads(weighing.tensor)
        let fitting = graph.caches.indices.filter { heads % graph.caches[$0].keyValueHeads == 0 }
        let cache =
            !fitting.isEmpty && source.oneIn(3)
            ? source.pick(fitting)
            : addCache(heads: source.pick((1...heads).filter { heads % $0 == 0 }), dimension: headDimension())
        let output = activation(heads * graph.caches[cache].headDimension)
        append(
            weighing.isSoftmax
                ? .matmul(.init(form: .weightedValues, input: weighing.tensor, cache: cache, factor: 1, output: output))
                : .lateAttention(
                    .init(
                        exponentials: weighing.tensor, prefixWeights: weighing.prefixWeights, cache: cache,
                        output: output)))
    }

    private mutating func headDimension() -> Int { source.pick([4, 1, 2, 3, 5, 8, 16, 17]) }

    private func heads(_ id: TensorID) -> Int {
        if case .fixed(let heads)? = graph.tensors[id].shape.first { heads } else { 1 }
    }

    /// A softmax or exponentials of scores.
    private mutating func addWeighing() -> Weighing {
        let scores = source.oneIn(4) && !scores.isEmpty ? source.pick(scores) : addScores()
        let shape = graph.tensors[scores].shape
        let weighing: Weighing
        if source.oneIn(2) {
            let type: IntegerType = source.pick([.u8, .u16])
            let unit = 1 / Float(type.range.upperBound)
            let output = tensor(shape, type, unit, 0)
            let prefix = graph.prefixTokens.count
            let weights = prefix == 0 ? nil : tensor([shape[0], .tokens, .fixed(prefix)], .u32, unit, 0)
            append(.exponential(.init(input: scores, output: output, prefixWeights: weights)))
            weighing = Weighing(tensor: output, prefixWeights: weights, isSoftmax: false)
        } else {
            let output = tensor(shape, .u16, 1 / 65535, 0)
            append(.softmax(.init(input: scores, output: output)))
            weighing = Weighing(tensor: output, prefixWeights: nil, isSoftmax: true)
        }
        weighings.append(weighing)
        return weighing
    }

    private mutating func addScores() -> TensorID {
        let cache: Int
        if source.oneIn(3), !graph.caches.isEmpty {
            cache = source.choose(graph.caches.count)
        } else {
            let heads = 1 + source.choose(3)
            cache = addCache(heads: heads, dimension: headDimension())
        }
        let heads = graph.caches[cache].keyValueHeads * source.pick([1, 2, 3, 6])
        let query = activation(of: heads * graph.caches[cache].headDimension, .u8)
        let output = tensor([.fixed(heads), .tokens, .context], .u16, 12.0 / 32768, 32768)
        let choice = source.choose(8)
        let factor: Float = [0.5, 1, 0.0625, 3][choice % 4]
        append(.matmul(.init(form: .queryKey, input: query, cache: cache, factor: factor, output: output)))
        let visible = choice < 4 ? output : addCap(of: output)
        guard !source.oneIn(4) else {
            scores.append(visible)
            return visible
        }
        let masked = tensor(
            graph.tensors[output].shape, .u16, graph.tensors[visible].encoding.scale, 32768)
        append(.mask(.init(input: visible, output: masked)))
        scores.append(masked)
        // Rarely another attention takes them without the mask, or without the cap.
        if source.oneIn(4) { scores.append(choice < 4 || source.oneIn(2) ? output : visible) }
        return masked
    }

    private mutating func addCap(of scores: TensorID) -> TensorID {
        let output = tensor(graph.tensors[scores].shape, .u16, source.pick([12, 5, 1]) / 32768, 32768)
        append(.softCap(.init(input: scores, cap: source.pick([5, 0.01, 50, 4000]), output: output)))
        return output
    }

    private mutating func addCache(heads: Int, dimension: Int) -> Int {
        let input = activation(of: heads * dimension, .u8, zero: 128)
        let size = [heads, graph.prefixTokens.count, dimension]
        let prefix =
            size[1] == 0
            ? nil
            : constant(size, .u8, (0..<size.reduce(1, *)).map { _ in UInt8.random(in: 0...255, using: &random) })
        let cache = graph.caches.count
        graph.caches.append(
            CacheState(
                name: "cache\(cache)", keyValueHeads: heads, headDimension: dimension,
                encoding: graph.tensors[input].encoding, prefix: prefix))
        append(.cacheAppend(.init(input: input, cache: cache)))
        return cache
    }
}
