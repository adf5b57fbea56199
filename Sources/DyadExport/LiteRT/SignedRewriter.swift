import DyadFormats
import DyadGraph

/// Turns a ``StaticGraph`` into one that LiteRT's kernels take: signed integers, 16-bit ones with zero point 0.
///
/// | here | in LiteRT |
/// |---|---|
/// | u8, zero point z | i8, zero point z − 128: the same numbers |
/// | u16, zero point 32768 | i16, zero point 0: the same numbers |
/// | u16 elsewhere (widened u8, factors) | i16 at twice the scale: a widened u8 is a multiple of 128, so the same numbers |
/// | a product or a sum of 16-bit inputs with an 8-bit result | computed at 16 bit (scale/128), then rounded to 8 |
/// | keys and values as the second factor of a matmul | widened to i16 |
/// | a matmul by a constant | fullyConnected with the transposed constant |
/// | 4-bit weights | in i8: vela 5.2 ends without a message on 4-bit tensors |
/// | softmax, sigmoid | 1/32768, the only scale their 16-bit kernels write |
/// | rmsNorm | squares, means, reciprocal roots, products |
struct SignedRewriter {
    typealias ValueID = StaticGraph.ValueID
    typealias ValueType = StaticGraph.ValueType

    private let source: StaticGraph
    private var builder = StaticBuilder()
    /// The new values of the old ones.
    private var made: [ValueID: ValueID] = [:]
    /// 16-bit copies of new values.
    private var wide: [ValueID: ValueID] = [:]
    private var normalizations = 0

    private init(_ source: StaticGraph) { self.source = source }

    /// - Throws: ``DyadError`` `unsupported` naming an operation that has no integer kernel in LiteRT.
    static func rewrite(_ source: StaticGraph) throws(DyadError) -> (graph: StaticGraph, rewrites: [String]) {
        var rewriter = SignedRewriter(source)
        for id in source.inputs {
            let value = source.values[id]
            rewriter.made[id] = rewriter.builder.input(value.name, value.shape, signed(value.type))
        }
        for node in source.nodes {
            rewriter.builder.origin = node.origin
            try rewriter.add(node)
        }
        for id in source.outputs { rewriter.builder.output(rewriter.value(id)) }
        var rewrites: [String] = []
        if rewriter.normalizations > 0 {
            rewrites.append(
                "\(rewriter.normalizations) normalisations as squares, means, reciprocal roots and products")
        }
        let small = source.values.count { if case .perRow(.i4, _) = $0.type { true } else { false } }
        if small > 0 { rewrites.append("\(small) matrices of 4-bit weights in 8 bits") }
        rewriter.builder.graph.factors = source.factors
        return (rewriter.builder.graph, rewrites)
    }

    // MARK: Types and constants

    private static func signed(_ type: ValueType) -> ValueType {
        switch type {
        case .quantized(.u8, let e):
            .quantized(.i8, Encoding(scale: e.scale, zeroPoint: e.zeroPoint - 128))
        case .quantized(.u16, let e):
            .quantized(.i16, Encoding(scale: e.zeroPoint == 32768 ? e.scale : e.scale * 2, zeroPoint: 0))
        case .perRow(.i4, let scales): .perRow(.i8, scales: scales)
        case .quantized, .perRow, .float, .index, .condition: type
        }
    }

    /// The 16-bit type in which a result for an 8-bit one is computed: its differences from the zero point, 128 times as large.
    private static func widened(_ type: ValueType) -> ValueType {
        guard case .quantized(.i8, let encoding) = type else { return type }
        return .quantized(.i16, Encoding(scale: encoding.scale / 128, zeroPoint: 0))
    }

