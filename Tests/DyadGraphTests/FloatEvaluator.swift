import DyadGraph

/// Evaluates one operation in float64 on the stored integers of its inputs: what the integer arithmetic approximates.
///
/// Results are in steps of the output, zero point added, neither rounded nor clamped.
struct FloatEvaluator {
    let program: IntegerProgram
    /// Stored integers by tensor.
    var values: [TensorID: [Int32]]
    /// `[column, keyValueHeads · headDimension]` by cache, in real numbers.
    var caches: [[Double]] = []
    var tokens: [Int32]
    var position: Int

    /// Stored, but exact.
    func exact(_ operation: Operation) throws -> [TensorID: [Double]] {
        let kind = operation.kind
        guard let output = kind.outputs.first else { return [:] }
        var results = [output: try real(kind)]
        if case .exponential(let o) = kind {
            let (exponentials, weights) = exponential(o)
            results = [o.output: exponentials]
            if let id = o.prefixWeights { results[id] = weights }
        }
        for (id, reals) in results {
            let encoding = program.graph.tensors[id].encoding
            results[id] = reals.map { $0 / Double(encoding.scale) + Double(encoding.zeroPoint) }
        }
        return results
    }

    func real(_ id: TensorID) -> [Double] {
        let encoding = program.graph.tensors[id].encoding
        return (values[id] ?? []).map { Double(encoding.scale) * Double($0 - encoding.zeroPoint) }
    }

    private func floats(_ name: String) throws -> [Double] { try program.floats(of: name).map(Double.init) }

    private func real(_ kind: Operation.Kind) throws -> [Double] {
        switch kind {
        case .embed(let o):
            let (weights, scales) = (try program.weights(of: o.weight), try floats(o.scales))
            let hidden = weights.count / scales.count
            return tokens.flatMap { token in
                (0..<hidden).map { Double(weights[Int(token) * hidden + $0]) * scales[Int(token)] }
            }
        case .rmsNorm(let o): return try norm(o, isLayerNorm: false)
        case .layerNorm(let o): return try norm(o, isLayerNorm: true)
        case .linear(let o), .logits(let o): return try linear(o)
        case .rotary(let o): return try rotary(o)
        case .cacheAppend: return []
        case .matmul(let o): return o.form == .queryKey ? queryKey(o) : weightedValues(o)
        case .mask(let o):
            let lowest = program.graph.tensors[o.output].encoding
            return zip(real(o.input), isVisible(count: values[o.input]?.count ?? 0)).map { score, isVisible in
                isVisible ? score : -Double(lowest.scale) * Double(lowest.zeroPoint)
            }
        case .softmax(let o):
            let scores = real(o.input)
            return rows(scores.count).flatMap { start, visible -> [Double] in
                let row = scores[start..<start + visible]
                let maximum = row.max() ?? 0
                let exponentials = row.map { exp($0 - maximum) }
                let sum = exponentials.reduce(0, +)
                return exponentials.map { $0 / sum } + [Double](repeating: 0, count: context - visible)
            }
        case .exponential: return []
        case .lateAttention(let o): return lateAttention(o)
        case .lookup(let o):
            let (table, encoding) = (try program.table(o), program.graph.tensors[o.output].encoding)
            return (values[o.input] ?? []).map { Double(encoding.scale) * Double(table[Int($0)] - encoding.zeroPoint) }
        case .multiply(let o): return zip(real(o.left), real(o.right)).map { $0 * $1 }
        case .add(let o): return zip(real(o.left), real(o.right)).map { $0 + $1 }
        case .requantize(let o): return real(o.input).map { $0 * Double(o.factor) }
        case .hadamard(let o): return hadamard(o)
        case .concatenate(let o):
            let inputs = o.inputs.map { real($0) }
            return (0..<tokens.count).flatMap { row in
                inputs.flatMap { input -> [Double] in
                    let width = input.count / tokens.count
                    return Array(input[row * width..<(row + 1) * width])
                }
            }
        case .slice(let o):
            let input = real(o.input)
            let width = input.count / tokens.count
            guard case .fixed(let count)? = program.graph.tensors[o.output].shape.last else { return [] }
            return (0..<tokens.count).flatMap { input[$0 * width + o.start..<$0 * width + o.start + count] }
        }
    }

    private func norm(_ o: Operation.Normalization, isLayerNorm: Bool) throws -> [Double] {
        let x = real(o.input)
        let gains = try o.gain.map { try floats($0) } ?? [Double](repeating: 1, count: o.size)
        let biases = try o.bias.map { try floats($0) } ?? [Double](repeating: 0, count: o.size)
        // The smallest epsilon that the integers can express: 2⁻¹⁶ of the input's squared step.
        let step = Double(program.graph.tensors[o.input].encoding.scale)
        let epsilon = max(Double(o.epsilon), step * step / 65536)
        return stride(from: 0, to: x.count, by: o.size).flatMap { start -> [Double] in
            let run = x[start..<start + o.size]
            let mean = isLayerNorm ? run.reduce(0, +) / Double(o.size) : 0
            let variance = run.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(o.size)
            return run.enumerated().map { ($1 - mean) / (variance + epsilon).squareRoot() * gains[$0] + biases[$0] }
        }
    }

