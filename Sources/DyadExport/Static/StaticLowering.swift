import DyadFormats
import DyadGraph

/// Turns a part of an integer program into a ``StaticGraph``.
///
/// | the graph's operation | becomes |
/// |---|---|
/// | embed | rows of a u16 table, made with the program's own arithmetic |
/// | rmsNorm, layerNorm | the same with float gains; rmsNorm for HTP with u16 gains, to 16 bit, then to 8 |
/// | linear | fullyConnected; a u8 input of a u16 result is widened first, its biases with it; on HTP also for queries, keys and values |
/// | rotary | two slices, four products at u16, a sum and a difference; the cosine of the queries carries 1/√d |
/// | cacheAppend | an output i8 (u8 − 128) of the new rows; the columns are prefix, past rows (an input), new rows |
/// | queryKey, mask, softmax, weightedValues | matmul, select by the input `visible`, softmax at u16, matmul |
/// | softCap | 2·cap·sigmoid(2·x/cap) − cap at u16 |
/// | exponential, lateAttention | the same, or where the target has exponentials a softmax of their logarithms: `StaticLowering+LateDivision.swift` |
/// | lookup of SiLU | x · sigmoid(x) at u16 |
/// | hadamard and the requantize behind it | a product by the blocks, one by the base, entries ±127 |
/// | logits | fullyConnected to u16 |
///
/// Encodings that the graph does not have: widened u8 (scale/256, zero point · 256); products of the rotary embedding, the largest
/// magnitude of the input, and for a cap's sigmoid 16 at most; probabilities and sigmoids, 1/65535; the middle of the Hadamard, 1/64 of the result's step; logits, the
/// bound of Cauchy and Schwarz (the norm before the head fixes the length of its input). None comes from data.
struct StaticLowering {
    typealias ValueID = StaticGraph.ValueID
    typealias ValueType = StaticGraph.ValueType

    let program: IntegerProgram
    let shape: StaticShape
    let target: ExportTarget
    var builder = StaticBuilder()
    /// Values of the integer graph's tensors.
    var values: [TensorID: ValueID] = [:]
    /// Widened values, made once.
    private var wide: [ValueID: ValueID] = [:]
    /// The columns of a cache behind the prefix: the past ones, if there are any, and the step's, each `[1, heads, columns, size]`.
    var ownColumns: [Int: [ValueID]] = [:]
    /// The share of a row's own columns, `[heads, group, tokens, 1]`, where the prefix's is divided off; by the exponentials.
    var ownShares: [TensorID: ValueID] = [:]
    /// Rows of the rotary tables at the step's positions, by table and factor.
    var rotaryRows: [String: ValueID] = [:]
    var positions: ValueID?
    var visible: ValueID?
    /// What the queries of a score product are multiplied with, by tensor.
    var queryFactors: [TensorID: Float] = [:]
    /// Hadamards whose requantize is made with them.
    private var hadamards: [TensorID: DyadGraph.Operation.Hadamard] = [:]

    var graph: IntegerGraph { program.graph }
    var prefix: Int { graph.prefixTokens.count }
    /// The columns of a row of scores.
    var columnCount: Int { prefix + shape.context }

    private init(_ program: IntegerProgram, shape: StaticShape, target: ExportTarget) {
        (self.program, self.shape, self.target) = (program, shape, target)
    }

    /// The static form of a part.
    ///
    /// - Parameter target: decides between forms of one function where a target's own arithmetic makes a difference.
    /// - Throws: ``DyadError`` `unsupported` naming the operation that has no static form, `mismatch` for impossible shapes.
    static func lower(
        _ program: IntegerProgram, part: ProgramPart, shape: StaticShape, for target: ExportTarget
    ) throws(DyadError) -> StaticGraph {
        let capacity = program.graph.maximumContext - program.graph.prefixTokens.count
        guard shape.tokens >= 1, shape.tokens <= shape.context, shape.context <= capacity else {
            throw DyadError(
                .mismatch, subject: "shape", found: "\(shape.tokens) tokens of a context of \(shape.context)",
                expected: "1 ≤ tokens ≤ context ≤ \(capacity)",
                remedy: "Export a smaller context, or quantise with a larger one.")
        }
        var lowering = StaticLowering(program, shape: shape, target: target)
        try lowering.lower(part)
        return lowering.builder.graph
    }

