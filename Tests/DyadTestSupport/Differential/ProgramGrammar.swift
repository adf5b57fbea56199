import DyadGraph

/// Writes programs of every kind of operation, in every order that validation accepts, as a source of bytes decides.
///
/// Operations are written in some order of their data; ``program()`` then puts them into another one. Tensors, weights,
/// tables, caches, scores and probabilities are shared as often as not.
struct ProgramGrammar {
    var source: ByteSource
    /// Values of constants, where only variety counts.
    var random: SeededGenerator
    var graph: IntegerGraph
    var constants: [String: ConstantData] = [:]
    /// Activations `[tokens, channels]`, u8 or u16.
    var activations: [TensorID] = []
    /// Results of Hadamard transforms, i32.
    var integers: [TensorID] = []
    /// Scores, masked or not, with the encoding's heads in their shape.
    var scores: [TensorID] = []
    /// Outputs of softmax, and exponentials with their prefix weights.
    var weighings: [Weighing] = []

    struct Weighing {
        let tensor: TensorID
        let prefixWeights: TensorID?
        let isSoftmax: Bool
    }

    static let widths = [8, 4, 6, 1, 2, 3, 5, 12, 16, 17, 20, 24, 33, 48]
    static let operationLimit = 28

    init(_ bytes: [UInt8]) {
        source = ByteSource(bytes)
        random = SeededGenerator(seed: source.word())
        let context = 2 + source.choose(source.pick([20, 20, 20, 90]))
        let vocabulary = 1 + source.choose(40)
        let prefix = min(source.pick([0, 0, 1, 2, 5]), context - 1)
        graph = IntegerGraph(vocabularySize: vocabulary, maximumContext: context)
        graph.prefixTokens = (0..<prefix).map { _ in Int32(source.choose(vocabulary)) }
    }

    /// A program; nearly always a valid one (now and then a multiplier cannot be derived).
    mutating func program() -> IntegerProgram {
        addEmbedding()
        while graph.operations.count < Self.operationLimit, !source.isEmpty { addOperation() }
        addLogits()
        if !source.oneIn(4) { shuffle() }
        return IntegerProgram(graph: graph, constants: constants)
    }

    private mutating func addOperation() {
        switch source.choose(12) {
        case 0: addLinear()
        case 1: addNormalization()
        case 2: addRotary()
        case 3, 4, 5: addAttention()
        case 6: addLookup()
        case 7: addBinary()
        case 8: addRequantize()
        case 9: addHadamard()
        case 10: addGated()
        default: if source.oneIn(2) { addConcatenate() } else { addSlice() }
        }
    }

    /// Another order of the same data.
    private mutating func shuffle() {
        let order = OperationOrder(graph)
        var (done, places): (Set<Int>, [Int]) = ([], [])
        while places.count < graph.operations.count {
            let next = source.pick(order.ready(after: done))
            places.append(next)
            done.insert(next)
        }
        graph.operations = places.map { graph.operations[$0] }
    }

    // MARK: Tensors and constants

    mutating func name(_ kind: String) -> String { "\(kind).\(graph.operations.count).\(graph.tensors.count)" }

    mutating func tensor(_ shape: [Dimension], _ type: IntegerType, _ scale: Float, _ zero: Int32) -> TensorID {
        graph.tensors.append(
            GraphTensor(
                name: "t\(graph.tensors.count)", shape: shape, type: type,
                encoding: Encoding(scale: scale, zeroPoint: zero)))
        return graph.tensors.count - 1
    }

    /// A new activation; u8 where `type` is nil and the source has no other wish.
    mutating func activation(_ width: Int, _ type: IntegerType? = nil, zero: Int32? = nil) -> TensorID {
        let type = type ?? source.pick([.u8, .u8, .u16])
        let zero = zero ?? (type == .u16 ? 32768 : source.pick([128, 0, 255, 117]))
        let id = tensor([.tokens, .fixed(width)], type, scale(type), zero)
        activations.append(id)
        return id
    }

    mutating func scale(_ type: IntegerType) -> Float {
        let exponent = source.oneIn(16) ? source.pick([-12, 9]) : source.choose(5) - 2
        let base: Float = type == .u8 ? 1.0 / 32 : 1.0 / 8192
        return base * Float(sign: .plus, exponent: exponent, significand: Float.random(in: 1..<2, using: &random))
    }

    mutating func constant<Element: FixedWidthInteger>(
        _ shape: [Int], _ type: IntegerType?, _ elements: [Element]
    ) -> String {
        let name = "c\(graph.constants.count)"
        graph.constants.append(GraphConstant(name: name, shape: shape, type: type))
        constants[name] = ConstantData(
            elements.flatMap { element in withUnsafeBytes(of: element.littleEndian) { Array($0) } })
        return name
    }

    mutating func floats(_ count: Int, in range: ClosedRange<Float>) -> String {
        constant([count], nil, (0..<count).map { _ in Float.random(in: range, using: &random).bitPattern })
    }

    mutating func append(_ kind: Operation.Kind) {
        graph.operations.append(Operation(name: "o\(graph.operations.count)", kind: kind))
    }

    func width(_ id: TensorID) -> Int {
        if case .fixed(let width)? = graph.tensors[id].shape.last { width } else { 0 }
    }

    func type(_ id: TensorID) -> IntegerType { graph.tensors[id].type }

    /// An activation that is there.
    mutating func anyActivation() -> TensorID { source.pick(activations) }

    /// An activation of `width`: one that is there, or a linear to it.
    mutating func activation(of width: Int, _ type: IntegerType? = nil, zero: Int32? = nil) -> TensorID {
        let fitting = activations.filter { id in
            self.width(id) == width && (type ?? self.type(id)) == self.type(id)
                && (zero ?? graph.tensors[id].encoding.zeroPoint) == graph.tensors[id].encoding.zeroPoint
        }
        if !fitting.isEmpty, !source.oneIn(3) { return source.pick(fitting) }
        let input = anyActivation()
        let output = activation(width, type, zero: zero)
        addLinear(from: input, to: output)
        return output
    }
}
