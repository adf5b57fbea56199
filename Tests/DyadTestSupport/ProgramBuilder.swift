import DyadGraph

/// Collects a program with random constants whose scales keep activations in range without saturating everything.
struct ProgramBuilder {
    var graph: IntegerGraph
    var constants: [String: ConstantData] = [:]
    var generator: SeededGenerator

    mutating func tensor(
        _ name: String, _ shape: [Dimension], _ type: IntegerType, _ scale: Float, zero: Int32? = nil
    ) -> TensorID {
        let zeroPoint = zero ?? (type == .u8 ? Int32.random(in: 90...165, using: &generator) : 32768)
        graph.tensors.append(
            GraphTensor(name: name, shape: shape, type: type, encoding: Encoding(scale: scale, zeroPoint: zeroPoint)))
        return graph.tensors.count - 1
    }

    /// An activation `[tokens, width]` with values of about ±`limit`, give or take.
    mutating func activation(
        _ name: String, _ width: Int, _ type: IntegerType = .u8, limit: Float, zero: Int32? = nil
    ) -> TensorID {
        let steps: Float = type == .u8 ? 128 : 32768
        let scale = limit / steps * Float.random(in: 0.8...1.25, using: &generator)
        return tensor(name, [.tokens, .fixed(width)], type, scale, zero: zero)
    }

    mutating func operation(_ name: String, _ kind: Operation.Kind) {
        let parts = name.split(separator: ".")
        let layer = parts.first == "layers" ? Int(parts[1]) : nil
        graph.operations.append(Operation(name: name, layer: layer, kind: kind))
    }

    mutating func constant<Element: FixedWidthInteger>(
        _ name: String, _ shape: [Int], _ type: IntegerType?, _ elements: [Element]
    ) -> String {
        graph.constants.append(GraphConstant(name: name, shape: shape, type: type))
        constants[name] = ConstantData(
            elements.flatMap { element in withUnsafeBytes(of: element.littleEndian) { Array($0) } })
        return name
    }

    mutating func constant(_ name: String, floats: [Float]) -> String {
        constant(name, [floats.count], nil, floats.map(\.bitPattern))
    }

    mutating func randomFloats(_ count: Int, in range: ClosedRange<Float>) -> [Float] {
        (0..<count).map { _ in Float.random(in: range, using: &generator) }
    }

    /// A weight `[rows, columns]` of `bits`; sums of `terms` products with inputs of unit variance have about that too.
    mutating func weight(
        _ name: String, _ rows: Int, _ columns: Int, bits: Int, terms: Int
    ) -> (weight: String, scales: String) {
        let largest: Int8 = bits == 4 ? 7 : 127
        var values = (0..<rows * columns).map { _ in Int8.random(in: -largest...largest, using: &generator) }
        if bits == 8, !values.isEmpty { values[0] = -128 }  // legal for i8
        let deviation = Float(largest) / Float(3).squareRoot()
        let scales = randomFloats(rows, in: 0.5...1.5).map { $0 / (deviation * Float(terms).squareRoot()) }
        let weight: String
        if bits == 4 {
            let packed = stride(from: 0, to: values.count, by: 2).map { index in
                UInt8(bitPattern: values[index]) & 0xF | UInt8(bitPattern: values[index + 1]) << 4
            }
            weight = constant(name + ".weight", [rows, columns], .i4, packed)
        } else {
            weight = constant(name + ".weight", [rows, columns], .i8, values)
        }
        return (weight, constant(name + ".weight_scale", floats: scales))
    }

    mutating func linear(
        _ name: String, from input: TensorID, to output: TensorID, bits: Int, hasBias: Bool
    ) -> Operation.Linear {
        let (rows, columns) = (width(output), width(input))
        let (weight, scales) = weight(name, rows, columns, bits: bits, terms: columns)
        var bias: String?
        if hasBias {
            let step = graph.tensors[input].encoding.scale / (Float(bits == 4 ? 4 : 73) * Float(columns).squareRoot())
            let values = randomFloats(rows, in: -0.5...0.5).map { Int32(($0 / step).rounded()) }
            bias = constant(name + ".bias", [rows], .i32, values)
        }
        return .init(input: input, weight: weight, scales: scales, bias: bias, output: output)
    }

    /// A normalisation over runs of `size` (nil: the whole width) with random gains, some negative, one zero.
    mutating func norm(
        _ name: String, from input: TensorID, to output: TensorID, size: Int? = nil, isLayerNorm: Bool
    ) {
        let size = size ?? width(input)
        var gains = randomFloats(size, in: -0.5...1.5)
        gains[size / 2] = 0
        let gain = Bool.random(using: &generator) ? constant(name + ".weight", floats: gains) : nil
        let bias =
            isLayerNorm && Bool.random(using: &generator)
            ? constant(name + ".bias", floats: randomFloats(size, in: -0.5...0.5)) : nil
        let o = Operation.Normalization(
            input: input, gain: gain, bias: bias, epsilon: 1e-5, size: size, output: output)
        operation(name, isLayerNorm ? .layerNorm(o) : .rmsNorm(o))
    }

    /// A lookup of x·sigmoid(x).
    mutating func silu(_ name: String, from input: TensorID, to output: TensorID) {
        let (x, y) = (graph.tensors[input], graph.tensors[output])
        let entries = (0..<Int32(1 << x.type.bitWidth)).map { q in
            let real = Double(x.encoding.scale) * Double(q - x.encoding.zeroPoint)
            return y.stored(Int64((DyadTestSupport.silu(real) / Double(y.encoding.scale)).rounded()))
        }
        let shape = [entries.count]
        let table =
            y.type == .u8
            ? constant(name + ".table", shape, .u8, entries.map { UInt8($0) })
            : constant(name + ".table", shape, .u16, entries.map { UInt16($0) })
        operation(name, .lookup(.init(input: input, table: table, function: .silu, output: output)))
    }

    func width(_ tensor: TensorID) -> Int {
        if case .fixed(let width)? = graph.tensors[tensor].shape.last { width } else { 0 }
    }
}