    private mutating func lower(_ part: ProgramPart) throws(DyadError) {
        let operations = graph.operations.filter(part.contains)
        guard !operations.isEmpty else {
            throw DyadError(
                .usage, subject: "part", found: "no operation", expected: "layers 0 ..< \(graph.layerCount)",
                remedy: "Name layers that the model has.")
        }
        for operation in operations {
            if case .matmul(let o) = operation.kind, o.form == .queryKey { queryFactors[o.input] = o.factor }
        }
        for operation in operations {
            builder.origin = operation.name
            if let tensor = chosenRow(before: operation) { try selectRow(of: tensor) }
            try lower(operation)
        }
        let inside = Set(operations.flatMap(\.kind.outputs))
        let outside = graph.operations.filter { !part.contains($0) }.flatMap(\.kind.inputs)
        if let logits = graph.logits, let value = values[logits] { builder.output(value) }
        for tensor in Set(outside).intersection(inside).sorted() { builder.output(try value(tensor)) }
    }

    // MARK: Operands

    /// The value of a tensor: made before, or given by the host.
    mutating func value(_ tensor: TensorID) throws(DyadError) -> ValueID {
        if let value = values[tensor] { return value }
        let description = graph.tensors[tensor]
        let value = builder.input(description.name, extents(of: description), type(of: tensor))
        values[tensor] = value
        return value
    }

    mutating func wideValue(_ tensor: TensorID) throws(DyadError) -> ValueID { widened(try value(tensor)) }

    mutating func widened(_ value: ValueID) -> ValueID {
        if let made = wide[value] { return made }
        let made = builder.widen(value)
        wide[value] = made
        return made
    }

    func type(of tensor: TensorID) -> ValueType {
        .quantized(graph.tensors[tensor].type, graph.tensors[tensor].encoding)
    }

    func extents(of tensor: GraphTensor) -> [Int] {
        tensor.extents(tokens: shape.tokens, columns: columnCount)
    }

    func name(_ tensor: TensorID) -> String { graph.tensors[tensor].name }

    func unsupported(_ found: String, _ expected: String) -> DyadError {
        DyadError(
            .unsupported, subject: builder.origin, found: found, expected: expected,
            remedy: "This operation has no form on an NPU yet: quantise with another recipe.")
    }

    /// Rounds `value`, which may be at 16 bit, onto the encoding of `tensor`.
    mutating func finish(_ value: ValueID, as tensor: TensorID) {
        let reshaped = builder.reshape(value, extents(of: graph.tensors[tensor]))
        values[tensor] = builder.requantize(reshaped, to: type(of: tensor), name: name(tensor))
    }

    /// The encoding in which a result for `tensor` is computed where its inputs are at 16 bit.
    func wideType(of tensor: TensorID) -> ValueType {
        let description = graph.tensors[tensor]
        return description.type == .u8
            ? .quantized(.u16, description.encoding.widened) : .quantized(description.type, description.encoding)
    }

    // MARK: Operations

    private mutating func lower(_ operation: DyadGraph.Operation) throws(DyadError) {
        switch operation.kind {
        case .embed(let o): try lower(o)
        case .rmsNorm(let o): try lower(o, centred: false)
        case .layerNorm(let o): try lower(o, centred: true)
        case .linear(let o): try lower(o, to: type(of: o.output))
        case .logits(let o): try lower(o, to: try logitsType(o))
        case .rotary(let o): try lower(o)
        case .cacheAppend(let o): try lower(o)
        case .matmul(let o):
            switch o.form {
            case .queryKey: try lowerScores(o)
            case .weightedValues: try lowerMixture(probabilities: o.input, cache: o.cache, output: o.output)
            }
        case .softCap(let o): try lower(o)
        case .mask(let o): try lowerMask(o)
        case .softmax(let o): try lowerSoftmax(input: o.input, output: o.output)
        case .exponential(let o): try lowerExponential(o)
        case .lateAttention(let o):
            try lowerMixture(probabilities: o.exponentials, cache: o.cache, output: o.output)
        case .lookup(let o): try lower(o)
        case .multiply(let o):
            try lowerBinary(.multiply, o, widening: true)
        case .add(let o):
            try lowerBinary(.add, o, widening: graph.tensors[o.output].type != .u8)
        case .requantize(let o): try lower(o)
        case .hadamard(let o): hadamards[o.output] = o
        case .concatenate(let o):
            var inputs: [ValueID] = []
            for input in o.inputs { inputs.append(try value(input)) }
            values[o.output] = builder.concatenate(inputs, axis: 1, name: name(o.output))
        case .slice(let o):
            let shape = extents(of: graph.tensors[o.output])
            values[o.output] = builder.slice(
                try value(o.input), axis: 1, start: o.start, count: shape[1], name: name(o.output))
        }
    }

