import DyadFormats
import DyadGraph
import DyadTestSupport
import Testing

@testable import DyadExport

/// The static form computes what the integer graph computes.
@Suite struct StaticLoweringTests {
    /// The tensors of a step behind `start` tokens, and the caches before it.
    struct Step {
        var tokens: [Int32]
        var start: Int
        var tensors: [String: [Int32]] = [:]
        var rows: [String: [UInt8]] = [:]

        init(_ program: IntegerProgram, tokens: [Int32], start: Int) throws {
            self.tokens = Array(tokens[start...])
            self.start = start
            let reference = try ReferenceInterpreter(program)
            var before: [Int: [Int32]] = [:]
            _ = try reference.run(tokens: Array(tokens[..<start]), observe: { before[$0] = $1 })
            var found: [String: [Int32]] = [:]
            _ = try reference.run(
                tokens: self.tokens, observe: { found[program.graph.tensors[$0].name] = $1 })
            tensors = found
            for operation in program.graph.operations {
                guard case .cacheAppend(let append) = operation.kind else { continue }
                rows[program.graph.caches[append.cache].name] = (before[append.input] ?? []).map { UInt8($0) }
            }
        }

        func inputs(_ graph: StaticGraph, _ program: IntegerProgram, _ shape: StaticShape) throws -> [String: [UInt8]] {
            let inputs = StepInputs(program, shape: shape, tokens: tokens, start: start)
            var result: [String: [UInt8]] = [:]
            for id in graph.inputs {
                let value = graph.values[id]
                result[value.name] = try inputs.bytes(
                    of: value, tensor: { tensors[$0] }, rows: { rows[$0.name] ?? [] })
            }
            return result
        }
    }

