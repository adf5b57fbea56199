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

    /// The real numbers of its outputs, in order, for the same.
    func exact(_ values: [[Int32]], tokens: Int = 1, position: Int = 0) throws -> [[Double]] {
        let state = ExactState()
        state.values = program.graph.tensors.enumerated().map { $0 < values.count ? $1.real(values[$0]) : [] }
        (state.tokens, state.position) = ([Int32](repeating: 0, count: tokens), position)
        state.caches = zip(caches, program.graph.caches).map { stored, cache in
            stored.map { Double(cache.encoding.scale) * (Double($0) - 128) }
        }
        try kind.definition.evaluate(program, state)
        return kind.outputs.map { state.values[$0] }
    }

    /// The largest difference of the two, in steps.
    func worst(_ values: [[Int32]], tokens: Int = 1, position: Int = 0) throws -> Double {
        let stored = try integers(values, tokens: tokens, position: position)
        let exact = try exact(values, tokens: tokens, position: position)
        return kind.outputs.enumerated().reduce(0) { worst, output in
            let tensor = program.graph.tensors[output.element]
            let difference = StepDifference(
                of: tensor, stored: stored[output.offset], exact: exact[output.offset],
                precision: kind.definition.precision)
            return max(worst, difference.maximum)
        }
    }
}
