import DyadFormats
import DyadGraph
import DyadRuntime

/// The shape of a Llama-like decoder with random weights, whose activations stay in range as a real model's do.
struct DecoderShape: Sendable, CustomStringConvertible {
    enum Attention: Sendable, CaseIterable { case softmax, late8, late16 }

    var hidden = 48
    var layers = 2
    var heads = 3
    var keyValueHeads = 1
    var headDimension = 16
    var feedForward = 96
    var baseOrder = 12
    var vocabulary = 67
    var context = 96
    var weightBits = 8
    var attention = Attention.late8
    var prefix = 1
    /// 16-bit input of the down projection: two planes of bytes in the linear kernel.
    var wideDown = false
    var layerNorm = false
    var hasBias = false
    var seed: UInt64 = 1

    static let smolLM2 = DecoderShape(
        hidden: 576, layers: 30, heads: 9, keyValueHeads: 3, headDimension: 64, feedForward: 1536, vocabulary: 49152,
        context: 2048)

    var description: String {
        "\(layers)×\(hidden), \(heads)/\(keyValueHeads) heads of \(headDimension), ffn \(feedForward), i\(weightBits), "
            + "\(attention), prefix \(prefix)" + (wideDown ? ", wide" : "") + (layerNorm ? ", layerNorm" : "")
    }

    /// The program.
    func program() -> IntegerProgram {
        var builder = DecoderProgramBuilder(shape: self)
        return builder.build()
    }
}

private struct DecoderProgramBuilder {
    let shape: DecoderShape
    var random: RandomSource
    var graph: IntegerGraph
    var constants: [String: ConstantData] = [:]

    init(shape: DecoderShape) {
        self.shape = shape
        random = RandomSource(seed: shape.seed)
        graph = IntegerGraph(vocabularySize: shape.vocabulary, maximumContext: shape.context)
    }

    mutating func build() -> IntegerProgram {
        graph.prefixTokens = (0..<shape.prefix).map { Int32($0 + 1) }
        let half = shape.headDimension / 2
        constant("cosine", [shape.context, half], .i16, words((0..<shape.context * half).map { cosine($0, half) }))
        constant("sine", [shape.context, half], .i16, words((0..<shape.context * half).map { sine($0, half) }))
        constant("embed", [shape.vocabulary, shape.hidden], .i8, bytes(shape.vocabulary * shape.hidden))
        floats("embed.scales", Array(repeating: 1.0 / 73, count: shape.vocabulary))
        var residual = tensor("embedding", shape.hidden, .u16, scale: 32.0 / 32768, zero: 32768)
        add("embed", .embed(.init(weight: "embed", scales: "embed.scales", output: residual)))
        for layer in 0..<shape.layers { residual = block("layers.\(layer)", residual) }
        let final = norm("norm", residual)
        let logits = tensor("logits", shape.vocabulary, .i32, scale: 1.0 / 65536, zero: 0)
        add("logits", .logits(linear("head", inputs: shape.hidden, outputs: shape.vocabulary, from: final, to: logits)))
        return IntegerProgram(graph: graph, constants: constants)
    }

    mutating func block(_ name: String, _ input: TensorID) -> TensorID {
        let (queryWidth, cacheWidth) = (shape.heads * shape.headDimension, shape.keyValueHeads * shape.headDimension)
        let normed = norm(name + ".input_norm", input)
        let q = project(name + ".q", normed, shape.hidden, queryWidth, scale: 4.0 / 128, zero: 131)
        let k = project(name + ".k", normed, shape.hidden, cacheWidth, scale: 4.0 / 128, zero: 120)
        let v = project(name + ".v", normed, shape.hidden, cacheWidth, scale: 4.0 / 128, zero: 128)
        let turnedQ = rotary(name + ".q", q, queryWidth, zero: 125)
        let turnedK = rotary(name + ".k", k, cacheWidth, zero: 128)
        let (keys, values) = (cache(name + ".k_cache"), cache(name + ".v_cache"))
        add(name + ".k_append", .cacheAppend(.init(input: turnedK, cache: keys)))
        add(name + ".v_append", .cacheAppend(.init(input: v, cache: values)))
        let mixed = attention(name, turnedQ, keys, values)
        let out = project(name + ".o", mixed, queryWidth, shape.hidden, type: .u16, scale: 8.0 / 32768, zero: 32768)
        let middle = sum(name + ".attention_sum", input, out)
        let normedAgain = norm(name + ".mlp_norm", middle)
        let down = feedForward(name, normedAgain)
        return sum(name + ".mlp_sum", middle, down)
    }

