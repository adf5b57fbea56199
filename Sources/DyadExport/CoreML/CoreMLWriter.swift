import DyadFormats
import DyadGraph

/// Writes a ``StaticGraph`` as a Core ML program (iOS 18 operations): 8-bit weights and activations between quantise and dequantise
/// operations, everything at 16 bit in float16, keys and values in states.
struct CoreMLWriter {
    /// The set of operations of iOS 18, and the version of the format that has it.
    static let opset = "CoreML8"
    static let specificationVersion: Int32 = 9
    private static let weightPath = "@model_path/weights/weight.bin"

    private let graph: StaticGraph
    private let shape: StaticShape
    private var operations: [CoreMLOperation] = []
    private var blob = CoreMLBlob()
    private var names: Set<String> = []
    /// The float16 tensors of values.
    private var reals: [StaticGraph.ValueID: String] = [:]
    private var constants: [String: String] = [:]
    /// States by the name of the cache, with what was read.
    private var states: [(name: String, shape: [Int])] = []
    private var inputs: [CoreMLNamedValueType] = []

    /// The model, and its weight file.
    static func model(
        of graph: StaticGraph, shape: StaticShape, metadata: [(String, String)]
    ) throws(DyadError) -> (model: CoreMLModel, weights: CoreMLBlob) {
        var writer = CoreMLWriter(graph, shape)
        for id in graph.inputs { writer.addInput(id) }
        for node in graph.nodes { try writer.add(node) }
        var outputs: [(String, [Int])] = []
        for id in graph.outputs {
            let value = graph.values[id]
            if case .newRows(let cache) = HostPort(name: value.name) {
                try writer.store(id, in: cache)
            } else {
                outputs.append((try writer.real(id), value.shape))
            }
        }

        var block = CoreMLBlock()
        block.operations = writer.operations
        block.outputs = outputs.map(\.0)
        var function = CoreMLFunction()
        function.inputs =
            writer.inputs
            + writer.states.map { state in
                var named = CoreMLNamedValueType()
                named.name = state.name
                named.type.stateType.wrappedType = tensor(.float16, state.shape)
                return named
            }
        function.opset = opset
        function.blockSpecializations[opset] = block
        var model = CoreMLModel()
        model.specificationVersion = specificationVersion
        model.mlProgram.version = 1
        model.mlProgram.functions["main"] = function
        model.description_p.input = writer.inputs.map { feature($0) }
        model.description_p.output = outputs.map { name, extents in
            feature(name, array(extents, .float16))
        }
        model.description_p.state = writer.states.map { state in
            var feature = CoreMLFeatureDescription()
            feature.name = state.name
            feature.type.stateType.arrayType = array(state.shape, .float16)
            return feature
        }
        for (key, value) in metadata { model.description_p.metadata.userDefined[key] = value }
        return (model, writer.blob)
    }

    private init(_ graph: StaticGraph, _ shape: StaticShape) {
        self.graph = graph
        self.shape = shape
    }

    // MARK: Types

    private static func tensor(_ type: CoreMLDataType, _ shape: [Int]) -> CoreMLValueType {
        var value = CoreMLValueType()
        value.tensorType.dataType = type
        value.tensorType.rank = Int64(shape.count)
        value.tensorType.dimensions = shape.map { extent in
            var dimension = CoreMLDimension()
            dimension.constant.size = UInt64(extent)
            return dimension
        }
        return value
    }

    /// Core ML's number of arrays of int32; of float16 it is 65552.
    static let int32Arrays: Int32 = 131104

    private static func array(_ shape: [Int], _ type: CoreMLDataType) -> CoreMLArrayFeatureType {
        var array = CoreMLArrayFeatureType()
        array.shape = shape.map(Int64.init)
        array.dataType = type == .int32 ? int32Arrays : 65552
        return array
    }

    private static func feature(_ name: String, _ array: CoreMLArrayFeatureType) -> CoreMLFeatureDescription {
        var feature = CoreMLFeatureDescription()
        feature.name = name
        feature.type.multiArrayType = array
        return feature
    }

    private static func feature(_ input: CoreMLNamedValueType) -> CoreMLFeatureDescription {
        let tensor = input.type.tensorType
        return feature(input.name, array(tensor.dimensions.map { Int($0.constant.size) }, tensor.dataType))
    }

    // MARK: Names and constants

