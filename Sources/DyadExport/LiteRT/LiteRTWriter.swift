import DyadFormats
import DyadGraph

/// Writes signed ``StaticGraph``s as a LiteRT (TensorFlow Lite) model: tensors with their encodings, operators of integer kernels.
/// The numbers are those of the schema, version 3.
struct LiteRTWriter {
    /// Schema: BuiltinOperator, with the number and type of its options.
    private enum Operator: Int32 {
        case add = 0
        case concatenation = 2
        case fullyConnected = 9
        case logistic = 14
        case mul = 18
        case relu = 19
        case reshape = 22
        case softmax = 25
        case gather = 36
        case transpose = 39
        case mean = 40
        case sub = 41
        case maximum = 55
        case slice = 65
        case rsqrt = 76
        case quantize = 114
        case selectV2 = 123
        case batchMatMul = 126

        /// The first version with 16-bit kernels.
        var version: Int32 {
            switch self {
            case .fullyConnected: 4
            case .batchMatMul, .logistic: 3
            case .relu, .reshape, .gather, .selectV2: 1
            default: 2
            }
        }

        /// BuiltinOptions; 0 for none.
        var options: UInt8 {
            switch self {
            case .add: 11
            case .concatenation: 10
            case .fullyConnected: 8
            case .mul: 21
            case .reshape: 17
            case .softmax: 9
            case .gather: 23
            case .transpose: 26
            case .mean: 27
            case .sub: 28
            case .slice: 48
            case .quantize: 89
            case .maximum: 39
            case .selectV2: 98
            case .batchMatMul: 101
            case .logistic, .relu, .rsqrt: 0
            }
        }
    }

    private let graph: StaticGraph
    private var tensors: [FlatValue] = []
    private var operators: [FlatValue] = []
    /// Buffer 0 is the empty one of computed tensors.
    private var buffers: [FlatValue] = [.table([])]
    private var codes: [Operator] = []
    /// Tensors of shapes, axes and bounds, by their numbers.
    private var indices: [[Int32]: Int] = [:]
    /// Biases of 16-bit inputs, which the kernel adds at 64 bits.
    private var wideBiases: Set<StaticGraph.ValueID> = []

    /// The file's bytes, and where the parts of which tensor and operator stand.
    static func file(
        of graph: StaticGraph, named file: String, metadata: [(String, String)]
    ) throws(DyadError) -> FlatBufferWriter {
        try FlatBufferWriter.file(
            model(of: graph, named: file, metadata: metadata), identifier: "TFL3", named: file)
    }

    private static func model(
        of graph: StaticGraph, named file: String, metadata: [(String, String)]
    ) throws(DyadError) -> FlatValue {
        var writer = LiteRTWriter(graph)
        for id in graph.values.indices { writer.addTensor(id) }
        for node in graph.nodes { try writer.add(node) }
        let subgraph = FlatValue.table([
            (0, .vector(writer.tensors)), (1, ids(graph.inputs)), (2, ids(graph.outputs)),
            (3, .vector(writer.operators)),
            (4, .string("main")),
        ])
        var entries: [FlatValue] = []
        for (name, text) in metadata {
            writer.buffers.append(.table([(0, .numbers(ConstantData(Array(text.utf8)), size: 1, alignment: 16))]))
            entries.append(.table([(0, .string(name)), (1, .number(UInt32(writer.buffers.count - 1)))]))
        }
        func map(_ ids: [Int]) -> FlatValue {
            .vector(ids.map { .table([(0, .string(graph.values[$0].name)), (1, .number(UInt32($0)))]) })
        }
        let signature = FlatValue.table([
            (0, map(graph.inputs)), (1, map(graph.outputs)), (2, .string("serving_default")), (4, .number(UInt32(0))),
        ])
        let codes = writer.codes.map { code in
            // The old field is for readers from before 127 operators were exceeded.
            FlatValue.table([
                (0, .number(Int8(min(code.rawValue, 127)))), (2, .number(code.version)), (3, .number(code.rawValue)),
            ])
        }
        return .table([
            (0, .number(UInt32(3))), (1, .vector(codes)), (2, .vector([subgraph])), (3, .string("dyad")),
            (4, .vector(writer.buffers)), (6, .vector(entries)), (7, .vector([signature])),
        ])
    }

    private init(_ graph: StaticGraph) {
        self.graph = graph
        for node in graph.nodes where node.operation == .fullyConnected && node.inputs.count > 2 {
            if graph.values[node.inputs[0]].type.integerType == .i16 { wideBiases.insert(node.inputs[2]) }
        }
    }

    private static func ids(_ ids: [Int]) -> FlatValue { .numbers(ids.map(Int32.init)) }

    // MARK: Tensors

    /// Schema: TensorType.
    private static func code(_ type: StaticGraph.ValueType) -> Int8 {
        switch type {
        case .float: 0
        case .index: 2
        case .condition: 6
        case .quantized(let type, _), .perRow(let type, _):
            switch type {
            case .i8, .i4: 9
            case .i16: 7
            case .i32: 2
            case .u8: 3
            case .u16: 16
            case .u32: 15
            }
        }
    }