    mutating func attention(_ name: String, _ q: TensorID, _ keys: Int, _ values: Int) -> TensorID {
        let square: [Dimension] = [.fixed(shape.heads), .tokens, .context]
        let (scoreScale, zero) = (Float(16.0 / 32768), Int32(32768))
        let scores = tensor(name + ".scores", square, .u16, scale: scoreScale, zero: zero)
        let masked = tensor(name + ".masked", square, .u16, scale: scoreScale, zero: zero)
        let output = tensor(name + ".mixed", shape.heads * shape.headDimension, .u8, scale: 3.0 / 128, zero: 127)
        let factor = 1 / Float(shape.headDimension).squareRoot()
        add(name + ".qk", .matmul(.init(form: .queryKey, input: q, cache: keys, factor: factor, output: scores)))
        add(name + ".mask", .mask(.init(input: scores, output: masked)))
        guard shape.attention != .softmax else {
            let p = tensor(name + ".p", square, .u16, scale: 1.0 / 65535, zero: 0)
            add(name + ".softmax", .softmax(.init(input: masked, output: p)))
            add(name + ".pv", .matmul(.init(form: .weightedValues, input: p, cache: values, factor: 1, output: output)))
            return output
        }
        let type: IntegerType = shape.attention == .late8 ? .u8 : .u16
        let unit: Float = type == .u8 ? 1.0 / 255 : 1.0 / 65535
        let e = tensor(name + ".e", square, type, scale: unit, zero: 0)
        var weights: TensorID?
        if shape.prefix > 0 {
            let columns: [Dimension] = [.fixed(shape.heads), .tokens, .fixed(shape.prefix)]
            weights = tensor(name + ".prefix_weights", columns, .u32, scale: unit, zero: 0)
        }
        add(name + ".exponential", .exponential(.init(input: masked, output: e, prefixWeights: weights)))
        add(
            name + ".late",
            .lateAttention(.init(exponentials: e, prefixWeights: weights, cache: values, output: output)))
        return output
    }

    mutating func feedForward(_ name: String, _ input: TensorID) -> TensorID {
        let width = shape.feedForward
        let gate = project(name + ".gate", input, shape.hidden, width, scale: 4.0 / 128, zero: 128)
        let up = project(name + ".up", input, shape.hidden, width, scale: 4.0 / 128, zero: 133)
        let activated = tensor(name + ".silu", width, .u8, scale: 4.0 / 255, zero: 18)
        constant(name + ".table", [256], .u8, (0..<256).map { UInt8(max(18, min(255, 18 + ($0 - 128) * 2))) })
        add(
            name + ".lookup",
            .lookup(.init(input: gate, table: name + ".table", function: "relu", output: activated)))
        let product = tensor(name + ".product", width, .u16, scale: 16.0 / 32768, zero: 32768)
        add(name + ".multiply", .multiply(.init(left: activated, right: up, output: product)))
        let rotated = tensor(name + ".rotated", width, .i32, scale: 16.0 / 32768, zero: 0)
        let rows = (0..<shape.baseOrder).map { row in
            String((0..<shape.baseOrder).map { ($0 * $0 + row * $0 + row) % 5 < 2 ? "-" : "+" as Character })
        }
        var power = 1
        while width % (shape.baseOrder * power * 2) == 0 { power *= 2 }
        add(
            name + ".hadamard",
            .hadamard(.init(input: product, base: rows, power: power, output: rotated)))
        let downInput = tensor(
            name + ".down_input", width, shape.wideDown ? .u16 : .u8, scale: shape.wideDown ? 16.0 / 32768 : 6.0 / 128,
            zero: shape.wideDown ? 32768 : 128)
        let factor = 1 / Float(shape.baseOrder * power).squareRoot()
        add(name + ".requantize", .requantize(.init(input: rotated, factor: factor, output: downInput)))
        return project(name + ".down", downInput, width, shape.hidden, type: .u16, scale: 8.0 / 32768, zero: 32768)
    }

    // MARK: Pieces

    mutating func norm(_ name: String, _ input: TensorID) -> TensorID {
        let output = tensor(name + ".output", shape.hidden, .u8, scale: 4.0 / 128, zero: 126)
        floats(name + ".gain", (0..<shape.hidden).map { _ in uniform(-0.2, 1.6) })
        var parameters = Operation.Normalization(
            input: input, gain: name + ".gain", epsilon: 1e-5, size: shape.hidden, output: output)
        if shape.layerNorm {
            floats(name + ".bias", (0..<shape.hidden).map { _ in uniform(-0.5, 0.5) })
            parameters.bias = name + ".bias"
            add(name, .layerNorm(parameters))
        } else {
            add(name, .rmsNorm(parameters))
        }
        return output
    }

    mutating func project(
        _ name: String, _ input: TensorID, _ inputs: Int, _ outputs: Int, type: IntegerType = .u8, scale: Float,
        zero: Int32
    ) -> TensorID {
        let output = tensor(name + ".output", outputs, type, scale: scale, zero: zero)
        add(name, .linear(linear(name, inputs: inputs, outputs: outputs, from: input, to: output)))
        return output
    }