    /// A name of letters, digits and underscores that is not taken.
    private mutating func unique(_ name: String) -> String {
        var stem = String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
        if stem.first?.isNumber ?? true { stem = "_" + stem }
        var result = stem
        var number = 1
        while !names.insert(result).inserted {
            number += 1
            result = "\(stem)_\(number)"
        }
        return result
    }

    private static func text(_ text: String) -> CoreMLValue {
        var value = CoreMLValue()
        value.type.tensorType.dataType = .string
        value.immediateValue.tensor.strings.values = [text]
        return value
    }

    private mutating func add(
        _ type: String, _ inputs: [(String, [String])], _ output: String?, _ outputType: CoreMLValueType? = nil,
        attributes: [(String, CoreMLValue)] = []
    ) {
        var operation = CoreMLOperation()
        operation.type = type
        for (key, values) in inputs {
            var argument = CoreMLArgument()
            argument.arguments = values.map { name in
                var binding = CoreMLArgument.Binding()
                binding.name = name
                return binding
            }
            operation.inputs[key] = argument
        }
        if let output, let outputType {
            var named = CoreMLNamedValueType()
            named.name = output
            named.type = outputType
            operation.outputs = [named]
        }
        operation.attributes["name"] = Self.text(output ?? unique(type))
        for (key, value) in attributes { operation.attributes[key] = value }
        operations.append(operation)
    }

    /// A constant, made once for each key.
    private mutating func constant(_ key: String, _ type: CoreMLValueType, _ fill: (inout CoreMLValue) -> Void)
        -> String
    {
        if let known = constants[key] { return known }
        let name = unique(key)
        var value = CoreMLValue()
        value.type = type
        fill(&value)
        add("const", [], name, type, attributes: [("val", value)])
        constants[key] = name
        return name
    }

    private mutating func integers(_ values: [Int]) -> String {
        constant(
            "ints_" + values.map { $0 < 0 ? "m\(-$0)" : "\($0)" }.joined(separator: "_"),
            Self.tensor(.int32, [values.count])
        ) {
            $0.immediateValue.tensor.ints.values = values.map(Int32.init)
        }
    }

    private mutating func integer(_ number: Int) -> String {
        var type = CoreMLValueType()
        type.tensorType.dataType = .int32
        return constant("int_" + (number < 0 ? "m\(-number)" : "\(number)"), type) {
            $0.immediateValue.tensor.ints.values = [Int32(number)]
        }
    }

    private mutating func flag(_ value: Bool) -> String {
        var type = CoreMLValueType()
        type.tensorType.dataType = .bool
        return constant(value ? "yes" : "no", type) { $0.immediateValue.tensor.bools.values = [value] }
    }

    private mutating func string(_ text: String) -> String {
        var type = CoreMLValueType()
        type.tensorType.dataType = .string
        return constant("text_" + text, type) { $0.immediateValue.tensor.strings.values = [text] }
    }

    /// A scalar of float16.
    private mutating func number(_ value: Float) -> String {
        var type = CoreMLValueType()
        type.tensorType.dataType = .float16
        let bits = Float16(value).bitPattern
        return constant("half_\(bits)", type) {
            $0.immediateValue.tensor.bytes.values = .init([UInt8(truncatingIfNeeded: bits), UInt8(bits >> 8)])
        }
    }

    private mutating func zeroPoint(_ value: Int32, _ type: CoreMLDataType) -> String {
        var valueType = CoreMLValueType()
        valueType.tensorType.dataType = type
        return constant("zero_\(type)_\(value < 0 ? "m\(-value)" : "\(value)")", valueType) {
            $0.immediateValue.tensor.bytes.values = .init([UInt8(truncatingIfNeeded: value)])
        }
    }

    /// Bytes in the weight file.
    private mutating func stored(
        _ type: CoreMLDataType, _ shape: [Int], _ data: ConstantData, of name: String
    ) -> CoreMLValue {
        var value = CoreMLValue()
        value.type = Self.tensor(type, shape)
        value.blobFileValue.fileName = Self.weightPath
        value.blobFileValue.offset = UInt64(blob.add(data, type, of: name))
        return value
    }

    private static func halves(_ values: [Float]) -> ConstantData {
        ConstantData(values.map { Float16($0).bitPattern }.withUnsafeBytes(Array.init))
    }

    private mutating func halfConstant(_ name: String, _ shape: [Int], _ values: [Float]) -> String {
        let result = unique(name)
        let value = stored(.float16, shape, Self.halves(values), of: name)
        add("const", [], result, Self.tensor(.float16, shape), attributes: [("val", value)])
        return result
    }

