import DyadFormats
import DyadGraph
import Foundation

/// Executes a static graph as quantise–dequantise means it: every operation in real arithmetic on its inputs' real values, the
/// result rounded onto the output's encoding. What a perfect NPU would do; slow and obvious.
package struct StaticInterpreter {
    /// What is executed.
    package let graph: StaticGraph
    /// Whether sums of products of 16-bit by 8-bit integers lose their low 8 bits, as on Qualcomm's HTP.
    package let dropsLowBits: Bool
    /// Whether halves go to the even neighbour, as ONNX has it, or up, as in the program and to all appearance on HTP.
    package let roundsTiesToEven: Bool
    /// Integers of what was given and made; reals of float constants.
    private var numbers: [Int: [Double]] = [:]

    /// An executor of one graph.
    package init(_ graph: StaticGraph, dropsLowBits: Bool = false, roundsTiesToEven: Bool = false) {
        (self.graph, self.dropsLowBits, self.roundsTiesToEven) = (graph, dropsLowBits, roundsTiesToEven)
    }

    /// The integers of the outputs, and of every other value, by name. A multiplication and an addition for each weight and token.
    ///
    /// - Parameter made: integers of values that another executor made: what reads them is given these instead of this one's own, so that
    ///   each result differs by what happened since the last of them.
    package mutating func run(
        _ inputs: [String: [UInt8]], following made: [String: [Int32]] = [:]
    ) -> [String: [Int32]] {
        for (id, value) in graph.values.enumerated() {
            if let constant = value.constant {
                numbers[id] = Self.decode(constant.withUnsafeBytes(Array.init), value)
            } else if let bytes = inputs[value.name] {
                numbers[id] = Self.decode(bytes, value)
            }
        }
        var result: [String: [Int32]] = [:]
        for node in graph.nodes {
            let value = graph.values[node.output]
            let own = stored(compute(node), value)
            if value.type.integerType != nil { result[value.name] = own.map { Int32($0) } }
            numbers[node.output] = made[value.name].map { $0.map(Double.init) } ?? own
        }
        return result
    }

    private static func decode(_ bytes: [UInt8], _ value: StaticGraph.Value) -> [Double] {
        switch value.type {
        case .float:
            bytes.withUnsafeBytes { raw in
                (0..<raw.count / 4).map { Double(raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self)) }
            }
        case .condition: bytes.map { Double($0) }
        case .index:
            bytes.withUnsafeBytes { raw in
                (0..<raw.count / 4).map { Double(raw.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self)) }
            }
        case .perRow(.i4, _):
            bytes.flatMap { byte in
                [Double((Int8(bitPattern: byte) &<< 4) &>> 4), Double(Int8(bitPattern: byte) &>> 4)]
            }
        case .quantized, .perRow: value.integers(bytes).map { Double($0) }
        }
    }

    private func stored(_ reals: [Double], _ value: StaticGraph.Value) -> [Double] {
        guard case .quantized(let type, let encoding) = value.type else { return reals }
        let (low, high) = (Double(type.range.lowerBound), Double(type.range.upperBound))
        return reals.map {
            // What is no number, as a row of zeros divided by its root, stands for zero.
            guard !$0.isNaN else { return Double(encoding.zeroPoint) }
            let place = $0 / Double(encoding.scale)
            let level = roundsTiesToEven ? place.rounded(.toNearestOrEven) : (place + 0.5).rounded(.down)
            return min(max(level + Double(encoding.zeroPoint), low), high)
        }
    }

    private func reals(_ id: Int) -> [Double] {
        let value = graph.values[id]
        let stored = numbers[id] ?? []
        switch value.type {
        case .quantized(_, let encoding):
            return stored.map { ($0 - Double(encoding.zeroPoint)) * Double(encoding.scale) }
        case .perRow(_, let scales):
            let width = stored.count / scales.count
            return stored.enumerated().map { $1 * Double(scales[$0 / width]) }
        case .float, .index, .condition: return stored
        }
    }

    private func compute(_ node: StaticGraph.Node) -> [Double] {
        let x = reals(node.inputs[0])
        let shape = graph.values[node.inputs[0]].shape, output = graph.values[node.output].shape
        func other() -> [Double] { reals(node.inputs[1]) }
        func broadcast(_ operation: (Double, Double) -> Double) -> [Double] {
            let y = other(), small = graph.values[node.inputs[1]].shape
            return (0..<output.reduce(1, *)).map { index in
                operation(x[Self.broadcastIndex(index, output, shape)], y[Self.broadcastIndex(index, output, small)])
            }
        }
        let drop = lowBits(of: node)
        switch node.operation {
        case .gather:
            let width = shape[1]
            return other().flatMap { row in x[Int(row) * width..<(Int(row) + 1) * width] }
        case .fullyConnected:
            let weight = other(), k = shape[1], n = output[1]
            let bias = node.inputs.count > 2 ? reals(node.inputs[2]) : [Double](repeating: 0, count: n)
            return (0..<shape[0] * n).map { index in
                let (row, column) = (index / n, index % n)
                return bias[column] + drop((0..<k).reduce(0) { $0 + x[row * k + $1] * weight[column * k + $1] }, column)
            }
        case .matmul:
            let y = other(), yShape = graph.values[node.inputs[1]].shape
            let (m, k, n) = (shape[shape.count - 2], shape[shape.count - 1], output[output.count - 1])
            let shared = yShape.count == 2
            return (0..<output.reduce(1, *)).map { index in
                let (matrix, row, column) = (index / (m * n), index / n % m, index % n)
                return drop(
                    (0..<k).reduce(0) {
                        $0 + x[(matrix * m + row) * k + $1] * y[((shared ? 0 : matrix) * k + $1) * n + column]
                    }, 0)
            }
        case .add: return broadcast(+)
        case .subtract: return broadcast(-)
        case .multiply: return broadcast(*)
        case .maximum: return broadcast(max)
        case .mean:
            let width = shape[shape.count - 1]
            return stride(from: 0, to: x.count, by: width).map { x[$0..<$0 + width].reduce(0, +) / Double(width) }
        case .sum: return rows(x, shape[shape.count - 1]) { [$0.reduce(0, +)] }
        case .largest: return rows(x, shape[shape.count - 1]) { [$0.max() ?? 0] }
        case .exponential: return x.map { exp($0) }
        case .logarithm: return x.map { log($0) }
        case .greater: return broadcast { $0 > $1 ? 1 : 0 }
        case .reciprocalRoot: return x.map { 1 / max($0, .leastNormalMagnitude).squareRoot() }
        case .sigmoid: return x.map { 1 / (1 + exp(-$0)) }
        case .relu: return x.map { max($0, 0) }
        case .gelu(let tanh):
            return x.map {
                tanh
                    ? 0.5 * $0 * (1 + Foundation.tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0)))
                    : 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot()))
            }
        case .softmax:
            return rows(x, shape[shape.count - 1]) { row in
                let largest = row.max() ?? 0
                let weights = row.map { exp($0 - largest) }
                let sum = weights.reduce(0, +)
                return weights.map { $0 / sum }
            }
        case .select:
            let yes = other(), no = reals(node.inputs[2])
            return output.indices.isEmpty
                ? [] : yes.indices.map { x[Self.broadcastIndex($0, output, shape)] != 0 ? yes[$0] : no[0] }
        case .rmsNorm(let epsilon):
            let gain = other()
            return rows(x, gain.count) { row in
                let mean = row.reduce(0) { $0 + $1 * $1 } / Double(row.count)
                return zip(row, gain).map { $0 / (mean + Double(epsilon)).squareRoot() * $1 }
            }
        case .layerNorm(let epsilon):
            let gain = other(), bias = node.inputs.count > 2 ? reals(node.inputs[2]) : gain.map { _ in 0 }
            return rows(x, gain.count) { row in
                let mean = row.reduce(0, +) / Double(row.count)
                let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
                return row.indices.map {
                    (row[$0] - mean) / (variance + Double(epsilon)).squareRoot() * gain[$0] + bias[$0]
                }
            }
        case .reshape, .requantize: return x
        case .transpose(let axes):
            return (0..<x.count).map { index in
                var place = [Int](repeating: 0, count: shape.count)
                for (axis, position) in zip(axes, Self.place(index, output)) { place[axis] = position }
                return x[zip(place, shape).reduce(0) { $0 * $1.1 + $1.0 }]
            }
        case .concatenate(let axis):
            let inner = output[(axis + 1)...].reduce(1, *), outer = output[..<axis].reduce(1, *)
            let parts = node.inputs.map { (reals($0), graph.values[$0].shape[axis] * inner) }
            return (0..<outer).flatMap { index in
                parts.flatMap { part, width in part[index * width..<(index + 1) * width] }
            }
        case .slice(let axis, let start):
            let inner = output[(axis + 1)...].reduce(1, *), outer = output[..<axis].reduce(1, *)
            return (0..<outer).flatMap { index in
                let first = (index * shape[axis] + start) * inner
                return x[first..<first + output[axis] * inner]
            }
        }
    }

    /// What is left of the real value of a sum in a column.
    private func lowBits(of node: StaticGraph.Node) -> (Double, Int) -> Double {
        guard dropsLowBits, node.inputs.count > 1,
            case .quantized(let type, let encoding) = graph.values[node.inputs[0]].type, type.bitWidth == 16,
            graph.values[node.inputs[1]].type.integerType?.bitWidth == 8
        else { return { sum, _ in sum } }
        let factors: [Double]
        switch graph.values[node.inputs[1]].type {
        case .perRow(_, let scales): factors = scales.map { Double($0) * Double(encoding.scale) }
        case .quantized(_, let other): factors = [Double(other.scale) * Double(encoding.scale)]
        case .float, .index, .condition: return { sum, _ in sum }
        }
        return { sum, column in
            let factor = factors[column] * 256
            // The sum is an integer times the factor; reals carry a few units of the last of 53 bits.
            return factor == 0 ? sum : (sum / factor + 1e-6).rounded(.down) * factor
        }
    }

    private func rows(_ x: [Double], _ width: Int, _ body: ([Double]) -> [Double]) -> [Double] {
        stride(from: 0, to: x.count, by: width).flatMap { body(Array(x[$0..<$0 + width])) }
    }

    private static func place(_ index: Int, _ shape: [Int]) -> [Int] {
        var rest = index
        return shape.reversed().map { extent in
            defer { rest /= extent }
            return rest % extent
        }.reversed()
    }

    /// The index in a tensor of shape `small`, aligned at the last axis, for `index` in one of `shape`.
    private static func broadcastIndex(_ index: Int, _ shape: [Int], _ small: [Int]) -> Int {
        let places = place(index, shape).suffix(small.count)
        return zip(places, small).reduce(0) { $0 * $1.1 + ($1.1 == 1 ? 0 : $1.0) }
    }
}