    /// Programs drawn at random, part by part, each part given the integer graph's own tensors. Where late division with 8-bit
    /// exponentials becomes a softmax, attention may differ by some steps; all else by what one rounding more can do.
    @Test(arguments: 0..<24)
    func everyPartAgreesWithTheReference(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed) &+ 7000)
        var shape = DecoderShape.random(using: &generator)
        shape.hidden = min(shape.hidden, 48)
        let program = shape.program(seed: UInt64(seed))
        let past = Int.random(in: 0...6, using: &generator), count = Int.random(in: 1...5, using: &generator)
        let tokens = (0..<past + count).map { _ in Int32.random(in: 0..<Int32(shape.vocabulary), using: &generator) }
        let step = try Step(program, tokens: tokens, start: past)
        // Some rows of the cache that are not filled.
        let spare = Int.random(in: 0...3, using: &generator)
        let extents = StaticShape(tokens: count, context: past + spare + count)
        var parts = (0..<shape.layers).map { ProgramPart(embeds: false, layers: $0..<$0 + 1, hasHead: false) }
        parts.append(ProgramPart(embeds: true, layers: 0..<0, hasHead: false))
        parts.append(ProgramPart(embeds: false, layers: 0..<0, hasHead: true))
        for (part, target) in parts.flatMap({ part in [ExportTarget.onnxruntime, .sm8650, .litert].map { (part, $0) } })
        {
            let lowered = try StaticLowering.lower(program, part: part, shape: extents, for: target)
            // LiteRT has no form of some operations, and says so.
            guard !target.descriptor.isSigned || lowered.nodes.allSatisfy({ Self.hasLiteRTForm($0.operation) }) else {
                #expect(throws: DyadError.self) { _ = try lowered.legalized(for: target) }
                continue
            }
            let graph = try lowered.legalized(for: target).graph
            #expect(try graph.encodingCount() > 0)
            for value in graph.values { #expect(value.shape.allSatisfy { $0 > 0 }) }
            var interpreter = StaticInterpreter(graph)
            let found = interpreter.run(try step.inputs(graph, program, extents))
            // Only what leaves the part, and only what does not depend on the attention's rounding.
            for id in graph.outputs {
                let value = graph.values[id]
                guard let expected = step.tensors[value.name], let got = found[value.name],
                    let tensor = program.graph.tensors.first(where: { $0.name == value.name })
                else { continue }
                #expect(expected.count == got.count)
                let theirs = value.type.encoding ?? tensor.encoding
                let coarse = Double(max(tensor.encoding.scale, theirs.scale))
                // A residual at 16 bit follows linears of 8-bit tensors, of which one step is many of its own.
                let steps = zip(expected, got).map { a, b in
                    abs(
                        Double(a - tensor.encoding.zeroPoint) * Double(tensor.encoding.scale)
                            - Double(b - theirs.zeroPoint) * Double(theirs.scale)) / coarse
                }
                let range = Double(value.type.integerType?.bitWidth == 16 ? 65535 : 255)
                let mean = steps.reduce(0, +) / Double(max(steps.count, 1))
                // LiteRT's norm before the head is made of 16-bit products, and HTP's is rounded twice: an 8-bit step of its output is some steps of the logits.
                // A cap's argument has 16 bits for what the head's logits could be at most, which is far beyond the cap.
                let head = target == .onnxruntime ? (shape.hasSoftCaps ? 2 : 1) : range * 0.0005
                let allowed = part.embeds ? 1 : part.hasHead ? head : range * 0.004
                #expect(mean <= allowed, "\(target) \(shape) \(value.name): \(mean) steps")
            }
        }
    }

    /// Where attention is not the program's own function, an export says so.
    @Test func anotherAttentionIsReported() throws {
        var shape = DecoderShape()
        shape.attention = .late8
        let program = shape.program(seed: 4)
        for (target, isOwn) in [(ExportTarget.onnxruntime, true), (.sm8750, true), (.litert, false), (.coreml, false)] {
            let piece = ExportPlan(target: target, context: 8, chunk: nil).pieces(of: program, ending: "x")[0]
            let rewrites = try piece.lowered(program, for: target).entry.rewrites
            #expect(rewrites.contains { $0.contains("the program's own function") })
            #expect(isOwn == !rewrites.contains { $0.contains("not the") })
        }
    }

    /// With a prefix token or none, attention with 8-bit exponentials is the program's, up to a rounding; as a plain softmax it is not.
    @Test func lateDivisionIsTheProgramsOwn() throws {
        var means: [ExportTarget: Double] = [:]
        for (prefix, seed) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] as [(Int, UInt64)] {
            var shape = DecoderShape()
            (shape.attention, shape.prefix, shape.maximumContext, shape.layers) = (.late8, prefix, 80, 1)
            let program = shape.program(seed: seed)
            let tokens = (0..<60).map { Int32($0 * 7 + Int(seed) * 3) % Int32(shape.vocabulary) }
            let step = try Step(program, tokens: tokens, start: 40)
            let extents = StaticShape(tokens: 20, context: 60)
            let output = try #require(
                program.graph.operations.lazy.compactMap { operation in
                    if case .lateAttention(let o) = operation.kind { program.graph.tensors[o.output].name } else { nil }
                }.first)
            let expected = try #require(step.tensors[output])
            for target in [ExportTarget.onnxruntime, .sm8650, .coreml] {
                let graph = try StaticGraph.lowered(
                    program, part: .whole(of: program.graph), shape: extents, for: target)
                var interpreter = StaticInterpreter(graph)
                let found = try #require(interpreter.run(try step.inputs(graph, program, extents))[output])
                let steps = zip(expected, found).map { Double(abs($0 - $1)) }
                means[target, default: 0] += steps.reduce(0, +) / Double(steps.count) / 6
                // On HTP queries, keys and values are rounded twice.
                #expect(target == .coreml || steps.allSatisfy { $0 <= (target.isHTP ? 4 : 1) })
            }
        }
        let own = try #require(means[.onnxruntime]), softmax = try #require(means[.coreml])
        #expect(own < 0.03 && own < softmax / 3, "\(means)")
        #expect(try #require(means[.sm8650]) < softmax, "\(means)")
    }

    /// The mask's lowest score stands so far below all others that its exponential is nothing, however small the scores are.
    @Test func theMaskReachesFarBelowSmallScores() throws {
        var shape = DecoderShape()
        (shape.attention, shape.layers) = (.late8, 1)
        let program = shape.program(seed: 4)
        for target in [ExportTarget.onnxruntime, .sm8650, .coreml] {
            let graph = try StaticGraph.lowered(
                program, part: .whole(of: program.graph), shape: StaticShape(tokens: 4, context: 6), for: target)
            let selection = try #require(graph.nodes.first { $0.operation == .select })
            let scores = try #require(
                program.graph.tensors.first { $0.name == graph.values[selection.output].name }?.encoding)
            let encoding = try #require(graph.values[selection.output].type.encoding)
            // What is seen uses half of a 16-bit range (page Numerics).
            #expect(16384 * scores.scale < 16, "this program's scores are small")
            #expect(Float(encoding.zeroPoint) * encoding.scale - 16384 * scores.scale >= 16)
        }
    }

    /// On HTP what becomes queries, keys and values is made at 16 bit, rounded down, and every norm has gains at 16 bit.
    @Test func hTPGetsNormsAndProjectionsAt16Bit() throws {
        var shape = DecoderShape()
        (shape.hasBiases, shape.layers) = (true, 1)
        let program = shape.program(seed: 9)
        let whole = ProgramPart.whole(of: program.graph), extents = StaticShape(tokens: 2, context: 8)
        let graph = try StaticGraph.lowered(program, part: whole, shape: extents, for: .sm8650)
        let plain = try StaticGraph.lowered(program, part: whole, shape: extents, for: .onnxruntime)
        func wideLinears(_ graph: StaticGraph) -> Int {
            graph.nodes.count { node in
                node.operation == .fullyConnected && graph.values[node.output].type.integerType == .u16
                    && graph.nodes.contains { next in
                        next.operation == .requantize && next.inputs == [node.output]
                            && graph.values[next.output].type.integerType == .u8
                    }
            }
        }
        #expect(wideLinears(graph) == 3 && wideLinears(plain) == 0)
        // And an export says so.
        let plan = ExportPlan(target: .sm8650, context: 8, chunk: nil)
        let report = try plan.pieces(of: program, ending: "onnx")[0].lowered(program, for: .sm8650).entry
        #expect(report.rewrites.contains { $0.hasPrefix("3 linears of queries, keys and values") })
        #expect(report.rewrites.contains { $0.hasPrefix("\(graph.rewrites[.fineNorm] ?? 0) norms") })
        for node in graph.nodes {
            guard case .rmsNorm = node.operation else { continue }
            #expect(graph.values[node.output].type.integerType == .u16)
            let gains = graph.values[node.inputs[1]]
            let encoding = try #require(gains.type.encoding)
            #expect(gains.type.integerType == .u16)
            let stored = gains.constant.map { gains.integers($0.withUnsafeBytes(Array.init)) } ?? []
            let isStored = program.graph.constants.contains { $0.name == gains.name }
            let exact = isStored ? try program.floats(of: gains.name) : [Float](repeating: 1, count: stored.count)
            for (integer, gain) in zip(stored, exact) {
                #expect(abs(Float(integer - encoding.zeroPoint) * encoding.scale - gain) <= encoding.scale * 0.501)
            }
        }
    }

    private static func hasLiteRTForm(_ operation: StaticGraph.Operation) -> Bool {
        switch operation {
        case .gelu, .layerNorm: false
        default: true
        }
    }

    /// The logits of the last token alone are the last row of all logits.
    @Test(arguments: [ExportTarget.onnxruntime, .sm8650])
    func oneRowOfLogitsIsThatRow(target: ExportTarget) throws {
        let program = DecoderShape().program(seed: 5)
        let step = try Step(program, tokens: [1, 2, 3, 4, 5], start: 2)
        var results: [[Int32]] = []
        for rows in [StaticShape.LogitRows.all, .one] {
            let shape = StaticShape(tokens: 3, context: 6, logits: rows)
            let graph = try StaticLowering.lower(
                program, part: .whole(of: program.graph), shape: shape, for: target)
            for node in graph.nodes where node.operation == .reshape {
                let counts = [node.inputs[0], node.output].map { graph.values[$0].shape.reduce(1, *) }
                #expect(counts[0] == counts[1], "\(node.origin)")
            }
            var interpreter = StaticInterpreter(graph)
            results.append(interpreter.run(try step.inputs(graph, program, shape))["logits"] ?? [])
        }
        #expect(results[1].count == program.graph.vocabularySize)
        #expect(Array(results[0].suffix(program.graph.vocabularySize)) == results[1])
    }

    /// HTP's 16-bit gains need a range: an error says so, naming the norm, where it has none.
    @Test(arguments: [[Float.nan, 1], [1, .infinity], [-3e38, 3e38], [0, 0]])
    func gainsWithoutARangeAreRefusedOnHTP(gains: [Float]) throws {
        let program = DecoderShape().program(seed: 5)
        var damaged = program
        var norm = ""
        for operation in program.graph.operations {
            guard case .rmsNorm(let o) = operation.kind, let gain = o.gain, norm.isEmpty else { continue }
            norm = operation.name
            let repeated: [Float] = (0..<o.size).map { gains[$0 % 2] }
            damaged.constants[gain] = .memory(ConstantData(repeated.withUnsafeBytes { Array($0) }))
        }
        try #require(!norm.isEmpty)
        let shape = StaticShape(tokens: 2, context: 8), whole = ProgramPart.whole(of: program.graph)
        _ = try StaticLowering.lower(program, part: whole, shape: shape, for: .sm8650)
        let error = #expect(throws: DyadError.self) {
            _ = try StaticLowering.lower(damaged, part: whole, shape: shape, for: .sm8650)
        }
        #expect(error?.reason == .unsupported && error?.subject == norm)
    }

    @Test func shapesThatCannotBeAreRefused() {
        let program = DecoderShape().program(seed: 1)
        for shape in [StaticShape(tokens: 0, context: 8), .init(tokens: 9, context: 8), .init(tokens: 1, context: 41)] {
            #expect(throws: DyadError.self) {
                _ = try StaticLowering.lower(
                    program, part: .whole(of: program.graph), shape: shape, for: .onnxruntime)
            }
        }
        #expect(throws: DyadError.self) {
            let none = ProgramPart(embeds: false, layers: 0..<0, hasHead: false)
            _ = try StaticLowering.lower(
                program, part: none, shape: StaticShape(tokens: 1, context: 8), for: .onnxruntime)
        }
    }

    @Test func truly16BitInputsGrowTheir4BitWeightsOnHTP() throws {
        var shape = DecoderShape()
        (shape.weightBits, shape.hasWideDownInput) = (4, true)
        let program = shape.program(seed: 3)
        let lowered = try StaticLowering.lower(
            program, part: .whole(of: program.graph), shape: StaticShape(tokens: 2, context: 8), for: .sm8650)
        let (plain, none) = try lowered.legalized(for: .onnxruntime)
        let (grown, rewrites) = try lowered.legalized(for: .sm8650)
        #expect(!none.contains { $0.contains("4-bit") })
        #expect(rewrites.count { $0.contains("4-bit weights") } == shape.layers)
        // The real weights stay the same.
        for (before, after) in zip(plain.values, grown.values) where before.type != after.type {
            guard case .perRow(.i4, let small) = before.type, case .perRow(.i8, let large) = after.type else {
                Issue.record("only 4-bit weights change")
                continue
            }
            let a = try program.weights(of: before.name)
            let b = after.constant.map { $0.withUnsafeBytes { $0.map { Int8(bitPattern: $0) } } } ?? []
            #expect(a.count == b.count)
            #expect(zip(a, b).allSatisfy { Int($0) * 16 == Int($1) })
            #expect(zip(small, large).allSatisfy { $0 == $1 * 16 })
        }
    }

    /// By hand: 300·5 + 7·(−2) = 1486, of which 1280 are left without the low 8 bits; biases lose nothing. What reads a value that another
    /// executor made is given that.
    @Test func sumsOf16BitProductsLoseTheirLowBits() throws {
        var graph = StaticGraph()
        let wide = StaticGraph.ValueType.quantized(.u16, Encoding(scale: 1, zeroPoint: 0))
        graph.values = [
            .init(name: "x", shape: [1, 2], type: wide, constant: nil),
            .init(
                name: "w", shape: [1, 2], type: .perRow(.i8, scales: [1]),
                constant: ConstantData([5, UInt8(bitPattern: -2)])),
            .init(name: "b", shape: [1], type: .perRow(.i32, scales: [1]), constant: ConstantData([3, 0, 0, 0])),
            .init(name: "y", shape: [1, 1], type: wide, constant: nil),
            .init(name: "z", shape: [1, 1], type: wide, constant: nil),
        ]
        graph.nodes = [
            .init(origin: "linear", operation: .fullyConnected, inputs: [0, 1, 2], output: 3),
            .init(origin: "add", operation: .add, inputs: [3, 3], output: 4),
        ]
        (graph.inputs, graph.outputs) = ([0], [4])
        let given: [String: [UInt8]] = ["x": [44, 1, 7, 0]]
        var exact = StaticInterpreter(graph), dropping = StaticInterpreter(graph, dropsLowBits: true)
        #expect(exact.run(given)["y"] == [1489] && exact.run(given)["z"] == [2978])
        #expect(dropping.run(given)["y"] == [1283] && dropping.run(given)["z"] == [2566])
        #expect(exact.run(given, following: ["y": [7]]) == ["y": [1489], "z": [14]])
    }

    /// Halves go up, as in the program, or to the even neighbour, as in ONNX; what is no number stands for zero.
    @Test func halvesAndNonNumbersAreRounded() {
        var graph = StaticGraph()
        func type(_ scale: Float) -> StaticGraph.ValueType { .quantized(.u16, Encoding(scale: scale, zeroPoint: 100)) }
        graph.values = [
            .init(name: "x", shape: [4], type: type(0.5), constant: nil),
            .init(name: "y", shape: [4], type: type(1), constant: nil),
            .init(
                name: "gain", shape: [4], type: .float,
                constant: ConstantData([Float](repeating: 1, count: 4).withUnsafeBytes(Array.init))),
            .init(name: "norm", shape: [4], type: type(1), constant: nil),
        ]
        graph.nodes = [
            .init(origin: "round", operation: .requantize, inputs: [0], output: 1),
            .init(origin: "norm", operation: .rmsNorm(epsilon: 0), inputs: [0, 2], output: 3),
        ]
        func run(_ x: [UInt8], even: Bool) -> [String: [Int32]] {
            var interpreter = StaticInterpreter(graph, roundsTiesToEven: even)
            return interpreter.run(["x": x.flatMap { [$0, 0] }])
        }
        #expect(run([101, 103, 99, 97], even: false)["y"] == [101, 102, 100, 99])
        #expect(run([101, 103, 99, 97], even: true)["y"] == [100, 102, 100, 98])
        #expect(run([100, 100, 100, 100], even: false)["norm"] == [100, 100, 100, 100])
    }

    /// Axes of joins, slices and transpositions, and scales of rows: an impossible one is refused under its value's name.
    @Test func impossibleAxesAreRefused() throws {
        let program = tinyProgram()
        let graph = try StaticLowering.lower(
            program, part: .whole(of: program.graph), shape: StaticShape(tokens: 2, context: 8), for: .onnxruntime)
        _ = try graph.legalized(for: .onnxruntime)
        var seen: Set<String> = []
        for (index, node) in graph.nodes.enumerated() {
            var damaged = graph
            var subject = graph.values[node.output].name
            switch node.operation {
            case .concatenate(let axis):
                damaged.nodes[index].operation = .concatenate(axis: axis == 0 ? 1 : 0)
                seen.insert("concatenate")
            case .slice(let axis, _):
                damaged.nodes[index].operation = .slice(axis: axis, start: graph.values[node.inputs[0]].shape[axis])
                seen.insert("slice")
            case .transpose(let axes):
                damaged.nodes[index].operation = .transpose(axes.map { _ in axes[0] })
                seen.insert("transpose")
            case .fullyConnected:
                guard case .perRow(let type, let scales) = graph.values[node.inputs[1]].type else { continue }
                damaged.values[node.inputs[1]].type = .perRow(type, scales: Array(scales.dropLast()))
                subject = graph.values[node.inputs[1]].name
                seen.insert("fullyConnected")
            case .matmul:
                damaged.values[node.inputs[0]].shape[graph.values[node.inputs[0]].shape.count - 1] += 1
                // What makes or also reads the value may be refused before it.
                #expect(throws: DyadError.self) { _ = try damaged.legalized(for: .onnxruntime) }
                seen.insert("matmul")
                continue
            default: continue
            }
            let error = #expect(throws: DyadError.self) { _ = try damaged.legalized(for: .onnxruntime) }
            #expect(error?.reason == .unsupported && error?.subject == subject, "\(node.origin)")
            #expect(error?.found.contains(node.origin) == true)
        }
        #expect(seen == ["concatenate", "slice", "transpose", "fullyConnected", "matmul"])
    }
}