    mutating func linear(
        _ name: String, inputs: Int, outputs: Int, from input: TensorID, to output: TensorID
    ) -> Operation.Linear {
        let (bits, deviation): (Int, Float) = shape.weightBits == 4 ? (4, 4.3) : (8, 73)
        if bits == 4 {
            let packed = (0..<outputs * inputs / 2).map { _ in
                UInt8(truncatingIfNeeded: (random.next(below: 15) &+ 9) & 15)
                    | UInt8(truncatingIfNeeded: ((random.next(below: 15) &+ 9) & 15) << 4)
            }
            constant(name + ".weight", [outputs, inputs], .i4, packed)
        } else {
            constant(name + ".weight", [outputs, inputs], .i8, bytes(outputs * inputs))
        }
        let typical = 1 / (deviation * Float(inputs).squareRoot())
        floats(name + ".scales", (0..<outputs).map { _ in typical * uniform(0.5, 1.5) })
        if shape.hasBias {
            let values = (0..<outputs).map { _ in UInt32(truncatingIfNeeded: Int(random.next(below: 8000)) - 4000) }
            constant(name + ".bias", [outputs], .i32, values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } })
        }
        return Operation.Linear(
            input: input, weight: name + ".weight", scales: name + ".scales", bias: shape.hasBias ? name + ".bias" : nil,
            output: output)
    }

    mutating func rotary(_ name: String, _ input: TensorID, _ width: Int, zero: Int32) -> TensorID {
        let output = tensor(name + ".turned", width, .u8, scale: 4.0 / 128, zero: zero)
        add(
            name + ".rotary",
            .rotary(
                .init(
                    input: input, cosine: "cosine", sine: "sine", headDimension: shape.headDimension,
                    rotated: shape.headDimension, output: output)))
        return output
    }

    mutating func sum(_ name: String, _ left: TensorID, _ right: TensorID) -> TensorID {
        let output = tensor(name + ".output", shape.hidden, .u16, scale: 32.0 / 32768, zero: 32768)
        add(name, .add(.init(left: left, right: right, output: output)))
        return output
    }

    mutating func cache(_ name: String) -> Int {
        var prefix: String?
        if shape.prefix > 0 {
            prefix = name + ".prefix"
            let extents = [shape.keyValueHeads, shape.prefix, shape.headDimension]
            constant(name + ".prefix", extents, .u8, bytes(extents.reduce(1, *)))
        }
        graph.caches.append(
            CacheState(
                name: name, keyValueHeads: shape.keyValueHeads, headDimension: shape.headDimension,
                encoding: Encoding(scale: 4.0 / 128, zeroPoint: 128), prefix: prefix))
        return graph.caches.count - 1
    }

    mutating func add(_ name: String, _ kind: Operation.Kind) {
        graph.operations.append(Operation(name: name, kind: kind))
    }

    mutating func tensor(_ name: String, _ width: Int, _ type: IntegerType, scale: Float, zero: Int32) -> TensorID {
        tensor(name, [.tokens, .fixed(width)], type, scale: scale, zero: zero)
    }

    mutating func tensor(
        _ name: String, _ dimensions: [Dimension], _ type: IntegerType, scale: Float, zero: Int32
    ) -> TensorID {
        graph.tensors.append(
            GraphTensor(
                name: name, shape: dimensions, type: type, encoding: Encoding(scale: scale, zeroPoint: zero)))
        return graph.tensors.count - 1
    }

    mutating func constant(_ name: String, _ extents: [Int], _ type: IntegerType?, _ bytes: [UInt8]) {
        graph.constants.append(GraphConstant(name: name, shape: extents, type: type))
        constants[name] = ConstantData(bytes)
    }

    mutating func floats(_ name: String, _ values: [Float]) {
        let bytes = values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> ($0 * 8)) } }
        constant(name, [values.count], nil, bytes)
    }

    func words(_ values: [Int16]) -> [UInt8] {
        values.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var word: UInt64 = 0
        for index in 0..<count {
            if index % 8 == 0 { word = random.next() }
            bytes[index] = UInt8(truncatingIfNeeded: word)
            word >>= 8
        }
        return bytes
    }

    mutating func uniform(_ low: Float, _ high: Float) -> Float {
        low + (high - low) * Float(random.next() >> 40) / Float(1 << 24)
    }

    /// A triangle wave stands in for the cosine: only the arithmetic matters here.
    func cosine(_ index: Int, _ half: Int) -> Int16 {
        let phase = (index / half) * (1000 / (index % half + 1)) % 4096
        return Int16(16384 - abs(phase - 2048) * 16)
    }

    func sine(_ index: Int, _ half: Int) -> Int16 { cosine(index + half * 7, half) }
}