    /// The same numbers in the signed type.
    private static func signed(_ data: ConstantData, _ type: ValueType, count: Int) -> ConstantData {
        switch type {
        case .quantized(.u8, _): data.withUnsafeBytes { ConstantData($0.map { $0 ^ 0x80 }) }
        case .quantized(.u16, let encoding):
            data.withUnsafeBytes { bytes in
                let elements = stride(from: 0, to: bytes.count, by: 2).map { offset -> Int16 in
                    let stored = Int32(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
                    let number = stored - encoding.zeroPoint
                    return Int16(clamping: encoding.zeroPoint == 32768 ? number : number / 2)
                }
                return ConstantData(elements.withUnsafeBytes(Array.init))
            }
        case .perRow(.i4, _):
            data.withUnsafeBytes { bytes in
                let numbers = bytes.flatMap { [Int8(bitPattern: $0 << 4) >> 4, Int8(bitPattern: $0) >> 4] }
                return ConstantData(numbers.prefix(count).map { UInt8(bitPattern: $0) })
            }
        default: data
        }
    }

    private mutating func value(_ id: ValueID) -> ValueID {
        if let made = made[id] { return made }
        let value = source.values[id]
        guard let constant = value.constant else { preconditionFailure("\(value.name) is read before it is made") }
        let data = Self.signed(constant, value.type, count: value.shape.reduce(1, *))
        let new = builder.constant(value.name, value.shape, Self.signed(value.type), data)
        made[id] = new
        return new
    }

    private func isWide(_ id: ValueID) -> Bool { builder.type(id).integerType == .i16 }

    /// At 16 bit; made once.
    private mutating func widened(_ id: ValueID) -> ValueID {
        if isWide(id) { return id }
        if let made = wide[id] { return made }
        let made = builder.requantize(id, to: Self.widened(builder.type(id)), suffix: "wide")
        wide[id] = made
        return made
    }

    // MARK: Nodes

    private func unsupported(_ found: String) -> DyadError {
        DyadError(
            .unsupported, subject: builder.origin, found: found,
            expected: "an operation with integer kernels in LiteRT",
            remedy: "Export as onnx, or quantise a model without it.")
    }

    private mutating func add(_ node: StaticGraph.Node) throws(DyadError) {
        let output = source.values[node.output]
        var type = Self.signed(output.type)
        switch node.operation {
        case .requantize:
            made[node.output] = builder.node(
                .requantize, [value(node.inputs[0])], output.shape, type, name: output.name)
        case .gather, .reshape, .transpose, .concatenate, .slice, .select:
            // What only moves keeps its type, which may not be that of the source (probabilities).
            let inputs = node.inputs.map { value($0) }
            let moved = builder.type(node.operation == .select ? inputs[1] : inputs[0])
            made[node.output] = builder.node(node.operation, inputs, output.shape, moved, name: output.name)
        case .softmax, .sigmoid:
            type = .quantized(.i16, Encoding(scale: 1 / 32768, zeroPoint: 0))
            let inputs = node.inputs.map { value($0) }.map { widened($0) }
            made[node.output] = builder.node(node.operation, inputs, output.shape, type, name: output.name)
        case .relu, .add, .subtract, .multiply:
            var inputs = node.inputs.map { value($0) }
            if type.integerType == .i16 || inputs.contains(where: isWide) { inputs = inputs.map { widened($0) } }
            finish(node, inputs, isWide: isWide(inputs[0]))
        case .matmul:
            guard source.values[node.inputs[1]].constant == nil else { return try constantProduct(node) }
            finish(node, node.inputs.map { value($0) }.map { widened($0) }, isWide: true)
        case .fullyConnected:
            var inputs = node.inputs.prefix(2).map { value($0) }
            if node.inputs.count > 2 { inputs.append(bias(node)) }
            finish(node, inputs, isWide: isWide(inputs[0]))
        case .rmsNorm: try rmsNorm(node)
        case .layerNorm: throw unsupported("layer normalisation")
        case .gelu: throw unsupported("GELU")
        case .mean, .reciprocalRoot, .maximum, .sum, .largest, .exponential, .logarithm, .greater:
            throw unsupported("\(node.operation)")
        }
    }

    /// The node's operation on `inputs`; an 8-bit result of 16-bit inputs is rounded last.
    private mutating func finish(
        _ node: StaticGraph.Node, _ inputs: [ValueID], isWide: Bool, as operation: StaticGraph.Operation? = nil
    ) {
        let output = source.values[node.output]
        let type = Self.signed(output.type)
        let operation = operation ?? node.operation
        guard isWide, type.integerType == .i8 else {
            made[node.output] = builder.node(operation, inputs, output.shape, type, name: output.name)
            return
        }
        let exact = builder.node(operation, inputs, output.shape, Self.widened(type), suffix: "wide")
        made[node.output] = builder.requantize(exact, to: type, name: output.name)
    }

    /// Biases at the scale of the new input: a widened one is half as fine as it was.
    private mutating func bias(_ node: StaticGraph.Node) -> ValueID {
        let value = source.values[node.inputs[2]]
        guard let constant = value.constant, case .perRow(let type, let scales) = value.type,
            let old = source.values[node.inputs[0]].type.encoding,
            let new = Self.signed(source.values[node.inputs[0]].type).encoding, new.scale != old.scale
        else { return self.value(node.inputs[2]) }
        let halves = constant.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: 4).map { bytes.loadUnaligned(fromByteOffset: $0, as: Int32.self) / 2 }
        }
        return builder.constant(value.name, value.shape, .perRow(type, scales: scales.map { $0 * 2 }), halves)
    }

    /// x·W by a constant i8 matrix, as fullyConnected, which wants Wᵀ.
    private mutating func constantProduct(_ node: StaticGraph.Node) throws(DyadError) {
        let matrix = source.values[node.inputs[1]]
        guard matrix.shape.count == 2, matrix.type.integerType == .i8, let constant = matrix.constant else {
            throw unsupported("a product by a constant of shape \(matrix.shape)")
        }
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        let turned = constant.withUnsafeBytes { bytes in
            (0..<columns).flatMap { column in (0..<rows).map { bytes[$0 * columns + column] } }
        }
        let weight = builder.constant(matrix.name, [columns, rows], matrix.type, ConstantData(turned))
        let input = widened(value(node.inputs[0]))
        finish(node, [input, weight], isWide: true, as: .fullyConnected)
    }

    /// x / √mean(x²) · gain, in products of 16 bit.
    ///
    /// The mean square of a position with massive activations is a thousand times that of others, and 15 bits hold both badly. So the
    /// mean is taken twice, with steps f and 64·f, and neither is taken for less than 512 steps, below which the kernels' table of
    /// roots is coarse. The fine mean saturates at 32767·f, where the coarse one begins: one of the two is always constant, and the
    /// product of their reciprocal roots is that of the mean but for a constant, which goes into the gain. The coarse mean
    /// ends at a quarter of the largest square. A mean below 512·f counts as 512·f (a root mean square of 256 steps of the input),
    /// and epsilon, which is far smaller, is left out.
    private mutating func rmsNorm(_ node: StaticGraph.Node) throws(DyadError) {
        normalizations += 1
        let output = source.values[node.output]
        let input = widened(value(node.inputs[0]))
        let shape = builder.shape(input)
        guard let size = shape.last, let gain = source.values[node.inputs[1]].constant,
            case .quantized(_, let encoding) = builder.type(input)
        else { throw unsupported("a norm whose gain is computed") }
        let gains = gain.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: 4).map { bytes.loadUnaligned(fromByteOffset: $0, as: Float.self) }
        }
        let step = Double(encoding.scale)
        let squareStep = step * step * 32768
        let coarseStep = squareStep / 4
        // The reciprocal of the largest coarse root: the smallest coarse mean is 512 steps.
        let root = (512 * coarseStep).squareRoot()
        let squares = builder.node(.multiply, [input, input], shape, type(squareStep), suffix: "squares")
        let coarse = doubledReciprocalRoot(ofMean: squares, step: coarseStep, "coarse")
        let fine = doubledReciprocalRoot(ofMean: squares, step: coarseStep / 64, "fine")
        // Where the coarse mean is at its least, x stays the integer that it was.
        let tamed = builder.node(.multiply, [input, coarse], shape, type(2 * step / root), suffix: "tamed")
        let normalized = builder.node(
            .multiply, [tamed, fine], shape, type(4 * Double(size).squareRoot() / root / 32767), suffix: "normalized")
        let largest = gains.reduce(0) { max($0, Double(abs($1))) }
        let gainStep = max(largest * root / 4 / 32767, Double(Float.leastNormalMagnitude))
        let factors = gains.map { Int16(clamping: Int((Double($0) * root / 4 / gainStep).rounded())) }
        let factor = builder.constant(source.values[node.inputs[1]].name, [size], type(gainStep), factors)
        let result = Self.signed(output.type)
        guard result.integerType == .i8 else {
            made[node.output] = builder.node(.multiply, [normalized, factor], shape, result, name: output.name)
            return
        }
        let exact = builder.node(.multiply, [normalized, factor], shape, Self.widened(result), suffix: "wide")
        made[node.output] = builder.requantize(exact, to: result, name: output.name)
    }

    private func type(_ scale: Double) -> ValueType {
        .quantized(.i16, Encoding(scale: Float(scale), zeroPoint: 0))
    }

    /// 2/√m of a mean m over the last axis, which is held in `step`s and counts as at least 512 of them.
    ///
    /// The kernels look roots up between 512 points, up to 0.6 % wrong; one step of Newton's, r·(3 − m·r²), leaves 0.005 %.
    private mutating func doubledReciprocalRoot(
        ofMean squares: ValueID, step: Double, _ name: String
    ) -> ValueID {
        let shape = Array(builder.shape(squares).dropLast() + [1])
        let least = builder.constant("\(builder.origin).\(name)_least", [1], type(step), [Int16(512)])
        let measured = builder.node(.mean, [squares], shape, type(step), suffix: "\(name)_mean")
        let mean = builder.node(.maximum, [measured, least], shape, type(step), suffix: "\(name)_bounded")
        let largest = 1 / (512 * step).squareRoot()
        let guess = builder.node(.reciprocalRoot, [mean], shape, type(largest / 32767), suffix: "\(name)_guess")
        let root = builder.node(
            .multiply, [mean, guess], shape, type((32767 * step).squareRoot() / 32767), suffix: "\(name)_root")
        let one = builder.node(.multiply, [root, guess], shape, type(2 / 32767.0), suffix: "\(name)_one")
        let three = builder.constant("\(builder.origin).\(name)_three", [1], type(3 / 24576.0), [Int16(24576)])
        let correction = builder.node(.subtract, [three, one], shape, type(4 / 32767.0), suffix: "\(name)_correction")
        return builder.node(
            .multiply, [guess, correction], shape, type(2 * largest / 32767), suffix: "\(name)_reciprocal")
    }
}
