import DyadFormats
import DyadGraph

/// Rotary embedding, caches, attention and the online Hadamard.
extension StaticLowering {
    mutating func lower(_ o: DyadGraph.Operation.Rotary) throws(DyadError) {
        let factor = queryFactors[o.output] ?? 1
        let (size, half) = (o.headDimension, o.rotated / 2)
        let given = try wideValue(o.input)
        let (_, encoding) = builder.encoding(given)
        let extents = builder.shape(given)
        let heads = builder.reshape(given, [shape.tokens, extents[1] / size, size])
        let cosine = try rotaryRow(o.cosine, factor), sine = try rotaryRow(o.sine, factor)

        // |x| · factor is the largest magnitude of a product: the tables hold at most 1.
        let magnitude = Float(max(encoding.zeroPoint, 65535 - encoding.zeroPoint)) * encoding.scale * factor
        let productType = ValueType.quantized(.u16, Encoding(scale: magnitude / 32767, zeroPoint: 32768))
        let output = scaledType(of: o.output, by: factor)
        let partShape = [shape.tokens, extents[1] / size, half]
        let first = builder.slice(heads, axis: 2, start: 0, count: half)
        let second = builder.slice(heads, axis: 2, start: half, count: half)
        func product(_ builder: inout StaticBuilder, _ x: ValueID, _ table: ValueID) -> ValueID {
            builder.node(.multiply, [x, table], partShape, productType, suffix: "product")
        }
        let a = product(&builder, first, cosine), b = product(&builder, second, sine)
        let c = product(&builder, second, cosine), d = product(&builder, first, sine)
        var parts = [
            builder.node(.subtract, [a, b], partShape, output.wide, suffix: "first"),
            builder.node(.add, [c, d], partShape, output.wide, suffix: "second"),
        ]
        if o.rotated < size {
            let rest = builder.slice(heads, axis: 2, start: o.rotated, count: size - o.rotated)
            parts.append(try scaled(rest, by: factor, to: output.wide))
        }
        let joined = builder.reshape(builder.concatenate(parts, axis: 2), extents)
        if factor != 1 { builder.graph.factors[name(o.output)] = factor }
        values[o.output] = builder.requantize(joined, to: output.narrow, name: name(o.output))
    }

    /// The encoding of a tensor whose real values are multiplied by `factor`: as stored, and at 16 bit.
    private func scaledType(of tensor: TensorID, by factor: Float) -> (narrow: ValueType, wide: ValueType) {
        let (type, encoding) = (graph.tensors[tensor].type, graph.tensors[tensor].encoding.scaled(by: factor))
        return (
            .quantized(type, encoding),
            type == .u8 ? .quantized(.u16, encoding.widened) : .quantized(type, encoding)
        )
    }

    /// A value times a constant, at the encoding `type`.
    mutating func scaled(
        _ value: ValueID, by factor: Float, to type: ValueType, _ suffix: String = "factor"
    ) throws(DyadError) -> ValueID {
        guard factor != 1 else { return builder.requantize(value, to: type) }
        let one = Encoding(scale: factor / 32768, zeroPoint: 0)
        let constant = builder.constant(
            "\(builder.origin).\(suffix)", [1], .quantized(.u16, one), [UInt16(32768)])
        return builder.node(.multiply, [value, constant], builder.shape(value), type, suffix: "scaled")
    }

    /// The rows of a table at the step's positions, `[tokens, 1, rotated/2]`, times `factor`: Q1.14 as u16 with zero point 32768.
    private mutating func rotaryRow(_ table: String, _ factor: Float) throws(DyadError) -> ValueID {
        let key = factor == 1 ? table : "\(table).scaled_by_\(factor)"
        if let made = rotaryRows[key] { return made }
        guard let half = graph.constant(table)?.shape.last else { throw unsupported("no table", "a rotary table") }
        let entries = try program.elements(of: table, as: Int16.self).map { UInt16(Int32($0) + 32768) }
        let type = ValueType.quantized(.u16, Encoding(scale: factor / 16384, zeroPoint: 32768))
        let constant = builder.constant(key, [entries.count / half, half], type, entries)
        let positions = self.positions ?? builder.input(HostPort.positionIDs.name, [shape.tokens], .index)
        self.positions = positions
        let origin = builder.origin
        builder.origin = key  // shared by all layers
        let rows = builder.node(.gather, [constant, positions], [shape.tokens, half], type, suffix: "rows")
        let made = builder.reshape(rows, [shape.tokens, 1, half])
        builder.origin = origin
        rotaryRows[key] = made
        return made
    }