    private mutating func lower(_ o: DyadGraph.Operation.Embed) throws(DyadError) {
        let table = try program.embeddingTable(o, name: builder.origin)
        let width = extents(of: graph.tensors[o.output])[1]
        let rows = builder.constant(
            "\(builder.origin).table", [graph.vocabularySize, width], type(of: o.output), table)
        let tokens = builder.input(HostPort.tokenIDs.name, [shape.tokens], .index)
        values[o.output] = builder.node(
            .gather, [rows, tokens], [shape.tokens, width], type(of: o.output), name: name(o.output))
    }

    private mutating func lower(_ o: DyadGraph.Operation.Normalization, centred: Bool) throws(DyadError) {
        let input = try value(o.input)
        let extents = builder.shape(input)
        // Heads are normalised one by one: as rows of their own.
        let split = extents[1] == o.size ? extents : [extents[0], extents[1] / o.size, o.size]
        let ones = [Float](repeating: 1, count: o.size)
        let gains = try o.gain.map { name throws(DyadError) in try program.floats(of: name) } ?? ones
        // HTP computes in half precision unless gain and result are 16-bit integers: then it is off by a step of 16 bits at most.
        let isFine = target.isHTP && !centred
        if isFine { builder.note(.fineNorm) }
        let gainName = o.gain ?? "\(builder.origin).weight"
        var operands = [
            builder.reshape(input, split),
            isFine ? try quantizedGain(gainName, gains) : floats(gainName, gains),
        ]
        if let bias = o.bias { operands.append(floats(bias, try program.floats(of: bias))) }
        let operation: StaticGraph.Operation = centred ? .layerNorm(epsilon: o.epsilon) : .rmsNorm(epsilon: o.epsilon)
        if isFine {
            // As many rows as are given: before the head it may be one of them only.
            let wide = builder.node(operation, operands, split, wideType(of: o.output), suffix: "wide")
            values[o.output] = builder.requantize(
                builder.reshape(wide, extents), to: type(of: o.output), name: name(o.output))
        } else if split == extents {
            values[o.output] = builder.node(operation, operands, split, type(of: o.output), name: name(o.output))
        } else {
            let normalized = builder.node(operation, operands, split, type(of: o.output), suffix: "heads")
            values[o.output] = builder.reshape(normalized, extents, name: name(o.output))
        }
    }

    private mutating func floats(_ name: String, _ values: [Float]) -> ValueID {
        builder.constant(name, [values.count], .float, values.map(\.bitPattern))
    }

    private mutating func quantizedGain(_ name: String, _ gains: [Float]) throws(DyadError) -> ValueID {
        let (low, high) = (min(0, gains.min() ?? 0), max(0, gains.max() ?? 0))
        let scale = (high - low) / 65535
        guard gains.allSatisfy(\.isFinite), scale.isFinite, scale >= .leastNormalMagnitude else {
            throw unsupported("gains from \(low) to \(high)", "finite gains that are not all zero")
        }
        let zeroPoint = Int32((-low / scale).rounded())
        return builder.constant(
            name, [gains.count], .quantized(.u16, Encoding(scale: scale, zeroPoint: zeroPoint)),
            gains.map { UInt16(clamping: Int32(($0 / scale).rounded()) + zeroPoint) })
    }

