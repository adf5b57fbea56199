import DyadGraph

/// The operations on rows.
extension ProgramGrammar {
    mutating func addEmbedding() {
        let width = source.pick(Self.widths)
        let weights = (0..<graph.vocabularySize * width).map { _ in Int8.random(in: -128...127, using: &random) }
        let weight = constant([graph.vocabularySize, width], .i8, weights)
        let scales = floats(graph.vocabularySize, in: 0.01...0.03)
        append(.embed(.init(weight: weight, scales: scales, output: activation(width))))
    }

    mutating func addLogits() {
        let input = anyActivation()
        let output = tensor([.tokens, .fixed(graph.vocabularySize)], .i32, 0x1p-16, 0)
        append(.logits(linear(from: input, to: output)))
        guard Int.random(in: 0..<3, using: &random) == 0 else { return }
        let capped = tensor([.tokens, .fixed(graph.vocabularySize)], .i32, 0x1p-16, 0)
        append(.softCap(.init(input: output, cap: source.pick([3, 30, 0.01]), output: capped)))
    }

    mutating func addLinear() {
        let input = anyActivation()
        addLinear(from: input, to: activation(source.pick(Self.widths)))
    }

    mutating func addLinear(from input: TensorID, to output: TensorID) {
        append(.linear(linear(from: input, to: output)))
    }

    private mutating func linear(from input: TensorID, to output: TensorID) -> Operation.Linear {
        let (rows, columns) = (width(output), width(input))
        let known = graph.constants.filter { $0.shape == [rows, columns] && ($0.type == .i8 || $0.type == .i4) }
        let weight: GraphConstant
        if !known.isEmpty, source.oneIn(2) {
            weight = source.pick(known)
        } else {
            let isNarrow = columns % 2 == 0 && source.oneIn(2)
            let name =
                isNarrow
                ? constant([rows, columns], .i4, (0..<rows * columns / 2).map { _ in nibbles() })
                : constant(
                    [rows, columns], .i8, (0..<rows * columns).map { _ in Int8.random(in: -128...127, using: &random) })
            weight = GraphConstant(name: name, shape: [rows, columns], type: isNarrow ? .i4 : .i8)
        }
        let unit: Float = weight.type == .i4 ? 0.2 : 0.01
        let scales = floats(rows, in: unit / 4...unit)
        let bias =
            source.oneIn(3)
            ? constant([rows], .i32, (0..<rows).map { _ in Int32.random(in: -9000...9000, using: &random) }) : nil
        return .init(input: input, weight: weight.name, scales: scales, bias: bias, output: output)
    }

    /// Two weights in −7 … 7.
    private mutating func nibbles() -> UInt8 {
        let (low, high) = (Int8.random(in: -7...7, using: &random), Int8.random(in: -7...7, using: &random))
        return UInt8(bitPattern: low) & 15 | UInt8(bitPattern: high) << 4
    }

    mutating func addNormalization() {
        let input = anyActivation()
        let width = width(input)
        let size = source.pick((1...width).filter { width % $0 == 0 }.reversed())
        let isLayerNorm = source.oneIn(2)
        let gain = source.oneIn(2) ? floats(size, in: -0.5...1.5) : nil
        let bias = isLayerNorm && source.oneIn(2) ? floats(size, in: -0.5...0.5) : nil
        let epsilon: Float = source.pick([1e-5, 1e-12, 0, 0.5])
        let o = Operation.Normalization(
            input: input, gain: gain, bias: bias, epsilon: epsilon, size: size, output: activation(width))
        append(isLayerNorm ? .layerNorm(o) : .rmsNorm(o))
    }

    mutating func addRotary() {
        let input = activation(of: source.pick(Self.widths.filter { $0 > 1 }))
        let width = width(input)
        let dimension = source.pick((2...width).filter { width % $0 == 0 })
        let half = 1 + source.choose(dimension / 2)
        let shape = [graph.maximumContext, half]
        let known = graph.constants.filter { $0.type == .i16 && $0.shape == shape }.map(\.name)
        let (cosine, sine) =
            known.isEmpty || source.oneIn(3)
            ? (rotaryTable(shape), rotaryTable(shape)) : (source.pick(known), source.pick(known))
        append(
            .rotary(
                .init(
                    input: input, cosine: cosine, sine: sine, headDimension: dimension, rotated: 2 * half,
                    output: activation(width))))
    }

