import CDyadKernels
import DyadFormats
import DyadGraph

extension PlanBuilder {
    /// Finds the operations that run as one.
    mutating func fuse() throws(DyadError) {
        for (index, operation) in graph.operations.enumerated() {
            switch operation.kind {
            case .multiply(let multiply): try fuseGated(multiply, at: index)
            case .matmul(let values) where values.form == .weightedValues: try fuseAttention(values, at: index)
            case .lateAttention(let late): try fuseAttention(late, at: index)
            default: break
            }
        }
    }

    /// `multiply` with the `hadamard` and the `requantize` that alone read its result.
    private mutating func fuseGated(_ multiply: Operation.Binary, at index: Int) throws(DyadError) {
        guard let second = onlyReader(of: multiply.output),
            case .hadamard(let hadamard) = graph.operations[second].kind,
            let third = onlyReader(of: hadamard.output), case .requantize(let requantize) = graph.operations[third].kind
        else { return }
        let gated = GatedHadamardOperation(
            multiply: try binary(multiply, .multiply, graph.operations[index].name),
            hadamard: try planned(hadamard, graph.operations[second].name),
            requantize: try planned(requantize, graph.operations[third].name))
        fuse([index, second, third], as: gated)
    }

    // MARK: Attention

    // An attention is found from its end, the product with the values, which validation ties to a softmax or to exponentials.
    // Where two of them share scores or probabilities, each computes them; the first shows them to an observer.

    private mutating func fuseAttention(_ values: Operation.Matmul, at index: Int) throws(DyadError) {
        guard let weigher = producers[values.input], case .softmax(let softmax) = graph.operations[weigher].kind else {
            throw unsupported(graph.operations[index].name, "probabilities that no softmax made", "those of a softmax")
        }
        var (attention, chain) = try scores(softmax.input, weigher)
        attention.parameters.form = Int32(bitPattern: DYAD_SOFTMAX.rawValue)
        attention.parameters.value = try graph.matmulMultiplier(values, name: graph.operations[index].name)
            .kernelRescale
        if !isFused[weigher] { attention.stages.probabilities = planned(softmax.output) }
        chain += [weigher, index]
        try finish(attention, valueCache: values.cache, output: values.output, chain)
    }

    private mutating func fuseAttention(_ late: Operation.LateAttention, at index: Int) throws(DyadError) {
        guard let weigher = producers[late.exponentials],
            case .exponential(let exponential) = graph.operations[weigher].kind
        else { throw unsupported(graph.operations[index].name, "weights that are no exponentials", "exponentials") }
        var (attention, chain) = try scores(exponential.input, weigher)
        let weights = graph.tensors[exponential.output]
        let form = weights.type == .u8 ? DYAD_LATE_DIVISION_8 : DYAD_LATE_DIVISION_16
        attention.parameters.form = Int32(bitPattern: form.rawValue)
        attention.parameters.value =
            try graph.lateAttentionMultiplier(late, name: graph.operations[index].name).kernelRescale
        if !isFused[weigher] {
            attention.stages.probabilities = PlannedTensor(exponential.output, weights, storedType: .u16)
            attention.stages.prefixWeights = exponential.prefixWeights.map { planned($0) }
        }
        chain += [weigher, index]
        try finish(attention, valueCache: late.cache, output: late.output, chain)
    }

    /// What is known of an attention before its end is.
    private struct Beginning {
        var queries: TensorID
        var keyCache: Int
        var parameters = dyad_attention()
        var cap: SoftCap?
        var stages = AttentionOperation.Internals()
    }

    /// From the scores, masked or not, that the operation `weigher` reads: back to the queries.
    private mutating func scores(
        _ id: TensorID, _ weigher: Int
    ) throws(DyadError) -> (attention: Beginning, chain: [Int]) {
        var (chain, source): ([Int], TensorID) = ([], id)
        var masked: PlannedTensor?
        if let index = producers[id], case .mask(let mask) = graph.operations[index].kind {
            (chain, source) = ([index], mask.input)
            if !isFused[index] { masked = planned(id) }
        }
        var cap: SoftCap?
        var capped: PlannedTensor?
        if let index = producers[source], case .softCap(let softCap) = graph.operations[index].kind {
            cap = try self.softCap(softCap, graph.operations[index].name)
            if !isFused[index] { capped = planned(source) }
            (chain, source) = ([index] + chain, softCap.input)
        }
        guard let index = producers[source], case .matmul(let product) = graph.operations[index].kind else {
            throw unsupported(
                graph.operations[weigher].name, "scores that are masked or capped twice, or capped behind the mask",
                "scores, at most one cap, at most one mask")
        }
        var attention = Beginning(queries: product.input, keyCache: product.cache)
        attention.cap = cap
        attention.stages.capped = capped
        if !isFused[index] { attention.stages.scores = planned(source) }
        attention.stages.masked = masked
        let (queries, cache) = (graph.tensors[product.input], graph.caches[product.cache])
        let multiplier = try graph.matmulMultiplier(product, name: graph.operations[index].name)
        attention.parameters.heads = queries.width / cache.headDimension
        attention.parameters.dimension = cache.headDimension
        attention.parameters.prefix = graph.prefixTokens.count
        attention.parameters.query = queries.format
        attention.parameters.score = multiplier.kernelRescale
        attention.parameters.score_zero = graph.tensors[source].encoding.zeroPoint
        attention.parameters.exponent =
            try graph.exponentMultiplier(ofScores: id, name: graph.operations[weigher].name).kernelRescale
        return (attention, [index] + chain)
    }

    private mutating func finish(
        _ beginning: Beginning, valueCache: Int, output: TensorID, _ chain: [Int]
    ) throws(DyadError) {
        let (keys, values) = (graph.caches[beginning.keyCache], graph.caches[valueCache])
        var attention = beginning.parameters
        attention.group = Self.commonDivisor(
            attention.heads / keys.keyValueHeads, attention.heads / values.keyValueHeads)
        attention.value_dimension = values.headDimension
        attention.output = graph.tensors[output].format
        caches[beginning.keyCache].asKeys = true
        caches[valueCache].asValues = true
        var prefixValues: [Int8] = []
        if let constant = values.prefix {
            prefixValues = try program.elements(of: constant, as: UInt8.self).map {
                Int8(truncatingIfNeeded: Int($0) - 128)
            }
        }
        let operation = try AttentionOperation(
            name: graph.operations[chain[chain.count - 1]].name, queries: beginning.queries, output: planned(output),
            keyCache: beginning.keyCache, valueCache: valueCache, parameters: attention, stages: beginning.stages,
            prefixValues: prefixValues, cap: beginning.cap)
        fuse(chain, as: operation)
    }

    private static func commonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : commonDivisor(b, a % b) }
}
