import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor

/// An integer program executed in float: every operation on dequantised values, its result quantised and dequantised on
/// the output's encoding.
///
/// This is what other tools call the quantised model. Here it only checks the integers: it reads the same graph and the
/// same constants, and must agree with them (NUMERICS, “Equality”). One window at a time, from an empty cache.
public final class SimulatedProgram {
    /// The program that is simulated.
    public let program: IntegerProgram
    private var graph: IntegerGraph { program.graph }
    /// Dequantised weights, made on first use.
    private var weights: [WeightKey: Tensor] = [:]
    private var keptBytes = 0
    /// Hadamard blocks by base and power.
    private var blocks: [BlockKey: Tensor] = [:]

    /// What decides a dequantised weight: two operations may share the integers and not the scales.
    private struct WeightKey: Hashable {
        let weight: String
        let scales: String
    }

    private struct BlockKey: Hashable {
        let base: [String]
        let power: Int
    }

    /// The float values of the tensors computed so far, and the caches.
    public struct Values {
        var tensors: [TensorID: Tensor] = [:]
        /// Keys or values by cache, `[keyValueHeads, context, headDimension]`.
        var caches: [Int: Tensor] = [:]
        let tokens: [Int32]
    }

    private let keepsWeights: Bool

    /// Wraps a validated program.
    ///
    /// - Parameter keepsWeights: whether dequantised weights are kept, as large as the float model; otherwise they are made
    ///   again for each window, which long windows do not feel.
    public init(_ program: IntegerProgram, keepsWeights: Bool = true) {
        (self.program, self.keepsWeights) = (program, keepsWeights)
    }

    /// Logits `[tokens, vocabulary]` of a window that begins after the constant prefix.
    public func logits(_ tokens: [Int32]) throws(DyadError) -> Tensor {
        var values = Values(tokens: tokens)
        var result: Tensor?
        // A tensor is dropped after its last reader, so that memory stays that of a few layers.
        let dead = graph.deadTensors
        for (index, operation) in graph.operations.enumerated() {
            let output = try withNoGrad { () throws(DyadError) -> Tensor? in try execute(operation, &values) }
            result = output ?? result
            for id in dead[index] { values.tensors[id] = nil }
        }
        guard let result else { throw missing("logits") }
        return result
    }

    /// Executes one operation and stores its outputs, rounded to their encodings; returns the main output.
    @discardableResult
    func execute(_ operation: Operation, _ values: inout Values) throws(DyadError) -> Tensor? {
        switch operation.kind {
        case .cacheAppend(let append):
            try appendToCache(append, &values)
            return nil
        case .exponential(let exponential):
            return try exponentials(exponential, &values)
        default:
            guard let output = operation.kind.outputs.first else { return nil }
            let exact = try evaluate(operation, values)
            let rounded = try round(exact, to: output)
            values.tensors[output] = rounded
            return rounded
        }
    }

    /// Rounds to a tensor's encoding; i32 tensors hold more than float32 can, and stay as they are.
    func round(_ x: Tensor, to id: TensorID) throws(DyadError) -> Tensor {
        let tensor = graph.tensors[id]
        guard tensor.type != .i32 else { return x }
        return try x.fakeQuantized(tensor.encoding, tensor.type)
    }

