import DyadTestSupport
import Testing

@testable import DyadGraph

/// The worst distance from float64, in output steps, that an operation may have (the table of the page Numerics says 1; one
/// rounding costs 0.5, and what multipliers and roots add stays below a hundredth).
let oneRounding = 0.51

@Suite("Operations against float64 on their own stored inputs")
struct OperationBudgetTests {
    @Test("every operation of random programs is within one rounding", arguments: 0..<32)
    func wholePrograms(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed) + 1000)
        let shape = DecoderShape.random(using: &generator)
        let program = shape.program(seed: UInt64(seed))
        let graph = program.graph
        let (reference, evaluator) = (try ReferenceInterpreter(program), try ExactEvaluator(program))
        for count in [5, 1, 3] {
            let tokens = (0..<count).map { _ in Int32.random(in: 0..<Int32(shape.vocabulary), using: &generator) }
            var integers: [TensorID: [Int32]] = [:]
            _ = try reference.run(tokens: tokens) { integers[$0] = $1 }
            let differences = try evaluator.compare(tokens: tokens, integers: integers)
            #expect(differences.map(\.tensor) == graph.operations.flatMap(\.kind.outputs))
            for (tensor, difference) in differences {
                #expect(difference.maximum <= oneRounding, "\(graph.tensors[tensor].name) in \(shape)")
                #expect(difference.values == integers[tensor]?.count)
            }
        }
    }

    // MARK: Exhaustive at 8 bits, strided and extreme at 16

    private static let bytes = (0..<256).map(Int32.init)
    private static let words =
        Array(stride(from: Int32(0), through: 65535, by: 97)) + [1, 32767, 32768, 32769, 65534, 65535]

    private func tensor(_ type: IntegerType, _ scale: Float, _ zero: Int32? = nil) -> GraphTensor {
        GraphTensor(
            name: "t", shape: [.tokens, .fixed(1)], type: type,
            encoding: Encoding(scale: scale, zeroPoint: zero ?? (type == .u8 ? 117 : 32768)))
    }

    @Test("multiply and add, all pairs of bytes and pairs of extreme words")
    func pairs() throws {
        let outputs = [tensor(.u8, 0.043, 130), tensor(.u16, 1.7e-4), tensor(.u8, 3.1e-6, 0), tensor(.u8, 41, 255)]
        for (values, type) in [(Self.bytes, IntegerType.u8), (Self.words.filter { $0 % 5 < 2 || $0 > 65000 }, .u16)] {
            let (a, b) = (tensor(type, 0.0217, type == .u8 ? 3 : nil), tensor(type, 0.00093))
            let left = values.flatMap { value in values.map { _ in value } }
            let right = values.flatMap { _ in values }
            for y in outputs {
                let operands = Operation.Binary(left: 0, right: 1, output: 2)
                for kind in [Operation.Kind.multiply(operands), .add(operands)] {
                    #expect(try SingleOperation(kind, [a, b, y]).worst([left, right]) <= oneRounding)
                }
            }
        }
    }

    @Test("requantize, all bytes and words, 32-bit extremes")
    func requantize() throws {
        let integers: [Int32] = [.min, .min + 1, -65536, -255, -1, 0, 1, 2, 255, 65535, .max - 1, .max]
        for (values, x) in [
            (Self.bytes, tensor(.u8, 0.02)), ((0..<65536).map(Int32.init), tensor(.u16, 3e-4)),
            (integers, tensor(.i32, 1e-3, 0)),
        ] {
            for y in [tensor(.u8, 0.03), tensor(.u16, 1.1e-4), tensor(.u8, 7e4), tensor(.u16, 60)] {
                let operands = Operation.Requantize(input: 0, factor: 0.0255, output: 1)
                #expect(try SingleOperation(.requantize(operands), [x, y]).worst([values]) <= oneRounding)
            }
        }
    }

    @Test("soft cap, all words of scores, logits to the largest", arguments: [Float(1000), 50, 30, 5, 0.75])
    func softCap(cap: Float) throws {
        let operands = Operation.SoftCap(input: 0, cap: cap, output: 1)
        for x in [tensor(.u16, 3e-4), tensor(.u16, 1e-2), tensor(.u16, 1e-6)] {
            for y in [tensor(.u16, cap / 32767), tensor(.u16, cap / 200_000), tensor(.u16, 0.1)] {
                let words = (0..<65536).map(Int32.init)
                #expect(try SingleOperation(.softCap(operands), [x, y]).worst([words]) <= oneRounding)
            }
        }
        let logits = tensor(.i32, 0x1p-16, 0)
        let powers = (0..<31).flatMap { [Int32(1) << $0, (Int32(1) << $0) / 3 * 4] }
        let integers = powers.flatMap { [$0, -$0] } + [.min, .max] + stride(from: -3_000_000, to: 3_000_000, by: 771)
        let capping = SingleOperation(.softCap(operands), [logits, logits])
        #expect(try capping.worst([integers]) <= oneRounding)
        let found = try capping.integers([[0, 1 << 30, -1 << 30]])[0]
        #expect(found[0] == 0 && abs(Double(found[1]) - Double(cap) * 65536) <= 1 && abs(found[1] + found[2]) <= 1)
    }

    @Test("rotary, all pairs of bytes at several positions, 16-bit extremes")
    func rotary() throws {
        let half: [(Int16, Int16)] = [
            (16384, 0), (0, 16384), (-16384, 0), (11585, -11585), (8192, 14189), (-1, -16384),
        ]
        for (values, type) in [(Self.bytes, IntegerType.u8), (Self.words.filter { $0 % 7 == 0 || $0 > 65000 }, .u16)] {
            let pairs = values.flatMap { first in values.flatMap { [first, $0] } }
            let x = tensor(type, 0.03)
            for y in [tensor(.u8, 0.0412, 90), tensor(.u16, 1.3e-4)] {
                let operands = Operation.Rotary(
                    input: 0, cosine: "c", sine: "s", headDimension: 2, rotated: 2, output: 1)
                var rotary = SingleOperation(.rotary(operands), [x, y])
                rotary.add("c", .i16, [half.count, 1], half.map(\.0))
                rotary.add("s", .i16, [half.count, 1], half.map(\.1))
                // One token whose heads are all the pairs.
                for position in half.indices {
                    #expect(try rotary.worst([pairs], position: position) <= oneRounding)
                }
            }
        }
    }

    @Test("linear, every byte in every place, 16-bit extremes, biases, dead channels")
    func linear() throws {
        var generator = SeededGenerator(seed: 5)
        for (values, type, zero) in [
            (Self.bytes, IntegerType.u8, Int32(0)), (Self.bytes, .u8, 255), (Self.words, .u16, 32768),
        ] {
            let (inputs, outputs) = (33, 9)
            let x = tensor(type, 0.011, zero)
            let q = (0..<4 * values.count * inputs).map { values[($0 * 7 + $0 / inputs) % values.count] }
            var weights = (0..<inputs * outputs).map { _ in Int8.random(in: -128...127, using: &generator) }
            weights.replaceSubrange(0..<inputs, with: [Int8](repeating: -128, count: inputs))
            var scales = (0..<outputs).map { _ in Float.random(in: 1e-5...0.1, using: &generator) }
            scales[3] = 0
            let bias = (0..<outputs).map { _ in Int32.random(in: -2_000_000...2_000_000, using: &generator) }
            for y in [tensor(.u8, 0.9, 101), tensor(.u16, 0.004)] {
                let parameters = try LinearParameters(
                    input: x, output: y, weights: weights, scales: scales, bias: bias, subject: "linear")
                #expect(try linear(x, y, weights, scales, bias).worst([q]) <= oneRounding)
                #expect(parameters.accumulatorBound >= parameters.weightSums[0].magnitude * 128)
            }
        }
    }

    private func linear(
        _ x: GraphTensor, _ y: GraphTensor, _ weights: [Int8], _ scales: [Float], _ bias: [Int32]
    ) -> SingleOperation {
        let operands = Operation.Linear(input: 0, weight: "w", scales: "s", bias: "b", output: 1)
        var linear = SingleOperation(.linear(operands), [x, y])
        linear.add("w", .i8, [scales.count, weights.count / scales.count], weights)
        linear.add("s", floats: scales)
        linear.add("b", .i32, [bias.count], bias)
        return linear
    }

    @Test("sums beyond 32 bits are exact", arguments: [257, 4096])
    func wideSums(inputs: Int) throws {
        let (x, y) = (tensor(.u16, 1e-4), tensor(.u16, 1e-2))
        let (q, weights) = ([Int32](repeating: 0, count: inputs), [Int8](repeating: -128, count: inputs))
        let parameters = try LinearParameters(
            input: x, output: y, weights: weights, scales: [1e-3], bias: [.max], subject: "linear")
        #expect(parameters.accumulatorBound == UInt64(inputs) * 128 * 32768 + UInt64(Int32.max))
        #expect(parameters.weightSums == [-128 * Int64(inputs)])
        #expect(try linear(x, y, weights, [1e-3], [.max]).worst([q]) <= oneRounding)
    }

    @Test(
        "norms at extremes: zeros, all equal, one spike, full range, tiny and huge gains, big biases",
        arguments: [1, 2, 7, 64, 1536, 16384])
    func norms(size: Int) throws {
        var generator = SeededGenerator(seed: UInt64(size))
        for (type, scale) in [(IntegerType.u8, Float(0.03)), (.u16, 4e-4), (.u16, 1.0), (.u8, 1e-6)] {
            let x = tensor(type, scale)
            let (zero, top) = (x.encoding.zeroPoint, Int32(type.range.upperBound))
            func constant(_ value: Int32) -> [Int32] { [Int32](repeating: value, count: size) }
            let spike = [top] + constant(zero).dropLast()
            let random = (0..<size).map { _ in Int32.random(in: 0...top, using: &generator) }
            let quiet = (0..<size).map { _ in zero + Int32.random(in: -2...2, using: &generator) }
            let q = constant(zero) + constant(0) + constant(top) + constant(zero + 1) + spike + random + quiet
            for (gainSize, outputType, outputScale) in [
                (Float(1), IntegerType.u8, Float(0.03)), (30, .u16, 4e-3), (1e-4, .u16, 1e-7),
            ] {
                let y = tensor(outputType, outputScale)
                let gains = (0..<size).map { _ in Float.random(in: -1...1, using: &generator) * gainSize }
                let biases = (0..<size).map { _ in Float.random(in: -1...1, using: &generator) * outputScale * 30000 }
                for bias in [nil, biases] {
                    let operands = Operation.Normalization(
                        input: 0, gain: "g", bias: bias == nil ? nil : "b", epsilon: 1e-5, size: size, output: 1)
                    var norm = SingleOperation(bias == nil ? .rmsNorm(operands) : .layerNorm(operands), [x, y])
                    norm.add("g", floats: gains)
                    if let bias { norm.add("b", floats: bias) }
                    #expect(try norm.worst([q]) <= 0.52, "\(type) \(scale) \(gainSize) \(bias != nil)")
                }
            }
        }
    }
}
