import CDyadKernels
import DyadFormats
import DyadGraph

extension PlanBuilder {
    /// `multiply` alone, or with the `hadamard` and the `requantize` that alone read its result.
    mutating func addGated(_ multiply: Operation.Binary, at index: Int) throws(DyadError) {
        let first = try binary(multiply, .multiply, graph.operations[index].name)
        guard let second = onlyReader(of: multiply.output),
            case .hadamard(let hadamard) = graph.operations[second].kind,
            let third = onlyReader(of: hadamard.output), case .requantize(let requantize) = graph.operations[third].kind
        else {
            append(first, fusing: [])
            return
        }
        let gated = GatedHadamardOperation(
            multiply: first, hadamard: try planned(hadamard, graph.operations[second].name),
            requantize: try planned(requantize, graph.operations[third].name))
        append(gated, fusing: [second, third])
    }

    /// Everything from the scores to the weighted values as one operation.
    mutating func addAttention(_ scores: Operation.Matmul, at index: Int) throws(DyadError) {
        let name = graph.operations[index].name
        let shape = "scores, mask and either softmax and values or exponentials and late attention, each read once"
        guard scores.form == .queryKey, let next = onlyReader(of: scores.output) else {
            throw unsupported(name, "another use of a product with a cache", shape)
        }
        var fused: [Int] = []
        var (weigher, masked): (Int, TensorID?) = (next, nil)
        var scoreID = scores.output
        if case .mask(let mask) = graph.operations[next].kind {
            guard let after = onlyReader(of: mask.output) else {
                throw unsupported(graph.operations[next].name, "masked scores with several readers", shape)
            }
            fused.append(next)
            (weigher, masked, scoreID) = (after, mask.output, mask.output)
        }
        fused.append(weigher)
        var stages = AttentionOperation.Internals(
            scores: planned(scores.output), masked: masked.map { planned($0) }, probabilities: planned(scores.output))
        var attention = try geometry(scores, name)
        let weigherName = graph.operations[weigher].name
        attention.exponent = try graph.exponentMultiplier(ofScores: scoreID, name: weigherName).kernelRescale

        switch graph.operations[weigher].kind {
        case .softmax(let softmax):
            guard let last = onlyReader(of: softmax.output), case .matmul(let values) = graph.operations[last].kind,
                values.form == .weightedValues
            else { throw unsupported(weigherName, "probabilities that do not weigh values", shape) }
            attention.form = Int32(bitPattern: DYAD_SOFTMAX.rawValue)
            attention.value = try graph.matmulMultiplier(values, name: graph.operations[last].name).kernelRescale
            stages.probabilities = PlannedTensor(softmax.output, graph.tensors[softmax.output])
            try finish(
                attention, stages, scores: scores, valueCache: values.cache, output: values.output, last: last,
                fused: fused)
        case .exponential(let exponential):
            guard let last = onlyReader(of: exponential.output),
                case .lateAttention(let late) = graph.operations[last].kind,
                late.prefixWeights == exponential.prefixWeights,
                exponential.prefixWeights.map({ onlyReader(of: $0) == last }) ?? true
            else { throw unsupported(weigherName, "exponentials that do not weigh values", shape) }
            let output = graph.tensors[exponential.output]
            let form = output.type == .u8 ? DYAD_LATE_DIVISION_8 : DYAD_LATE_DIVISION_16
            attention.form = Int32(bitPattern: form.rawValue)
            attention.value = try graph.lateAttentionMultiplier(late, name: graph.operations[last].name).kernelRescale
            stages.probabilities = PlannedTensor(exponential.output, output, storedType: .u16)
            stages.prefixWeights = exponential.prefixWeights.map { planned($0) }
            try finish(
                attention, stages, scores: scores, valueCache: late.cache, output: late.output, last: last, fused: fused
            )
        default:
            throw unsupported(weigherName, "scores that go to another operation", shape)
        }
    }

    private func geometry(_ scores: Operation.Matmul, _ name: String) throws(DyadError) -> dyad_attention {
        let (queries, score) = (graph.tensors[scores.input], graph.tensors[scores.output])
        let cache = graph.caches[scores.cache]
        guard queries.type == .u8, score.type == .u16 else {
            throw unsupported(
                name, "queries \(queries.type.rawValue) and scores \(score.type.rawValue)", "queries u8 and scores u16")
        }
        var attention = dyad_attention()
        attention.heads = queries.width / cache.headDimension
        attention.key_value_heads = cache.keyValueHeads
        attention.dimension = cache.headDimension
        attention.prefix = graph.prefixTokens.count
        attention.query_zero = queries.encoding.zeroPoint
        attention.score = try graph.matmulMultiplier(scores, name: name).kernelRescale
        attention.score_zero = score.encoding.zeroPoint
        return attention
    }

    private mutating func finish(
        _ attention: dyad_attention, _ stages: AttentionOperation.Internals, scores: Operation.Matmul, valueCache: Int,
        output: TensorID, last: Int, fused: [Int]
    ) throws(DyadError) {
        let cache = graph.caches[valueCache]
        let name = graph.operations[last].name
        guard cache.keyValueHeads == attention.key_value_heads else {
            throw unsupported(
                name, "\(cache.keyValueHeads) value heads", "\(attention.key_value_heads), as for the keys")
        }
        var attention = attention
        attention.value_dimension = cache.headDimension
        attention.output = graph.tensors[output].format
        caches[scores.cache].asKeys = true
        caches[valueCache].asValues = true
        var prefixValues: [Int8] = []
        if let constant = cache.prefix {
            prefixValues = try program.elements(of: constant, as: UInt8.self).map {
                Int8(truncatingIfNeeded: Int($0) - 128)
            }
        }
        let operation = try AttentionOperation(
            name: name, queries: scores.input, output: planned(output), keyCache: scores.cache, valueCache: valueCache,
            parameters: attention, stages: stages, prefixValues: prefixValues)
        append(operation, fusing: fused + [last])
    }
}