    /// The exact result of an operation with a single output on float inputs.
    func evaluate(_ operation: Operation, _ values: Values) throws(DyadError) -> Tensor {
        switch operation.kind {
        case .embed(let embed):
            let rows = try weight(embed.weight, scales: embed.scales)
            return try rows.embedding(Tensor(values.tokens.map { Int64($0) }))
        case .rmsNorm(let norm): return try normalize(norm, centred: false, values)
        case .layerNorm(let norm): return try normalize(norm, centred: true, values)
        case .linear(let linear), .logits(let linear):
            let x = try input(linear.input, values)
            let product = try x.linear(weight(linear.weight, scales: linear.scales))
            guard let bias = linear.bias else { return product }
            let steps = try constant(bias).to(.float64) * Double(graph.tensors[linear.input].encoding.scale)
            return try product + (steps * constant(linear.scales).to(.float64)).to(.float32)
        case .rotary(let rotary): return try rotate(rotary, values)
        case .matmul(let matmul):
            switch matmul.form {
            case .queryKey: return try scores(matmul, values)
            case .weightedValues:
                return try weighted(input(matmul.input, values), matmul.cache, values)
            }
        case .softCap(let softCap):
            return try (input(softCap.input, values) / softCap.cap).tanh() * softCap.cap
        case .mask(let mask): return try input(mask.input, values)
        case .softmax(let softmax):
            let scores = try input(softmax.input, values)
            return try (scores + hiddenTerm(scores)).softmax()
        case .lateAttention(let attention):
            let exponentials = try input(attention.exponentials, values)
            var weights = exponentials
            var sum = try exponentials.sum([-1], keepDim: true)
            if let prefix = attention.prefixWeights {
                let prefixWeights = try input(prefix, values)
                let count = try prefixWeights.size(-1)
                let columns = try exponentials.size(-1) - count
                weights = try Tensor.cat(
                    [prefixWeights, exponentials.narrow(-1, start: count, length: columns)], dim: -1)
                sum = try sum + prefixWeights.sum([-1], keepDim: true)
            }
            let total = try weighted(weights, attention.cache, values)
            // [heads, tokens, 1] to [tokens, heads · d]
            let (heads, tokens) = (try sum.size(0), try sum.size(1))
            let size = try total.size(-1) / heads
            let divisor = try sum.expand([heads, tokens, size]).permute([1, 0, 2]).reshape([tokens, heads * size])
            return try total / divisor
        case .lookup(let lookup): return try lookup.function(input(lookup.input, values))
        case .multiply(let pair): return try input(pair.left, values) * input(pair.right, values)
        case .add(let pair): return try input(pair.left, values) + input(pair.right, values)
        case .requantize(let requantize): return try input(requantize.input, values) * requantize.factor
        case .hadamard(let hadamard):
            return try rotate(input(hadamard.input, values), hadamard)
        case .concatenate(let concatenate):
            let parts = try concatenate.inputs.map { id throws(DyadError) in try input(id, values) }
            return try Tensor.cat(parts, dim: -1)
        case .slice(let slice):
            let length = fixedExtent(graph.tensors[slice.output].shape.last)
            return try input(slice.input, values).narrow(-1, start: slice.start, length: length)
        case .cacheAppend, .exponential: throw unsupported(operation, "a second output")
        }
    }

    // MARK: Attention

    private func appendToCache(_ append: Operation.CacheAppend, _ values: inout Values) throws(DyadError) {
        let cache = graph.caches[append.cache]
        let x = try input(append.input, values)
        let new = try x.reshape([-1, cache.keyValueHeads, cache.headDimension]).permute([1, 0, 2])
        guard let prefix = cache.prefix else {
            values.caches[append.cache] = new
            return
        }
        let stored = try (constant(prefix).to(.float32) - Float(128)) * cache.encoding.scale
        values.caches[append.cache] = try Tensor.cat([stored, new], dim: 1)
    }

    /// `[heads, context, d]`: the cache with each head repeated for the queries that share it.
    private func shared(_ cache: Int, heads: Int, _ values: Values) throws(DyadError) -> Tensor {
        guard let tensor = values.caches[cache] else { throw missing(graph.caches[cache].name) }
        return try tensor.repeatInterleave(heads / graph.caches[cache].keyValueHeads, dim: 0)
    }

    private func scores(_ matmul: Operation.Matmul, _ values: Values) throws(DyadError) -> Tensor {
        let x = try input(matmul.input, values)
        let size = graph.caches[matmul.cache].headDimension
        let heads = try x.size(-1) / size
        let queries = try x.reshape([-1, heads, size]).permute([1, 0, 2])
        return try queries.matmul(shared(matmul.cache, heads: heads, values).transpose()) * matmul.factor
    }

