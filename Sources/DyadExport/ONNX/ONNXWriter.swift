import DyadFormats
import DyadGraph
import Foundation

/// Writes a ``StaticGraph`` as ONNX in quantise–dequantise form: every operation stands between a DequantizeLinear of its
/// inputs and a QuantizeLinear of its output, which is how ONNX Runtime and Qualcomm's provider learn the encodings.
struct ONNXWriter {
    /// Opset 23 brought RMSNormalization; 21 brought 4- and 16-bit integers to the quantise operators.
    static let opset: Int64 = 23
    private static let intermediateVersion: Int64 = 11
    /// Constants of at least so many bytes stand in the weight file.
    private static let externalFrom = 1024

    private let graph: StaticGraph
    private let weightFile: String
    private var weights: WeightFile
    private var document = ONNXGraph()
    /// Values whose DequantizeLinear is there.
    private var dequantized: Set<Int> = []
    private var shapes: Set<String> = []

    /// The model of a graph; its large constants are added to `weights`, which is going to be the file `weightFile` beside it.
    ///
    /// - Parameter observing: values that become outputs too, for a comparison tensor by tensor.
    static func model(
        of graph: StaticGraph, name: String, weights: inout WeightFile, weightFile: String, observing: [Int] = [],
        metadata: [(String, String)]
    ) throws(DyadError) -> ONNXModel {
        var writer = ONNXWriter(graph: graph, weightFile: weightFile, weights: weights)
        for (id, value) in graph.values.enumerated() where value.constant != nil { writer.addConstant(id) }
        for node in graph.nodes { try writer.add(node) }
        writer.document.name = name
        writer.document.input = graph.inputs.map { writer.information($0) }
        let outputs = graph.outputs + observing.filter { !graph.outputs.contains($0) }
        writer.document.output = outputs.map { writer.information($0) }
        weights = writer.weights

        var model = ONNXModel()
        model.irVersion = intermediateVersion
        model.producerName = "dyad"
        model.graph = writer.document
        var operators = ONNXOperatorSet()
        operators.domain = ""
        operators.version = opset
        model.opsetImport = [operators]
        model.metadataProps = metadata.map { entry($0, $1) }
        return model
    }

    private init(graph: StaticGraph, weightFile: String, weights: WeightFile) {
        self.graph = graph
        self.weightFile = weightFile
        self.weights = weights
    }

    private static func entry(_ key: String, _ value: String) -> ONNXEntry {
        var entry = ONNXEntry()
        entry.key = key
        entry.value = value
        return entry
    }

    // MARK: Types

    private static func code(_ type: IntegerType) -> Int32 {
        switch type {
        case .u8: 2
        case .i8: 3
        case .u16: 4
        case .i16: 5
        case .i32: 6
        case .u32: 12
        case .i4: 22
        }
    }

    private static func code(_ type: StaticGraph.ValueType) -> Int32 {
        switch type {
        case .quantized(let type, _), .perRow(let type, _): code(type)
        case .float: 1
        case .index: 6
        case .condition: 9
        }
    }

    private func information(_ id: Int) -> ONNXValueInfo {
        var information = ONNXValueInfo()
        information.name = graph.values[id].name
        information.type.tensorType.elemType = Self.code(graph.values[id].type)
        information.type.tensorType.shape.dim = graph.values[id].shape.map { extent in
            var dimension = ONNXShape.Dimension()
            dimension.dimValue = Int64(extent)
            return dimension
        }
        return information
    }

    // MARK: Constants

    private mutating func addTensor(_ name: String, _ shape: [Int], _ code: Int32, _ data: ConstantData) {
        var tensor = ONNXTensor()
        tensor.name = name
        tensor.dims = shape.map(Int64.init)
        tensor.dataType = code
        if data.count >= Self.externalFrom {
            let offset = weights.position(of: name, data)
            tensor.dataLocation = .external
            tensor.externalData = [
                Self.entry("location", weightFile), Self.entry("offset", String(offset)),
                Self.entry("length", String(data.count)),
            ]
        } else {
            tensor.rawData = data.withUnsafeBytes { Data($0) }
        }
        document.initializer.append(tensor)
    }

    private mutating func addTensor<Element: BitwiseCopyable>(
        _ name: String, _ shape: [Int], _ code: Int32, _ elements: [Element]
    ) {
        addTensor(name, shape, code, ConstantData(elements.withUnsafeBytes(Array.init)))
    }

    private mutating func addConstant(_ id: Int) {
        let value = graph.values[id]
        guard let data = value.constant else { return }
        addTensor(value.name, value.shape, Self.code(value.type), data)
    }

    /// The initialisers with the scale and the zero point of a value.
    private mutating func addEncoding(_ id: Int) -> [String] {
        let value = graph.values[id]
        let names = ["\(value.name).scale", "\(value.name).zero_point"]
        guard shapes.insert(names[0]).inserted else { return names }
        switch value.type {
        case .quantized(let type, let encoding):
            addTensor(names[0], [], 1, [encoding.scale])
            switch type {
            case .u8: addTensor(names[1], [], Self.code(type), [UInt8(encoding.zeroPoint)])
            case .i8: addTensor(names[1], [], Self.code(type), [Int8(encoding.zeroPoint)])
            case .u16: addTensor(names[1], [], Self.code(type), [UInt16(encoding.zeroPoint)])
            case .i16: addTensor(names[1], [], Self.code(type), [Int16(encoding.zeroPoint)])
            case .i32, .u32, .i4: addTensor(names[1], [], Self.code(type), [encoding.zeroPoint])
            }
        case .perRow(let type, let scales):
            addTensor(names[0], [scales.count], 1, scales)
            let zeros = [UInt8](repeating: 0, count: (scales.count * type.bitWidth + 7) / 8)
            addTensor(names[1], [scales.count], Self.code(type), zeros)
        case .float, .index, .condition: break
        }
        return names
    }

