import DyadFormats
import DyadGraph

/// Late division with 8-bit exponentials e, (Σ e·v + w·v₀) / (Σ e + w) with one prefix token of weight w, where a target has
/// exponentials and logarithms at 16 bit. No 16-bit tensor holds both w, which may be hundreds, and an e of 1/255, so it is done in
/// three steps:
///
/// 1. a softmax of log e over the columns behind the prefix: e / Σ e;
/// 2. their share of the row g = Σ e / (Σ e + w) = sigmoid(log Σ e − log w), where log Σ e is minus the logarithm of the largest of
///    these probabilities (its e is 1), and log w the prefix's score less the largest other one;
/// 3. v₀ + g · (Σ p·v − v₀).
///
/// Wider exponentials and longer prefixes become a softmax over all columns, as everywhere on targets that have only that.
extension StaticLowering {
    private static let unit = ValueType.quantized(.u16, Encoding(scale: 1 / 65535, zeroPoint: 0))
    /// A little more than one.
    private static let nearUnit = ValueType.quantized(.u16, Encoding(scale: 1 / 60000, zeroPoint: 0))
    /// From −16 to 0: a thousand of e⁻¹⁶ do not change a sum.
    private static let logarithm = ValueType.quantized(.u16, Encoding(scale: 16 / 65535, zeroPoint: 65535))
    /// A sigmoid beyond ±16 is 0 or 1 at 16 bit.
    private static let odds = ValueType.quantized(.u16, Encoding(scale: 16 / 32767, zeroPoint: 32768))

    mutating func lowerExponential(_ o: DyadGraph.Operation.Exponential) throws(DyadError) {
        let scores = try value(o.input)
        guard target.descriptor.hasExponentials, graph.tensors[o.output].type == .u8, prefix <= 1,
            case (.u16, let encoding) = builder.encoding(scores)
        else {
            builder.note(.softmax)
            return try lowerSoftmax(input: o.input, output: o.output)
        }
        builder.note(.lateDivision)
        var shape = builder.shape(scores)
        let axis = shape.count - 1
        shape[axis] -= prefix
        let row = Array(shape.dropLast()) + [1]
        let own = prefix == 0 ? scores : builder.slice(scores, axis: axis, start: prefix, count: shape[axis])
        let largest = builder.node(.largest, [own], row, builder.type(scores), suffix: "largest")
        // In the scores' own steps: exact.
        let distance = builder.node(
            .subtract, [own, largest], shape, .quantized(.u16, Encoding(scale: encoding.scale, zeroPoint: 65535)),
            suffix: "distance")
        let exponentials = builder.node(
            .exponential, [distance], shape, .quantized(.u8, Encoding(scale: 1 / 255, zeroPoint: 0)),
            suffix: "exponentials")

        // A logarithm right behind an exponential is fused with it on HTP, and nothing is rounded to 8 bits: a maximum stands between them. What it
        // makes of an exponential of 0 is left out by the comparison.
        let one = builder.constant("\(builder.origin).one", [1], builder.type(exponentials), [UInt8(1)])
        let positive = builder.node(
            .maximum, [exponentials, one], shape, builder.type(exponentials), suffix: "positive")
        let logarithms = builder.node(.logarithm, [positive], shape, Self.logarithm, suffix: "logarithms")
        let zero = builder.constant("\(builder.origin).zero", [1], builder.type(exponentials), [UInt8(0)])
        let nothing = builder.constant("\(builder.origin).nothing", [1], Self.logarithm, [UInt16(0)])
        let counts = builder.node(.greater, [exponentials, zero], shape, .condition, suffix: "counts")
        let kept = builder.node(.select, [counts, logarithms, nothing], shape, Self.logarithm, suffix: "kept")
        let probabilities = builder.node(.softmax, [kept], shape, Self.unit, suffix: "probabilities")
        values[o.output] = probabilities

        // HTP rounds probabilities down: of a hundred the sum lacks a thousandth, which 2 − Σ p makes up for.
        let total = builder.node(.sum, [probabilities], row, Self.nearUnit, suffix: "total")
        let two = builder.constant(
            "\(builder.origin).two", [1], .quantized(.u16, Encoding(scale: 1 / 30000, zeroPoint: 0)), [UInt16(60000)])
        let correction = builder.node(.subtract, [two, total], row, Self.nearUnit, suffix: "correction")
        guard prefix == 1 else {
            ownShares[o.output] = correction
            return
        }
        let most = builder.node(.largest, [probabilities], row, Self.unit, suffix: "most")
        let sum = builder.node(.logarithm, [most], row, Self.logarithm, suffix: "sum")
        let sink = builder.slice(scores, axis: axis, start: 0, count: 1)
        let weight = builder.node(.subtract, [largest, sink], row, Self.odds, suffix: "weight")
        let odds = builder.node(.subtract, [weight, sum], row, Self.odds, suffix: "odds")
        let share = builder.node(.sigmoid, [odds], row, Self.unit, suffix: "share")
        ownShares[o.output] = builder.node(
            .multiply, [share, correction], row, Self.nearUnit, suffix: "corrected_share")
    }

    /// v₀ + share · (rows · columns − v₀), `[1, heads, rows, size]`, at 16 bit.
    mutating func divided(
        _ rows: ValueID, _ columns: ValueID, share: ValueID, cache: CacheState, output: TensorID
    ) throws(DyadError) -> ValueID {
        let (heads, size) = (cache.keyValueHeads, cache.headDimension)
        let shape = [1, heads, builder.shape(rows)[2], size]
        let share = builder.reshape(share, [1, heads, shape[2], 1])
        func type(_ scale: Float) -> ValueType { .quantized(.u16, Encoding(scale: scale, zeroPoint: 32768)) }
        // What is averaged has the values' range.
        let averageType = type(cache.encoding.scale / 256)
        let average = builder.node(.matmul, [rows, columns], shape, averageType, suffix: "average")
        guard let name = cache.prefix else {
            return builder.node(.multiply, [average, share], shape, wideType(of: output), suffix: "product")
        }
        let stored = try program.elements(of: name, as: UInt8.self)
        let sink = builder.constant("\(name).wide", [1, heads, 1, size], averageType, stored.map { UInt16($0) * 256 })
        let difference = builder.node(
            .subtract, [average, sink], shape, type(cache.encoding.scale / 128), suffix: "difference")
        // The result less the sink's value.
        let (integers, encoding) = (graph.tensors[output].type.range, graph.tensors[output].encoding)
        let zero = Int64(encoding.zeroPoint)
        let bound = Float(max(zero - integers.lowerBound, integers.upperBound - zero)) * encoding.scale
        let sinkBound = Float(stored.map { abs(Int($0) - 128) }.max() ?? 0) * cache.encoding.scale
        let part = builder.node(
            .multiply, [difference, share], shape, type((bound + sinkBound) / 32767), suffix: "part")
        return builder.node(.add, [part, sink], shape, wideType(of: output), suffix: "product")
    }
}
