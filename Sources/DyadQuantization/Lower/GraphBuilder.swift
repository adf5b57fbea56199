import DyadFormats
import DyadGraph

/// Collects tensors, constants and operations of a graph under construction.
struct GraphBuilder {
    private(set) var graph: IntegerGraph
    private(set) var constants: [String: ConstantData] = [:]
    /// The layer of the operations that are added.
    var layer: Int?

    init(vocabularySize: Int, maximumContext: Int, prefixTokens: [Int32]) {
        graph = IntegerGraph(
            vocabularySize: vocabularySize, maximumContext: maximumContext, prefixTokens: prefixTokens)
    }

    mutating func tensor(
        _ name: String, _ shape: [Dimension], _ type: IntegerType, _ encoding: Encoding
    ) -> TensorID {
        graph.tensors.append(GraphTensor(name: name, shape: shape, type: type, encoding: encoding))
        return graph.tensors.count - 1
    }

    mutating func operation(_ name: String, _ kind: Operation.Kind) {
        graph.operations.append(Operation(name: name, layer: layer, kind: kind))
    }

    mutating func cache(_ cache: CacheState) -> Int {
        graph.caches.append(cache)
        return graph.caches.count - 1
    }

    /// Adds a constant, little-endian, and returns its name.
    mutating func constant(_ name: String, _ shape: [Int], _ type: IntegerType?, _ bytes: [UInt8]) -> String {
        graph.constants.append(GraphConstant(name: name, shape: shape, type: type))
        constants[name] = ConstantData(bytes)
        return name
    }

    mutating func constant(_ name: String, floats: [Float]) -> String {
        constant(name, [floats.count], nil, littleEndian(floats.map(\.bitPattern)))
    }

    /// A weight as `name.weight` and `name.weight_scale`: i8, or i4 two a byte, low nibble first.
    mutating func weight(_ name: String, _ weight: QuantizedWeight) -> (weight: String, scales: String) {
        let bytes: [UInt8]
        if weight.bits == 4 {
            bytes = stride(from: 0, to: weight.integers.count, by: 2).map { index in
                let low = UInt8(bitPattern: weight.integers[index]) & 0xF
                let high = index + 1 < weight.integers.count ? UInt8(bitPattern: weight.integers[index + 1]) & 0xF : 0
                return low | high << 4
            }
        } else {
            bytes = weight.integers.map { UInt8(bitPattern: $0) }
        }
        let type: IntegerType = weight.bits == 4 ? .i4 : .i8
        return (
            constant(name + ".weight", [weight.rows, weight.columns], type, bytes),
            constant(name + ".weight_scale", floats: weight.scales)
        )
    }

    /// A bias as i32 at scale s_x·s_w[c]; nil stays nil.
    ///
    /// - Throws: ``DyadError`` where an entry lies outside i32 (the page Numerics refuses it).
    mutating func bias(
        _ name: String, _ bias: [Float]?, input: TensorID, scales: [Float]
    ) throws(DyadError) -> String? {
        guard let bias else { return nil }
        let inputScale = Double(graph.tensors[input].encoding.scale)
        var integers: [UInt32] = []
        for (value, scale) in zip(bias, scales) {
            let q = (Double(value) / (inputScale * Double(scale))).rounded()
            guard let integer = Int32(exactly: q) else {
                throw DyadError(
                    .unsupported, subject: name + ".bias", found: "a bias of \(value), \(q) steps of the accumulator",
                    expected: "at most 2^31 steps",
                    remedy:
                        "If the recipe promotes this operation's input to 16 bit, leave it at 8; otherwise report the model."
                )
            }
            integers.append(UInt32(bitPattern: integer))
        }
        return constant(name + ".bias", [integers.count], .i32, littleEndian(integers))
    }
}

/// The bytes of integers, least significant first.
func littleEndian<Integer: FixedWidthInteger>(_ values: [Integer]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(values.count * MemoryLayout<Integer>.size)
    for value in values { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
    return bytes
}