    mutating func lower(_ o: DyadGraph.Operation.CacheAppend) throws(DyadError) {
        let cache = graph.caches[o.cache]
        let type = ValueType.quantized(.i8, Encoding(scale: cache.encoding.scale, zeroPoint: 0))
        let (heads, size) = (cache.keyValueHeads, cache.headDimension)
        // u8 with zero point 128 to i8: the same numbers, 128 less.
        let rows = builder.reshape(try value(o.input), [shape.tokens, heads, size])
        let turned = builder.reshape(builder.transpose(rows, [1, 0, 2]), [1, heads, shape.tokens, size])
        let new = builder.requantize(turned, to: type, name: HostPort.newRows(cache: cache.name).name)
        builder.output(new)
        var own: [ValueID] = []
        if shape.past > 0 {
            let past = HostPort.pastRows(cache: cache.name).name
            own.append(builder.input(past, [1, heads, shape.past, size], type))
        }
        own.append(new)
        ownColumns[o.cache] = own
    }

    /// All columns of a cache, or those behind the prefix: `[1, heads, columns, size]`.
    private mutating func cacheColumns(_ index: Int, own isOwn: Bool) throws(DyadError) -> ValueID {
        guard var parts = ownColumns[index] else {
            throw unsupported("attention before its keys and values are appended", "cacheAppend first")
        }
        let cache = graph.caches[index]
        if !isOwn, let name = cache.prefix {
            let bytes = try program.elements(of: name, as: UInt8.self).map { Int8(truncatingIfNeeded: Int($0) - 128) }
            parts.insert(
                builder.constant(
                    name, [1, cache.keyValueHeads, prefix, cache.headDimension], builder.type(parts[0]), bytes), at: 0)
        }
        return builder.concatenate(parts, axis: 2)
    }

    /// Scores `[kv, group, tokens, columns]`: the heads of a group are rows of one product.
    mutating func lowerScores(_ o: DyadGraph.Operation.Matmul) throws(DyadError) {
        let cache = graph.caches[o.cache]
        let (heads, size) = (cache.keyValueHeads, cache.headDimension)
        let keys = builder.transpose(try cacheColumns(o.cache, own: false), [0, 1, 3, 2])
        var queries = try value(o.input)
        // The rotary embedding has carried the factor in; without one it is a product of its own.
        if builder.encoding(queries).1 == graph.tensors[o.input].encoding, o.factor != 1 {
            let type = scaledType(of: o.input, by: o.factor).wide
            queries = try scaled(widened(queries), by: o.factor, to: type)
        }
        queries = widened(queries)
        let all = builder.shape(queries)[1] / size
        let rows = builder.reshape(
            builder.transpose(builder.reshape(queries, [shape.tokens, all, size]), [1, 0, 2]),
            [1, heads, all / heads * shape.tokens, size])
        let scores = builder.node(
            .matmul, [rows, keys], [1, heads, all / heads * shape.tokens, columnCount], type(of: o.output),
            suffix: "product")
        values[o.output] = builder.reshape(
            scores, [heads, all / heads, shape.tokens, columnCount], name: name(o.output))
    }

    mutating func lowerMask(_ o: DyadGraph.Operation.Unary) throws(DyadError) {
        let extents = [1, 1, shape.tokens, columnCount]
        let visible = self.visible ?? builder.input(HostPort.visible.name, extents, .condition)
        self.visible = visible
        let input = try value(o.input)
        guard case .quantized(.u16, let encoding) = builder.type(input) else {
            throw unsupported("scores that are not u16", "u16 scores")
        }
        // What was seen in calibration uses half of the range. Of small scores the other half is not low enough for a mask.
        let type = ValueType.quantized(
            .u16, Encoding(scale: max(encoding.scale, Self.maskDepth / 32768), zeroPoint: encoding.zeroPoint))
        if builder.type(input) != type { builder.note(.deepMask) }
        let scores = builder.type(input) == type ? input : builder.requantize(input, to: type)
        let lowest = builder.constant("\(builder.origin).lowest", [1], type, [UInt16(0)])
        values[o.output] = builder.node(
            .select, [visible, scores, lowest], builder.shape(input), type, name: name(o.output))
    }