    /// −∞ where a token may not look, else 0.
    private func hiddenTerm(_ scores: Tensor) throws(DyadError) -> Tensor {
        let (tokens, context) = (try scores.size(-2), try scores.size(-1))
        let hidden = try Tensor.ones([tokens, context], dtype: .bool).triu(context - tokens + 1)
        return try Tensor.zeros([tokens, context]).maskedFill(hidden, -Float.infinity)
    }

    private func exponentials(
        _ operation: Operation.Exponential, _ values: inout Values
    ) throws(DyadError) -> Tensor {
        let (exact, prefixWeights) = try exactExponentials(operation, values)
        let rounded = try round(exact, to: operation.output)
        values.tensors[operation.output] = rounded
        if let id = operation.prefixWeights, let weights = prefixWeights {
            // u32 in the exponentials' unit: rounded, not clamped in any range that float32 resolves.
            let unit = graph.tensors[id].encoding.scale
            values.tensors[id] = try (weights / unit + 0.5).floor() * unit
        }
        return rounded
    }

    /// exp(score − m) of the token columns (prefix and masked columns 0), and of the prefix columns.
    func exactExponentials(
        _ operation: Operation.Exponential, _ values: Values
    ) throws(DyadError) -> (exponentials: Tensor, prefixWeights: Tensor?) {
        let scores = try input(operation.input, values)
        let count = graph.prefixTokens.count
        let columns = try scores.size(-1) - count
        let masked = try scores + hiddenTerm(scores)
        let tokens = try masked.narrow(-1, start: count, length: columns)
        let maximum = try tokens.amax([-1], keepDim: true)
        let exponentials = try (tokens - maximum).exp()
        guard count > 0 else { return (exponentials, nil) }
        let prefix = try (masked.narrow(-1, start: 0, length: count) - maximum).exp()
        return (try Tensor.cat([prefix.zerosLike(), exponentials], dim: -1), prefix)
    }

    /// Σ weights·V, `[heads, tokens, context]` with V to `[tokens, heads · d]`.
    private func weighted(_ weights: Tensor, _ cache: Int, _ values: Values) throws(DyadError) -> Tensor {
        let (heads, tokens) = (try weights.size(0), try weights.size(1))
        let sums = try weights.matmul(shared(cache, heads: heads, values))
        return try sums.permute([1, 0, 2]).reshape([tokens, -1])
    }

    private func rotate(_ rotary: Operation.Rotary, _ values: Values) throws(DyadError) -> Tensor {
        let x = try input(rotary.input, values)
        let (tokens, half) = (try x.size(0), rotary.rotated / 2)
        let heads = try x.reshape([tokens, -1, rotary.headDimension])
        func table(_ name: String) throws(DyadError) -> Tensor {
            let rows = try constant(name).narrow(0, start: graph.prefixTokens.count, length: tokens)
            return try (rows.to(.float32) / Float(16384)).unsqueeze(1)
        }
        let (cosine, sine) = (try table(rotary.cosine), try table(rotary.sine))
        let first = try heads.narrow(-1, start: 0, length: half)
        let second = try heads.narrow(-1, start: half, length: half)
        let rest = try heads.narrow(-1, start: rotary.rotated, length: rotary.headDimension - rotary.rotated)
        return try Tensor.cat([first * cosine - second * sine, second * cosine + first * sine, rest], dim: -1)
            .reshape(x.shape)
    }

    // MARK: Values and constants

    private func normalize(
        _ norm: Operation.Normalization, centred: Bool, _ values: Values
    ) throws(DyadError) -> Tensor {
        let x = try input(norm.input, values)
        var runs = try x.reshape([-1, norm.size])
        if centred { runs = try runs - runs.mean([-1], keepDim: true) }
        runs = try runs * (runs.square().mean([-1], keepDim: true) + norm.epsilon).rsqrt()
        if let gain = norm.gain { runs = try runs * constant(gain) }
        if let bias = norm.bias { runs = try runs + constant(bias) }
        return try runs.reshape(x.shape)
    }

