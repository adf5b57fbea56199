import DyadFormats
import DyadGraph

/// Builds a ``StaticGraph`` node by node.
struct StaticBuilder {
    typealias ValueID = StaticGraph.ValueID
    typealias ValueType = StaticGraph.ValueType

    var graph = StaticGraph()
    private var names: Set<String> = []
    /// The operation of the integer graph that nodes are made for.
    var origin = ""

    /// A name that is not taken: `stem`, or `stem` with a number.
    private mutating func unique(_ stem: String) -> String {
        var name = stem
        var number = 1
        while !names.insert(name).inserted {
            number += 1
            name = "\(stem)_\(number)"
        }
        return name
    }

    private mutating func value(
        _ name: String, _ shape: [Int], _ type: ValueType, constant: ConstantData? = nil
    ) -> ValueID {
        graph.values.append(StaticGraph.Value(name: unique(name), shape: shape, type: type, constant: constant))
        return graph.values.count - 1
    }

    mutating func input(_ name: String, _ shape: [Int], _ type: ValueType) -> ValueID {
        let id = value(name, shape, type)
        graph.inputs.append(id)
        return id
    }

    mutating func output(_ id: ValueID) { graph.outputs.append(id) }

    mutating func note(_ rewrite: StaticGraph.Rewrite) { graph.rewrites[rewrite, default: 0] += 1 }

    mutating func constant(_ name: String, _ shape: [Int], _ type: ValueType, _ data: ConstantData) -> ValueID {
        value(name, shape, type, constant: data)
    }

    mutating func constant<Element: FixedWidthInteger & BitwiseCopyable>(
        _ name: String, _ shape: [Int], _ type: ValueType, _ elements: [Element]
    ) -> ValueID {
        constant(name, shape, type, ConstantData(elements.withUnsafeBytes(Array.init)))
    }

    func shape(_ id: ValueID) -> [Int] { graph.values[id].shape }
    func type(_ id: ValueID) -> ValueType { graph.values[id].type }

    /// The encoding of a value that was made by this builder as a quantised one.
    func encoding(_ id: ValueID) -> (IntegerType, Encoding) {
        guard case .quantized(let type, let encoding) = graph.values[id].type else {
            preconditionFailure("\(graph.values[id].name) has no encoding")
        }
        return (type, encoding)
    }

    /// A node; its output is `<origin>.<suffix>` unless `name` says otherwise.
    mutating func node(
        _ operation: StaticGraph.Operation, _ inputs: [ValueID], _ shape: [Int], _ type: ValueType, suffix: String = "",
        name: String? = nil
    ) -> ValueID {
        let output = value(name ?? "\(origin).\(suffix)", shape, type)
        graph.nodes.append(StaticGraph.Node(origin: origin, operation: operation, inputs: inputs, output: output))
        return output
    }

    // MARK: Moving data: the encoding stays

    mutating func reshape(_ id: ValueID, _ shape: [Int], name: String? = nil) -> ValueID {
        self.shape(id) == shape && name == nil
            ? id : node(.reshape, [id], shape, type(id), suffix: "reshaped", name: name)
    }

    mutating func transpose(_ id: ValueID, _ axes: [Int]) -> ValueID {
        let shape = shape(id)
        return node(.transpose(axes), [id], axes.map { shape[$0] }, type(id), suffix: "transposed")
    }

    mutating func slice(_ id: ValueID, axis: Int, start: Int, count: Int, name: String? = nil) -> ValueID {
        var shape = shape(id)
        shape[axis] = count
        return node(.slice(axis: axis, start: start), [id], shape, type(id), suffix: "slice", name: name)
    }

    mutating func concatenate(_ ids: [ValueID], axis: Int, name: String? = nil) -> ValueID {
        guard ids.count > 1 || name != nil else { return ids[0] }
        var shape = shape(ids[0])
        shape[axis] = ids.reduce(0) { $0 + self.shape($1)[axis] }
        return node(.concatenate(axis: axis), ids, shape, type(ids[0]), suffix: "joined", name: name)
    }

    // MARK: Rounding

    mutating func requantize(_ id: ValueID, to type: ValueType, suffix: String = "requantized", name: String? = nil)
        -> ValueID
    {
        node(.requantize, [id], shape(id), type, suffix: suffix, name: name)
    }

    /// A u8 value as u16 with the same real values, exactly: scale/256, zero point · 256. Others stay.
    ///
    /// Qualcomm's HTP wants the inputs of a 16-bit result at 16 bit, and its 16-bit products keep multiples of 256 exactly.
    mutating func widen(_ id: ValueID) -> ValueID {
        let (type, encoding) = encoding(id)
        guard type == .u8 else { return id }
        return requantize(id, to: .quantized(.u16, encoding.widened), suffix: "wide")
    }
}

extension Encoding {
    /// The encoding of the same real values 256 times finer: for u8 as u16.
    var widened: Encoding { Encoding(scale: scale / 256, zeroPoint: zeroPoint * 256) }
    /// The same integers standing for values `factor` times as large.
    func scaled(by factor: Float) -> Encoding { Encoding(scale: scale * factor, zeroPoint: zeroPoint) }
}