    private mutating func lower(_ o: DyadGraph.Operation.Linear, to output: ValueType) throws(DyadError) {
        let given = try value(o.input)
        let isFine = output.integerType == .u8 && target.isHTP && isForAttention(o.output)
        if isFine { builder.note(.fineProjection) }
        let input = output.integerType == .u8 && !isFine ? given : widened(given)
        guard let weight = graph.constant(o.weight), let weightType = weight.type else {
            throw unsupported("no weight", "a quantised weight")
        }
        let scales = try program.floats(of: o.scales)
        var operands = [
            input,
            builder.constant(
                o.weight, weight.shape, .perRow(weightType, scales: scales), try program.data(of: o.weight)),
        ]
        let scale = builder.encoding(input).1.scale
        if o.bias != nil || isFine {
            let stored = try o.bias.map { name throws(DyadError) in try program.elements(of: name, as: Int32.self) }
            // At the scale of the input, which widening made 256 times finer.
            let factor: Int64 = input == given ? 1 : 256
            // Rounded down to 16 bits and then to the nearest of 8 is rounded to the nearest; twice to the nearest, one in 512 is not.
            let half = isFine ? Double(graph.tensors[o.output].encoding.scale) / 512 : 0
            var biases: [Int32] = []
            for (row, rowScale) in scales.enumerated() {
                // A row of almost nothing has no bias of that size.
                let exact = half / (Double(scale) * Double(rowScale))
                let shift = exact < 1e9 ? exact : 0
                let bias = Int64(stored?[row] ?? 0) * factor
                guard let scaled = Int32(exactly: (Double(bias) - shift).rounded()) else {
                    throw unsupported("the bias \(bias) of channel \(row) at 1/256 of its scale", "biases in 32 bits")
                }
                biases.append(scaled)
            }
            operands.append(
                builder.constant(
                    o.bias ?? "\(builder.origin).half", [biases.count],
                    .perRow(.i32, scales: scales.map { scale * $0 }),
                    biases))
        }
        let shape = [builder.shape(input)[0], weight.shape[0]]
        if isFine {
            finish(
                builder.node(.fullyConnected, operands, shape, wideType(of: o.output), suffix: "wide"), as: o.output)
        } else {
            values[o.output] = builder.node(.fullyConnected, operands, shape, output, name: name(o.output))
        }
    }

    /// Whether a tensor becomes queries, keys or values. On HTP one in 45 results of a u8 → u8 linear rounds otherwise than the program's;
    /// through the exponentials that is the most of what a layer's export differs by. At 16 bit, rounded behind, hardly one does.
    private func isForAttention(_ tensor: TensorID) -> Bool {
        graph.operations.contains { operation in
            switch operation.kind {
            case .rotary(let o): o.input == tensor
            case .cacheAppend(let o): o.input == tensor
            case .matmul(let o): o.input == tensor
            case .rmsNorm(let o): o.input == tensor
            case .slice(let o): o.input == tensor && isForAttention(o.output)
            default: false
            }
        }
    }

    /// What the norm before the head reads, where one row of logits is wanted: norm and head of one row cost less.
    private func chosenRow(before operation: DyadGraph.Operation) -> TensorID? {
        guard shape.logits == .one, shape.tokens > 1, let head = graph.head else { return nil }
        switch operation.kind {
        case .rmsNorm(let norm) where norm.output == head.input: return norm.input
        case .layerNorm(let norm) where norm.output == head.input: return norm.input
        default: return nil
        }
    }

    /// From here on the tensor is its row `logit_row` only.
    private mutating func selectRow(of tensor: TensorID) throws(DyadError) {
        let row = builder.input(HostPort.logitRow.name, [1], .index)
        let all = try value(tensor)
        values[tensor] = builder.node(
            .gather, [all, row], [1, builder.shape(all)[1]], builder.type(all), suffix: "row")
    }

    /// The logits at u16: |w·x| ≤ |w|·|x|, and the norm before the head bounds |x| by √n · the largest gain, plus the length of its bias.
    private func logitsType(_ o: DyadGraph.Operation.Linear) throws(DyadError) -> ValueType {
        let normalization: DyadGraph.Operation.Normalization
        switch graph.operations.first(where: { $0.kind.outputs.contains(o.input) })?.kind {
        case .rmsNorm(let norm), .layerNorm(let norm): normalization = norm
        default: throw unsupported("a head that does not follow a norm", "rmsNorm or layerNorm before the head")
        }
        let scales = try program.floats(of: o.scales)
        let weights = try program.weights(of: o.weight)
        let width = weights.count / scales.count
        var longest = 0.0
        for (row, scale) in scales.enumerated() {
            let sum = weights[row * width..<(row + 1) * width].reduce(into: 0) { $0 += Int($1) * Int($1) }
            longest = max(longest, Double(sum).squareRoot() * Double(scale))
        }
        // The stored input is the norm's output rounded: half a step a channel.
        let step = Double(graph.tensors[o.input].encoding.scale)
        var gain = 1.0, bias = 0.0
        if let name = normalization.gain { gain = try program.floats(of: name).reduce(0) { max($0, Double(abs($1))) } }
        if let name = normalization.bias {
            bias = try program.floats(of: name).reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        }
        let length = Double(width).squareRoot() * (gain + step / 2) + bias
        var largestBias = 0.0
        if let bias = o.bias {
            for (bias, scale) in zip(try program.elements(of: bias, as: Int32.self), scales) {
                largestBias = max(largestBias, abs(Double(bias)) * step * Double(scale))
            }
        }
        let bound = longest * length + largestBias
        return .quantized(.u16, Encoding(scale: Float(bound / 32767), zeroPoint: 32768))
    }

