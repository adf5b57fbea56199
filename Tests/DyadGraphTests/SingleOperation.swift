@testable import DyadGraph

/// One operation by itself, on integers that a test chooses: no graph that validates.
struct SingleOperation {
    let kind: Operation.Kind
    private(set) var program: IntegerProgram
    /// Stored integers by cache, `[column, keyValueHeads · headDimension]`.
    var caches: [[UInt8]] = []

    init(_ kind: Operation.Kind, _ tensors: [GraphTensor], cache: CacheState? = nil, prefix: Int = 0) {
        self.kind = kind
        let graph = IntegerGraph(
            vocabularySize: 1, maximumContext: 4096, prefixTokens: [Int32](repeating: 0, count: prefix),
            tensors: tensors, caches: cache.map { [$0] } ?? [])
        program = IntegerProgram(graph: graph, constants: [:])
    }

    mutating func add<Element: FixedWidthInteger>(
        _ name: String, _ type: IntegerType?, _ shape: [Int], _ elements: [Element]
    ) {
        program.graph.constants.append(GraphConstant(name: name, shape: shape, type: type))
        let bytes = elements.flatMap { element in withUnsafeBytes(of: element.littleEndian) { Array($0) } }
        program.constants[name] = .memory(ConstantData(bytes))
    }

    mutating func add(_ name: String, floats: [Float]) { add(name, nil, [floats.count], floats.map(\.bitPattern)) }

    /// The integers of its outputs, in order, for the tokens behind `position`. `values` are those of the first tensors.
    func integers(_ values: [[Int32]], tokens: Int = 1, position: Int = 0) throws -> [[Int32]] {
        let state = ReferenceState()
        state.values = program.graph.tensors.indices.map { $0 < values.count ? values[$0] : [] }
        (state.tokens, state.position, state.caches) = ([Int32](repeating: 0, count: tokens), position, caches)
        try kind.definition.prepare(program, name: "test")(state)
        return kind.outputs.map { state.values[$0] }
    }
}