    /// How far the mask's score is below zero, at least.
    private static let maskDepth: Float = 32

    mutating func lowerSoftmax(input: TensorID, output: TensorID) throws(DyadError) {
        let scores = try value(input)
        values[output] = builder.node(
            .softmax, [scores], builder.shape(scores),
            .quantized(.u16, Encoding(scale: 1 / 65535, zeroPoint: 0)), suffix: "probabilities")
    }

    mutating func lowerMixture(probabilities: TensorID, cache index: Int, output: TensorID) throws(DyadError) {
        let cache = graph.caches[index]
        let (heads, size) = (cache.keyValueHeads, cache.headDimension)
        let weights = try value(probabilities)
        let extents = builder.shape(weights)
        let rows = builder.reshape(weights, [1, heads, extents[1] * shape.tokens, extents[3]])
        let columns = try cacheColumns(index, own: extents[3] < columnCount)
        let mixed: ValueID
        if let share = ownShares[probabilities] {
            mixed = try divided(rows, columns, share: share, cache: cache, output: output)
        } else {
            mixed = builder.node(
                .matmul, [rows, columns], [1, heads, extents[1] * shape.tokens, size],
                target.isHTP ? wideType(of: output) : type(of: output), suffix: "product")
        }
        let turned = builder.transpose(builder.reshape(mixed, [heads * extents[1], shape.tokens, size]), [1, 0, 2])
        if builder.type(turned) == type(of: output) {
            values[output] = builder.reshape(turned, self.extents(of: graph.tensors[output]), name: name(output))
        } else {
            finish(turned, as: output)
        }
    }

    /// x·(base ⊗ Sylvester)·factor: blocks of `power` first, then the base across them, entries ±127 at 1/127 of their size, because
    /// HTP drops the low 8 bits of a 16-bit product's sum.
    mutating func lower(
        _ o: DyadGraph.Operation.Hadamard, factor: Float, output: TensorID
    ) throws(DyadError) {
        let input = try wideValue(o.input)
        let extents = builder.shape(input)
        guard let base = HadamardMatrix(signs: o.base) else { throw unsupported("no Hadamard base", "one") }
        let order = base.order, power = o.power
        let blocks = extents[1] / power, runs = blocks / order
        let inner = 1 / Float(power).squareRoot()
        let outputEncoding = graph.tensors[output].encoding
        // The middle may be as large as 4 times the result's range before it matters; 64 times as fine.
        let step = graph.tensors[output].type == .u8 ? outputEncoding.scale / 64 : outputEncoding.scale * 2
        let middle = ValueType.quantized(.u16, Encoding(scale: step, zeroPoint: 32768))

        let rows = builder.reshape(input, [shape.tokens * blocks, power])
        let single = order == 1
        let result = wideType(of: output)
        let first = builder.node(
            .matmul, [rows, matrix(.sylvester(power), times: single ? factor : inner, "inner")],
            [shape.tokens * blocks, power], single ? result : middle, suffix: "inner")
        guard !single else { return finish(first, as: output) }
        let turned = builder.transpose(builder.reshape(first, [shape.tokens * runs, order, power]), [0, 2, 1])
        let flat = builder.reshape(turned, [shape.tokens * runs * power, order])
        let second = builder.node(
            .matmul, [flat, matrix(base, times: factor / inner, "outer")], [shape.tokens * runs * power, order],
            result, suffix: "outer")
        let back = builder.transpose(builder.reshape(second, [shape.tokens * runs, power, order]), [0, 2, 1])
        finish(back, as: output)
    }

    private mutating func matrix(_ matrix: HadamardMatrix, times factor: Float, _ suffix: String) -> ValueID {
        builder.constant(
            "\(builder.origin).\(suffix).matrix", [matrix.order, matrix.order],
            .quantized(.i8, Encoding(scale: factor / 127, zeroPoint: 0)),
            matrix.rows.flatMap { $0.map { $0 * 127 } })
    }
}