    private func linear(_ o: Operation.Linear) throws -> [Double] {
        let (x, weights, scales) = (real(o.input), try program.weights(of: o.weight), try floats(o.scales))
        let inputs = weights.count / scales.count
        let bias = try o.bias.map { try program.elements(of: $0, as: Int32.self) }
        let step = Double(program.graph.tensors[o.input].encoding.scale)
        return stride(from: 0, to: x.count, by: inputs).flatMap { row in
            scales.indices.map { channel in
                let sum = (0..<inputs).reduce(0.0) { $0 + x[row + $1] * Double(weights[channel * inputs + $1]) }
                return (sum + step * Double(bias?[channel] ?? 0)) * scales[channel]
            }
        }
    }

    private func rotary(_ o: Operation.Rotary) throws -> [Double] {
        let (x, tables) = (real(o.input), try program.rotaryTables(o, name: "test"))
        let (width, half) = (x.count / tokens.count, o.rotated / 2)
        return x.indices.map { index in
            let (token, channel) = (index / width, index % width % o.headDimension)
            guard channel < o.rotated else { return x[index] }
            let row = (position + token) * half + channel % half
            let (c, s) = (Double(tables.cosine[row]) / 16384, Double(tables.sine[row]) / 16384)
            return channel < half ? x[index] * c - x[index + half] * s : x[index] * c + x[index - half] * s
        }
    }

    private func hadamard(_ o: Operation.Hadamard) -> [Double] {
        let x = real(o.input)
        let base = o.base.map { $0.utf8.map { $0 == UInt8(ascii: "+") ? 1.0 : -1.0 } }
        let size = base.count * o.power
        return x.indices.map { index in
            let (start, column) = (index - index % size, index % size)
            return (0..<size).reduce(0) { sum, row in
                let sign = (row % o.power & column % o.power).nonzeroBitCount % 2 == 0 ? 1.0 : -1.0
                return sum + x[start + row] * base[row / o.power][column / o.power] * sign
            }
        }
    }

    // MARK: Attention

    private var context: Int { position + tokens.count }

    /// Start and visible columns of every row of `[heads, tokens, context]`.
    private func rows(_ count: Int) -> [(start: Int, visible: Int)] {
        (0..<count / context).map { ($0 * context, position + $0 % tokens.count + 1) }
    }

    private func isVisible(count: Int) -> [Bool] {
        rows(count).flatMap { row in (0..<context).map { $0 < row.visible } }
    }

    private func queryKey(_ o: Operation.Matmul) -> [Double] {
        let (x, cache, description) = (real(o.input), caches[o.cache], program.graph.caches[o.cache])
        let (size, columnWidth) = (description.headDimension, description.headDimension * description.keyValueHeads)
        let heads = x.count / tokens.count / size
        return (0..<heads * tokens.count * context).map { index in
            let (head, token, column) = (
                index / context / tokens.count, index / context % tokens.count, index % context
            )
            let key = column * columnWidth + head * description.keyValueHeads / heads * size
            return (0..<size).reduce(0) { $0 + x[(token * heads + head) * size + $1] * cache[key + $1] }
                * Double(o.factor)
        }
    }

    private func weighted(_ weights: [Double], _ cacheIndex: Int) -> [Double] {
        let (cache, description) = (caches[cacheIndex], program.graph.caches[cacheIndex])
        let (size, columnWidth) = (description.headDimension, description.headDimension * description.keyValueHeads)
        let heads = weights.count / context / tokens.count
        return (0..<tokens.count * heads * size).map { index in
            let (token, head) = (index / size / heads, index / size % heads)
            let value = head * description.keyValueHeads / heads * size + index % size
            return (0..<context).reduce(0) {
                $0 + weights[(head * tokens.count + token) * context + $1] * cache[$1 * columnWidth + value]
            }
        }
    }

    private func weightedValues(_ o: Operation.Matmul) -> [Double] { weighted(real(o.input), o.cache) }

    private func exponential(_ o: Operation.Exponential) -> (exponentials: [Double], weights: [Double]) {
        let (scores, prefix) = (real(o.input), program.graph.prefixTokens.count)
        let unit = Double(program.graph.tensors[o.output].type.range.upperBound)
        var (exponentials, weights): ([Double], [Double]) = ([], [])
        for (start, visible) in rows(scores.count) {
            let maximum = scores[start + prefix..<start + visible].max() ?? 0
            let row = (0..<context).map { $0 < visible ? exp(scores[start + $0] - maximum) : 0 }
            exponentials += row.enumerated().map { $0 < prefix ? 0 : $1 }
            weights += row[..<prefix].map { min($0, Double(UInt32.max) / unit) }
        }
        return (exponentials, weights)
    }

    private func lateAttention(_ o: Operation.LateAttention) -> [Double] {
        var weights = (values[o.exponentials] ?? []).map(Double.init)
        let prefix = program.graph.prefixTokens.count
        for (row, (start, _)) in rows(weights.count).enumerated() {
            for column in 0..<prefix {
                weights[start + column] = Double(
                    UInt32(bitPattern: values[o.prefixWeights ?? -1]?[row * prefix + column] ?? 0))
            }
            let mass = weights[start..<start + context].reduce(0, +)
            for column in 0..<context { weights[start + column] /= mass }
        }
        return weighted(weights, o.cache)
    }
}