    private mutating func rotaryTable(_ shape: [Int]) -> String {
        constant(shape, .i16, (0..<shape[0] * shape[1]).map { _ in Int16.random(in: -16384...16384, using: &random) })
    }

    mutating func addLookup() {
        let input = anyActivation()
        let output = activation(width(input))
        let count = 1 << type(input).bitWidth
        let known = graph.constants.filter { $0.type == type(output) && $0.shape == [count] }.map(\.name)
        let table: String
        if !known.isEmpty, source.oneIn(2) {
            table = source.pick(known)
        } else if type(output) == .u8 {
            table = constant([count], .u8, (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
        } else {
            table = constant([count], .u16, (0..<count).map { _ in UInt16.random(in: 0...65535, using: &random) })
        }
        append(.lookup(.init(input: input, table: table, function: .silu, output: output)))
    }

    mutating func addBinary() {
        let left = anyActivation()
        let right = activation(of: width(left))
        let pair = Operation.Binary(left: left, right: right, output: activation(width(left)))
        append(source.oneIn(2) ? .add(pair) : .multiply(pair))
    }

    mutating func addRequantize() {
        let input = !integers.isEmpty && !source.oneIn(3) ? source.pick(integers) : anyActivation()
        append(
            .requantize(
                .init(input: input, factor: source.pick([1, 0.25, 0.3, 4]), output: activation(width(input)))))
    }

    mutating func addHadamard() { _ = addHadamard(of: anyActivation()) }

    /// multiply, hadamard and requantize, which the runtime fuses where nothing else reads between them.
    mutating func addGated() {
        let left = activation(of: source.pick([8, 12, 24, 48, 1, 16]))
        let right = activation(of: width(left))
        let product = activation(width(left))
        append(.multiply(.init(left: left, right: right, output: product)))
        // Nothing later may read it, three times in four.
        if !source.oneIn(4) { activations.removeAll { $0 == product } }
        let rotated = addHadamard(of: product)
        if !source.oneIn(4) { integers.removeAll { $0 == rotated } }
        append(
            .requantize(
                .init(input: rotated, factor: source.pick([0.25, 1, 0.3]), output: activation(width(rotated)))))
    }

    private mutating func addHadamard(of input: TensorID) -> TensorID {
        let width = width(input)
        let matrices = [1, 2, 4, 12, 20].filter { width % $0 == 0 }.compactMap(HadamardMatrix.make)
        let base = source.pick(matrices)
        let powers = (0..<6).map { 1 << $0 }.filter { width / base.order % $0 == 0 }
        let output = tensor([.tokens, .fixed(width)], .i32, graph.tensors[input].encoding.scale, 0)
        integers.append(output)
        append(.hadamard(.init(input: input, base: base.signs, power: source.pick(powers.reversed()), output: output)))
        return output
    }

    mutating func addConcatenate() {
        let first = anyActivation()
        let alike = activations.filter {
            type($0) == type(first) && graph.tensors[$0].encoding == graph.tensors[first].encoding
        }
        let inputs = [first] + (0...source.choose(2)).map { _ in source.pick(alike) }
        let width = inputs.reduce(0) { $0 + self.width($1) }
        guard width <= 64 else { return }
        append(.concatenate(.init(inputs: inputs, output: activation(like: first, width))))
    }

    mutating func addSlice() {
        let input = anyActivation()
        let start = source.choose(width(input))
        let count = 1 + source.choose(width(input) - start)
        append(.slice(.init(input: input, start: start, output: activation(like: input, count))))
    }

    private mutating func activation(like other: TensorID, _ width: Int) -> TensorID {
        let encoding = graph.tensors[other].encoding
        let id = tensor([.tokens, .fixed(width)], type(other), encoding.scale, encoding.zeroPoint)
        activations.append(id)
        return id
    }
}