    private mutating func addTensor(_ id: StaticGraph.ValueID) {
        let value = graph.values[id]
        var code = Self.code(value.type)
        var data = value.constant
        if let narrow = data, wideBiases.contains(id) {
            code = 4
            let wide = narrow.withUnsafeBytes { bytes in
                stride(from: 0, to: bytes.count, by: 4).map {
                    Int64(bytes.loadUnaligned(fromByteOffset: $0, as: Int32.self))
                }
            }
            data = ConstantData(wide.withUnsafeBytes(Array.init))
        }
        var fields: [(slot: Int, value: FlatValue)] = [
            (0, Self.ids(value.shape)), (1, .number(code)), (2, .number(UInt32(buffer(data, of: value.name)))),
            (3, .string(value.name)), (8, .number(true)),
        ]
        switch value.type {
        case .quantized(_, let encoding):
            fields.append((4, Self.quantization([encoding.scale], [Int64(encoding.zeroPoint)], of: value.name)))
        case .perRow(_, let scales):
            let zeros = [Int64](repeating: 0, count: scales.count)
            fields.append((4, Self.quantization(scales, zeros, of: value.name)))
        case .float, .index, .condition: break
        }
        tensors.append(Self.named(value.name, "description", .table(fields)))
    }

    private static func named(_ subject: String, _ part: String, _ value: FlatValue) -> FlatValue {
        .named(FlatBufferRegion.Name(subject: subject, part: part), value)
    }

    /// Rows are the first axis.
    private static func quantization(_ scales: [Float], _ zeroPoints: [Int64], of name: String) -> FlatValue {
        let fields: [(slot: Int, value: FlatValue)] = [
            (2, named(name, "scale", .numbers(scales))), (3, named(name, "zero point", .numbers(zeroPoints))),
            (6, .number(Int32(0))),
        ]
        return named(name, "axis or encoding", .table(fields))
    }

    private mutating func buffer(_ data: ConstantData?, of name: String) -> Int {
        guard let data else { return 0 }
        buffers.append(.table([(0, Self.named(name, "value", .numbers(data, size: 1, alignment: 16)))]))
        return buffers.count - 1
    }

    /// A tensor of int32: shapes, axes and bounds are operands.
    private mutating func integers(_ values: [Int]) -> Int {
        let numbers = values.map(Int32.init)
        if let known = indices[numbers] { return known }
        let name = "integers." + values.map(String.init).joined(separator: ".")
        let number = buffer(ConstantData(numbers.withUnsafeBytes(Array.init)), of: name)
        tensors.append(
            .table([
                (0, .numbers([Int32(values.count)])), (1, .number(Int8(2))), (2, .number(UInt32(number))),
                (3, .string(name)), (8, .number(true)),
            ]))
        indices[numbers] = tensors.count - 1
        return tensors.count - 1
    }

    // MARK: Operators

    private func name(of id: StaticGraph.ValueID) -> String { graph.values[id].name }

    private mutating func add(
        _ code: Operator, _ inputs: [Int], _ output: Int, _ options: [(slot: Int, value: FlatValue)] = []
    ) {
        if !codes.contains(code) { codes.append(code) }
        var fields: [(slot: Int, value: FlatValue)] = [
            (0, .number(UInt32(codes.firstIndex(of: code) ?? 0))), (1, Self.ids(inputs)), (2, Self.ids([output])),
        ]
        if code.options > 0 { fields += [(3, .number(code.options)), (4, .table(options))] }
        operators.append(Self.named(name(of: output), "operator", .table(fields)))
    }

    private mutating func add(_ node: StaticGraph.Node) throws(DyadError) {
        let inputs = node.inputs, output = node.output
        let shape = graph.values[output].shape
        switch node.operation {
        case .gather: add(.gather, inputs, output)
        // With its other dimensions kept, as they are here.
        case .fullyConnected: add(.fullyConnected, inputs, output, [(2, .number(true))])
        case .matmul: add(.batchMatMul, inputs, output)
        // The schema's default would ask for scales that are powers of two at 16 bit.
        case .add: add(.add, inputs, output, [(1, .number(false))])
        case .subtract: add(.sub, inputs, output, [(1, .number(false))])
        case .multiply: add(.mul, inputs, output)
        case .maximum: add(.maximum, inputs, output)
        case .sigmoid: add(.logistic, inputs, output)
        case .relu: add(.relu, inputs, output)
        case .softmax: add(.softmax, inputs, output, [(0, .number(Float(1)))])
        case .select: add(.selectV2, inputs, output)
        case .mean: add(.mean, inputs + [integers([shape.count - 1])], output, [(0, .number(true))])
        case .reciprocalRoot: add(.rsqrt, inputs, output)
        case .reshape:
            add(.reshape, inputs + [integers(shape)], output, [(0, Self.ids(shape))])
        case .transpose(let axes): add(.transpose, inputs + [integers(axes)], output)
        case .concatenate(let axis): add(.concatenation, inputs, output, [(0, .number(Int32(axis)))])
        case .slice(let axis, let start):
            var begin = [Int](repeating: 0, count: shape.count)
            begin[axis] = start
            add(.slice, inputs + [integers(begin), integers(shape)], output)
        case .requantize: add(.quantize, inputs, output)
        case .gelu, .rmsNorm, .layerNorm, .sum, .largest, .exponential, .logarithm, .greater:
            throw DyadError(
                .unsupported, subject: node.origin, found: "\(node.operation)", expected: "an operation of LiteRT",
                remedy: "Report this as a defect of Dyad.")
        }
    }
}