    /// A matrix of 4 or 8 bits with its scales: Core ML unpacks it when it likes.
    private mutating func packed(
        _ name: String, _ value: StaticGraph.Value, _ type: IntegerType, _ scales: [Float], _ data: ConstantData
    ) -> String {
        let result = unique(name)
        let scaleShape = [scales.count] + [Int](repeating: 1, count: value.shape.count - 1)
        let stored = stored(type == .i4 ? .int4 : .int8, value.shape, data, of: name)
        let scale = self.stored(.float16, scaleShape, Self.halves(scales), of: name)
        var operation = CoreMLOperation()
        operation.type = "constexpr_blockwise_shift_scale"
        for (key, value) in [("data", stored), ("scale", scale)] {
            var binding = CoreMLArgument.Binding()
            binding.value = value
            var argument = CoreMLArgument()
            argument.arguments = [binding]
            operation.inputs[key] = argument
        }
        var named = CoreMLNamedValueType()
        named.name = result
        named.type = Self.tensor(.float16, value.shape)
        operation.outputs = [named]
        operation.attributes["name"] = Self.text(result)
        operations.append(operation)
        return result
    }

    private static func numbers<Element: FixedWidthInteger>(_ data: ConstantData, as: Element.Type) -> [Element] {
        data.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: MemoryLayout<Element>.size).map {
                bytes.loadUnaligned(fromByteOffset: $0, as: Element.self)
            }
        }
    }

    /// The float16 tensor of a value: made before, or a constant.
    private mutating func real(_ id: StaticGraph.ValueID) throws(DyadError) -> String {
        if let name = reals[id] { return name }
        let value = graph.values[id]
        guard let data = value.constant else { throw unsupported(value.name, "no value", "one made before") }
        let name: String
        switch value.type {
        case .perRow(.i32, let scales):
            let steps = Self.numbers(data, as: Int32.self)
            name = halfConstant(value.name, value.shape, zip(steps, scales).map { Float($0) * $1 })
        case .perRow(let type, let scales) where type == .i8 || type == .i4:
            name = packed(value.name, value, type, scales, data)
        case .quantized(.i8, let encoding) where encoding.zeroPoint == 0:
            name = packed(value.name, value, .i8, [encoding.scale], data)
        case .quantized(.u16, let encoding):
            name = halfConstant(
                value.name, value.shape,
                Self.numbers(data, as: UInt16.self).map { Float(Int32($0) - encoding.zeroPoint) * encoding.scale })
        case .float:
            name = halfConstant(
                value.name, value.shape, Self.numbers(data, as: UInt32.self).map(Float.init(bitPattern:)))
        default: throw unsupported(value.name, "\(value.type)", "a constant that Core ML holds")
        }
        reals[id] = name
        return name
    }

    private func unsupported(_ subject: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .unsupported, subject: subject, found: found, expected: expected,
            remedy: "Export as onnx or litert.")
    }

    // MARK: Inputs and states

    private mutating func addInput(_ id: StaticGraph.ValueID) {
        let value = graph.values[id]
        if case .pastRows(let cache) = HostPort(name: value.name) {
            let name = state(cache, value.shape)
            let all = unique("\(value.name).read")
            var extents = value.shape
            extents[2] = shape.context
            add("read_state", [("input", [name])], all, Self.tensor(.float16, extents))
            reads[name] = all
            let past = unique(value.name)
            add(
                "slice_by_size",
                [("x", [all]), ("begin", [integers([0, 0, 0, 0])]), ("size", [integers(value.shape)])], past,
                Self.tensor(.float16, value.shape))
            reals[id] = past
            return
        }
        var named = CoreMLNamedValueType()
        named.name = unique(value.name)
        let isIndex = value.type == .index
        named.type = Self.tensor(isIndex ? .int32 : .float16, value.shape)
        inputs.append(named)
        reals[id] = named.name
    }

    /// What was read of a state.
    private var reads: [String: String] = [:]
    private var positionInput: String?

    private mutating func state(_ cache: String, _ rows: [Int]) -> String {
        let name = String(cache.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
        guard !states.contains(where: { $0.name == name }) else { return name }
        names.insert(name)
        var extents = rows
        extents[2] = shape.context
        states.append((name, extents))
        return name
    }

    /// Writes a step's rows into the state, at the input `cache_position`.
    private mutating func store(_ id: StaticGraph.ValueID, in cache: String) throws(DyadError) {
        let value = graph.values[id]
        let new = try real(id)
        let name = state(cache, value.shape)
        var extents = value.shape
        extents[2] = shape.context
        let type = Self.tensor(.float16, extents)
        let all: String
        if let read = reads[name] {
            all = read
        } else {
            all = unique("\(value.name).read")
            add("read_state", [("input", [name])], all, type)
        }
        let position =
            positionInput
            ?? {
                var named = CoreMLNamedValueType()
                named.name = unique("cache_position")
                named.type = Self.tensor(.int32, [1])
                inputs.append(named)
                return named.name
            }()
        positionInput = position
        let (begin, end) = (bounds(position, value.shape, isEnd: false), bounds(position, value.shape, isEnd: true))
        let updated = unique("\(value.name).updated")
        add("slice_update", [("x", [all]), ("update", [new]), ("begin", [begin]), ("end", [end])], updated, type)
        add("write_state", [("input", [name]), ("data", [updated])], nil)
    }

    /// `[0, 0, position, 0]`, or where the rows end.
    private mutating func bounds(_ position: String, _ extents: [Int], isEnd: Bool) -> String {
        let key = "bounds_\(isEnd)_\(extents)"
        if let known = constants[key] { return known }
        var row = position
        if isEnd {
            row = unique("cache_end")
            add("add", [("x", [position]), ("y", [integers([extents[2]])])], row, Self.tensor(.int32, [1]))
        }
        let fixed = isEnd ? extents : [0, 0, 0, 0]
        let name = unique("bounds")
        let values = [integers([fixed[0]]), integers([fixed[1]]), row, integers([fixed[3]])]
        add(
            "concat", [("values", values), ("axis", [integer(0)]), ("interleave", [flag(false)])], name,
            Self.tensor(.int32, [4]))
        constants[key] = name
        return name
    }

    // MARK: Operations

    /// Rounds to 8 bits, if the value has 8 bits.
    private mutating func rounded(_ name: String, _ value: StaticGraph.Value) -> String {
        guard case .quantized(let type, let encoding) = value.type, type == .u8 || type == .i8 else { return name }
        let integer: CoreMLDataType = type == .u8 ? .uint8 : .int8
        let (scale, zero) = (number(encoding.scale), zeroPoint(encoding.zeroPoint, integer))
        let stored = unique("\(value.name).stored"), result = unique(value.name)
        add(
            "quantize",
            [
                ("input", [name]), ("scale", [scale]), ("zero_point", [zero]),
                ("output_dtype", [string(type == .u8 ? "uint8" : "int8")]),
            ],
            stored, Self.tensor(integer, value.shape))
        add(
            "dequantize", [("input", [stored]), ("scale", [scale]), ("zero_point", [zero])], result,
            Self.tensor(.float16, value.shape))
        return result
    }

    private mutating func make(
        _ type: String, _ arguments: [(String, [String])], _ name: String, _ shape: [Int]
    ) -> String {
        let result = unique(name)
        add(type, arguments, result, Self.tensor(.float16, shape))
        return result
    }

    private mutating func add(_ node: StaticGraph.Node) throws(DyadError) {
        let output = graph.values[node.output]
        var x: [String] = []
        for input in node.inputs { x.append(try real(input)) }
        let isNarrow = output.type.integerType?.bitWidth == 8
        let (name, shape) = (isNarrow ? "\(output.name).exact" : output.name, output.shape)
        let exact: String
        switch node.operation {
        case .gather:
            exact = make(
                "gather",
                [
                    ("x", [x[0]]), ("indices", [x[1]]), ("axis", [integer(0)]), ("batch_dims", [integer(0)]),
                    ("validate_indices", [flag(false)]),
                ], name, shape)
        case .fullyConnected:
            let bias = x.count > 2 ? [("bias", [x[2]])] : []
            exact = make("linear", [("x", [x[0]]), ("weight", [x[1]])] + bias, name, shape)
        case .matmul:
            let no = flag(false)
            exact = make(
                "matmul", [("x", [x[0]]), ("y", [x[1]]), ("transpose_x", [no]), ("transpose_y", [no])], name, shape)
        case .add: exact = make("add", [("x", [x[0]]), ("y", [x[1]])], name, shape)
        case .subtract: exact = make("sub", [("x", [x[0]]), ("y", [x[1]])], name, shape)
        case .multiply: exact = make("mul", [("x", [x[0]]), ("y", [x[1]])], name, shape)
        case .sigmoid: exact = make("sigmoid", [("x", [x[0]])], name, shape)
        case .relu: exact = make("relu", [("x", [x[0]])], name, shape)
        case .gelu(let tanh):
            exact = make(
                "gelu", [("x", [x[0]]), ("mode", [string(tanh ? "TANH_APPROXIMATION" : "EXACT")])], name, shape)
        case .softmax: exact = make("softmax", [("x", [x[0]]), ("axis", [integer(-1)])], name, shape)
        case .select:
            // `visible` is 0 or 1: what is hidden gets a score of 10,000 less.
            let hidden =
                constants["hidden"]
                ?? {
                    let extents = graph.values[node.inputs[0]].shape
                    let less = make("sub", [("x", [x[0]]), ("y", [number(1)])], "hidden_units", extents)
                    return make("mul", [("x", [less]), ("y", [number(10000)])], "hidden", extents)
                }()
            constants["hidden"] = hidden
            exact = make("add", [("x", [x[1]]), ("y", [hidden])], name, shape)
        case .rmsNorm(let epsilon): exact = rmsNorm(x[0], gain: x[1], Double(epsilon), name, shape)
        case .layerNorm(let epsilon):
            let bias = x.count > 2 ? [("beta", [x[2]])] : []
            exact = make(
                "layer_norm",
                [("x", [x[0]]), ("axes", [integers([-1])]), ("gamma", [x[1]]), ("epsilon", [number(epsilon)])] + bias,
                name, shape)
        case .reshape:
            reals[node.output] = make("reshape", [("x", [x[0]]), ("shape", [integers(shape)])], output.name, shape)
            return
        case .transpose(let axes):
            reals[node.output] = make("transpose", [("x", [x[0]]), ("perm", [integers(axes)])], output.name, shape)
            return
        case .concatenate(let axis):
            reals[node.output] = make(
                "concat", [("values", x), ("axis", [integer(axis)]), ("interleave", [flag(false)])], output.name, shape)
            return
        case .slice(let axis, let start):
            var begin = [Int](repeating: 0, count: shape.count)
            begin[axis] = start
            reals[node.output] = make(
                "slice_by_size", [("x", [x[0]]), ("begin", [integers(begin)]), ("size", [integers(shape)])],
                output.name,
                shape)
            return
        case .requantize: exact = x[0]
        case .maximum, .mean, .reciprocalRoot, .sum, .largest, .exponential, .logarithm, .greater:
            throw unsupported(node.origin, "\(node.operation)", "an operation of Core ML")
        }
        reals[node.output] = rounded(exact, output)
    }

    /// Relative to the largest magnitude, since float16 holds no square above 65504.
    private mutating func rmsNorm(
        _ x: String, gain: String, _ epsilon: Double, _ name: String, _ shape: [Int]
    ) -> String {
        let last = integers([-1]), yes = flag(true)
        let row = Array(shape.dropLast() + [1])
        let magnitudes = make("abs", [("x", [x])], "\(name).magnitudes", shape)
        let largest = make(
            "reduce_max", [("x", [magnitudes]), ("axes", [last]), ("keep_dims", [yes])], "\(name).largest", row)
        let bounded = make("maximum", [("x", [largest]), ("y", [number(6.2e-5)])], "\(name).bounded", row)
        let relative = make("real_div", [("x", [x]), ("y", [bounded])], "\(name).relative", shape)
        let squares = make("mul", [("x", [relative]), ("y", [relative])], "\(name).squares", shape)
        let mean = make(
            "reduce_mean", [("x", [squares]), ("axes", [last]), ("keep_dims", [yes])], "\(name).mean", row)
        // ε relative to the largest magnitude too: (√ε / largest)².
        let share = make(
            "real_div", [("x", [number(Float(epsilon.squareRoot()))]), ("y", [bounded])], "\(name).share", row)
        let offset = make("mul", [("x", [share]), ("y", [share])], "\(name).offset", row)
        let sum = make("add", [("x", [mean]), ("y", [offset])], "\(name).sum", row)
        let root = make("rsqrt", [("x", [sum]), ("epsilon", [number(1e-6)])], "\(name).root", row)
        let normalized = make("mul", [("x", [relative]), ("y", [root])], "\(name).normalized", shape)
        return make("mul", [("x", [normalized]), ("y", [gain])], name, shape)
    }
}