    // MARK: Nodes

    private mutating func addNode(
        _ type: String, _ inputs: [String], _ output: String, _ attributes: [ONNXAttribute] = []
    ) {
        var node = ONNXNode()
        node.name = "\(output)/\(type)"
        node.opType = type
        node.input = inputs
        node.output = [output]
        node.attribute = attributes
        document.node.append(node)
    }

    private static func attribute(_ name: String, _ value: Int) -> ONNXAttribute {
        var attribute = ONNXAttribute()
        attribute.name = name
        attribute.i = Int64(value)
        attribute.type = .int
        return attribute
    }

    private static func attribute(_ name: String, _ values: [Int]) -> ONNXAttribute {
        var attribute = ONNXAttribute()
        attribute.name = name
        attribute.ints = values.map(Int64.init)
        attribute.type = .ints
        return attribute
    }

    private static func attribute(_ name: String, _ value: Float) -> ONNXAttribute {
        var attribute = ONNXAttribute()
        attribute.name = name
        attribute.f = value
        attribute.type = .float
        return attribute
    }

    private static func attribute(_ name: String, _ value: String) -> ONNXAttribute {
        var attribute = ONNXAttribute()
        attribute.name = name
        attribute.s = Data(value.utf8)
        attribute.type = .string
        return attribute
    }

    /// The name under which an operation reads a value: its real numbers.
    private mutating func real(_ id: Int) -> String {
        let value = graph.values[id]
        switch value.type {
        case .float, .index, .condition: return value.name
        case .quantized, .perRow:
            let name = "\(value.name).real"
            guard dequantized.insert(id).inserted else { return name }
            let encoding = addEncoding(id)
            var attributes: [ONNXAttribute] = []
            if case .perRow = value.type { attributes = [Self.attribute("axis", 0)] }
            addNode("DequantizeLinear", [value.name] + encoding, name, attributes)
            return name
        }
    }

    /// A one-dimensional int64 constant: shapes and bounds are operands in ONNX.
    private mutating func integers(_ values: [Int]) -> String {
        let name = "integers." + values.map(String.init).joined(separator: ".")
        if shapes.insert(name).inserted { addTensor(name, [values.count], 7, values.map(Int64.init)) }
        return name
    }

    private mutating func add(_ node: StaticGraph.Node) throws(DyadError) {
        let output = graph.values[node.output]
        var inputs: [String] = []
        for input in node.inputs { inputs.append(real(input)) }
        let result = "\(output.name).exact"
        switch node.operation {
        case .gather: addNode("Gather", inputs, result, [Self.attribute("axis", 0)])
        case .fullyConnected: addNode("Gemm", inputs, result, [Self.attribute("transB", 1)])
        case .matmul: addNode("MatMul", inputs, result)
        case .add: addNode("Add", inputs, result)
        case .subtract: addNode("Sub", inputs, result)
        case .multiply: addNode("Mul", inputs, result)
        case .maximum: addNode("Max", inputs, result)
        case .sigmoid: addNode("Sigmoid", inputs, result)
        case .relu: addNode("Relu", inputs, result)
        case .gelu(let tanh):
            addNode("Gelu", inputs, result, [Self.attribute("approximate", tanh ? "tanh" : "none")])
        case .softmax: addNode("Softmax", inputs, result, [Self.attribute("axis", -1)])
        case .select: addNode("Where", inputs, result)
        case .rmsNorm(let epsilon):
            let attributes = [Self.attribute("axis", -1), Self.attribute("epsilon", epsilon)]
            addNode("RMSNormalization", inputs, result, attributes)
        case .layerNorm(let epsilon):
            let attributes = [Self.attribute("axis", -1), Self.attribute("epsilon", epsilon)]
            addNode("LayerNormalization", inputs, result, attributes)
        case .mean:
            addNode("ReduceMean", inputs + [integers([-1])], result, [Self.attribute("keepdims", 1)])
        case .sum: addNode("ReduceSum", inputs + [integers([-1])], result, [Self.attribute("keepdims", 1)])
        case .largest:
            addNode("ReduceMax", inputs + [integers([-1])], result, [Self.attribute("keepdims", 1)])
        case .exponential: addNode("Exp", inputs, result)
        case .logarithm: addNode("Log", inputs, result)
        case .greater: return addNode("Greater", inputs, output.name)
        case .reciprocalRoot:
            addNode("Sqrt", inputs, "\(output.name).root")
            addNode("Reciprocal", ["\(output.name).root"], result)
        case .reshape: addNode("Reshape", inputs + [integers(output.shape)], result)
        case .transpose(let axes): addNode("Transpose", inputs, result, [Self.attribute("perm", axes)])
        case .concatenate(let axis): addNode("Concat", inputs, result, [Self.attribute("axis", axis)])
        case .slice(let axis, let start):
            let bounds = [integers([start]), integers([start + output.shape[axis]]), integers([axis])]
            addNode("Slice", inputs + bounds, result)
        case .requantize:
            // The input's real numbers, rounded onto the output's encoding: nothing else to do.
            return addNode("QuantizeLinear", inputs + addEncoding(node.output), output.name)
        }
        addNode("QuantizeLinear", [result] + addEncoding(node.output), output.name)
    }
}