    private mutating func lower(_ o: DyadGraph.Operation.Lookup) throws(DyadError) {
        let input = try wideValue(o.input)
        let shape = builder.shape(input)
        let result = wideType(of: o.output)
        let made: ValueID
        switch o.function {
        case .silu:
            let unit = ValueType.quantized(.u16, Encoding(scale: 1 / 65535, zeroPoint: 0))
            let sigmoid = builder.node(.sigmoid, [input], shape, unit, suffix: "sigmoid")
            made = builder.node(.multiply, [input, sigmoid], shape, result, suffix: "wide")
        case .gelu: made = builder.node(.gelu(tanh: false), [input], shape, result, suffix: "wide")
        case .geluTanh: made = builder.node(.gelu(tanh: true), [input], shape, result, suffix: "wide")
        case .relu: made = builder.node(.relu, [input], shape, result, suffix: "wide")
        }
        finish(made, as: o.output)
    }

    /// cap · tanh(x/cap) as 2·cap · sigmoid(2x/cap) − cap: every target has a sigmoid at 16 bit.
    private mutating func lower(_ o: DyadGraph.Operation.SoftCap) throws(DyadError) {
        let input = try value(o.input)
        guard case .quantized(.u16, let encoding) = builder.type(input) else {
            throw unsupported("what is capped is not u16", "u16 scores or logits")
        }
        // Beyond ±16 the sigmoid is 0 or 1 at 16 bit.
        let magnitude = Float(max(encoding.zeroPoint, 65535 - encoding.zeroPoint)) * encoding.scale
        let argument = Encoding(scale: min(2 * magnitude / o.cap, 16) / 32767, zeroPoint: 32768)
        let doubled = try scaled(input, by: 2 / o.cap, to: .quantized(.u16, argument))
        let unit = Encoding(scale: 1 / 65535, zeroPoint: 0)
        let shape = builder.shape(input)
        let sigmoid = builder.node(.sigmoid, [doubled], shape, .quantized(.u16, unit), suffix: "sigmoid")
        let wide = try scaled(sigmoid, by: 2 * o.cap, to: .quantized(.u16, unit.scaled(by: 2 * o.cap)), "bound")
        let cap = builder.constant(
            "\(builder.origin).cap", [1], .quantized(.u16, Encoding(scale: o.cap / 32768, zeroPoint: 0)),
            [UInt16(32768)])
        // Logits are 32 bits wide in the program; here they are 16, as the head's.
        let result =
            graph.tensors[o.output].type == .i32
            ? .quantized(.u16, Encoding(scale: o.cap / 32767, zeroPoint: 32768)) : type(of: o.output)
        values[o.output] = builder.node(.subtract, [wide, cap], shape, result, name: name(o.output))
    }

    private mutating func lowerBinary(
        _ operation: StaticGraph.Operation, _ o: DyadGraph.Operation.Binary, widening: Bool
    ) throws(DyadError) {
        let (left, right) = (try value(o.left), try value(o.right))
        let shape = builder.shape(left)
        guard widening else {
            values[o.output] = builder.node(
                operation, [left, right], shape, type(of: o.output), name: name(o.output))
            return
        }
        let operands = [widened(left), widened(right)]
        let (exact, stored) = (wideType(of: o.output), type(of: o.output))
        guard exact != stored else {
            values[o.output] = builder.node(operation, operands, shape, stored, name: name(o.output))
            return
        }
        finish(builder.node(operation, operands, shape, exact, suffix: "wide"), as: o.output)
    }

    private mutating func lower(_ o: DyadGraph.Operation.Requantize) throws(DyadError) {
        guard let hadamard = hadamards[o.input] else {
            guard o.factor == 1 else { throw unsupported("a factor of \(o.factor)", "a factor behind a hadamard only") }
            values[o.output] = builder.requantize(try value(o.input), to: type(of: o.output), name: name(o.output))
            return
        }
        try lower(hadamard, factor: o.factor, output: o.output)
    }
}