    private func input(_ id: TensorID, _ values: Values) throws(DyadError) -> Tensor {
        guard let tensor = values.tensors[id] else { throw missing(graph.tensors[id].name) }
        return tensor
    }

    private func weight(_ name: String, scales: String) throws(DyadError) -> Tensor {
        let key = WeightKey(weight: name, scales: scales)
        if let known = weights[key] { return known }
        let weight = try (constant(name).to(.float32) * constant(scales).unsqueeze(1)).contiguous()
        let bytes = weight.count * MemoryLayout<Float>.stride
        if keepsWeights, keptBytes + bytes <= graph.memoryBudget {
            weights[key] = weight
            keptBytes += bytes
        }
        return weight
    }

    /// x·H. A large H, base ⊗ Sylvester, is applied as the product of two small ones: its own memory would be its order squared.
    private func rotate(_ x: Tensor, _ hadamard: Operation.Hadamard) throws(DyadError) -> Tensor {
        let (base, power) = (hadamard.base, hadamard.power)
        let order = base.count * power
        guard order > Self.largestDenseOrder else {
            return try x.reshape([-1, order]).matmul(signs(BlockHadamard(baseRows: base, power: power))).reshape(
                x.shape)
        }
        let inner = min(power, 1024)
        let outer = power / inner
        let rotated = try x.reshape([-1, base.count * outer, inner])
            .matmul(signs(BlockHadamard(baseRows: ["+"], power: inner))).transpose()
        return try rotated.matmul(signs(BlockHadamard(baseRows: base, power: outer))).transpose().reshape(x.shape)
    }

    private static let largestDenseOrder = 4096

    /// The ±1 matrix of a Hadamard block, float32.
    private func signs(_ block: BlockHadamard) throws(DyadError) -> Tensor {
        let key = BlockKey(base: block.baseRows, power: block.power)
        if let known = blocks[key] { return known }
        let matrix = try (block.matrix() * Double(block.block).squareRoot()).round().to(.float32)
        blocks[key] = matrix
        return matrix
    }

    /// A constant's integers (i4 unpacked to int8) or floats.
    func constant(_ name: String) throws(DyadError) -> Tensor {
        guard let description = graph.constant(name) else { throw missing(name) }
        let data = try program.data(of: name)
        if description.type == .i4 {
            let nibbles = data.withUnsafeBytes { bytes in
                bytes.flatMap { byte in [Int8(bitPattern: byte << 4) >> 4, Int8(bitPattern: byte) >> 4] }
            }
            let count = description.shape.reduce(1, *)
            return try Tensor(Array(nibbles.prefix(count)), shape: description.shape)
        }
        func array<Element: TensorElement>(_: Element.Type) throws(DyadError) -> Tensor {
            let values = data.withUnsafeBytes { bytes in
                [Element](unsafeUninitializedCapacity: bytes.count / MemoryLayout<Element>.size) { buffer, count in
                    UnsafeMutableRawBufferPointer(buffer).copyMemory(from: bytes)
                    count = bytes.count / MemoryLayout<Element>.size
                }
            }
            return try Tensor(values, shape: description.shape)
        }
        switch description.type {
        case nil: return try array(Float.self)
        case .u8: return try array(UInt8.self)
        case .i8: return try array(Int8.self)
        case .i16: return try array(Int16.self)
        default: return try array(Int32.self)
        }
    }

    private func fixedExtent(_ dimension: Dimension?) -> Int {
        if case .fixed(let extent)? = dimension { extent } else { 0 }
    }

    private func missing(_ name: String) -> DyadError {
        DyadError(
            .malformed, subject: name, found: "no value", expected: "one made by an earlier operation",
            remedy: "Quantise the model again; the program is damaged.")
    }

    private func unsupported(_ operation: Operation, _ what: String) -> DyadError {
        DyadError(
            .unsupported, subject: operation.name, found: what, expected: "an operation that the simulator knows",
            remedy: "Update Dyad.")
    }
}
