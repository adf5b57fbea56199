import DyadFormats

extension Operation {
    /// `y = x·H` on centred integers, exact in i32: the last axis is cut into blocks of `base.count · power`; H is
    /// `base ⊗ Sylvester(power)`, entries ±1 (index = baseIndex · power + sylvesterIndex).
    ///
    /// The output has the input's scale and zero point 0. `base` holds rows of ±1, one string of `+`/`-` a row; `["+"]` for order 1.
    public struct Hadamard: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The rows of the base matrix, `+` and `-`.
        public var base: [String]
        /// The order of Sylvester's matrix, a power of two.
        public var power: Int
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, base: [String], power: Int, output: TensorID) {
            self.input = input
            self.base = base
            self.power = power
            self.output = output
        }
    }
}

extension Operation.Hadamard: OperationDefinition {
    var inputs: [TensorID] { [input] }
    var outputs: [TensorID] { [output] }

    init(_ json: JSONField) throws(DyadError) {
        self.init(
            input: try json.integer("input"),
            base: try json.list("base") { (field) throws(DyadError) in try field.string() },
            power: try json.integer("power"), output: try json.integer("output"))
    }

    var json: [(String, JSONValue)] {
        [
            ("input", .integer(input)), ("base", .array(base.map { .string($0) })), ("power", .integer(power)),
            ("output", .integer(output)),
        ]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        let width = try validator.activation(input)
        try validator.equal(try validator.integers(output), width, "output channels")
        guard let matrix = HadamardMatrix(signs: base) else {
            throw validator.failure(
                "a base that is no Hadamard matrix", "orthogonal rows of + and -, at most \(GraphLimits.hadamardOrder)")
        }
        try validator.check("power", power, in: 1...GraphLimits.extent)
        guard power.nonzeroBitCount == 1, width % (matrix.order * power) == 0 else {
            throw validator.failure(
                "blocks of \(matrix.order) · \(power)", "a power of two that makes blocks divide \(width) channels")
        }
        let tensor = validator.graph.tensors[input]
        guard tensor.maximumMagnitude * UInt64(matrix.order * power) < 1 << 31 else {
            throw validator.failure("sums of \(matrix.order * power) values of \(tensor.type)", "sums below 2^31")
        }
        guard validator.graph.tensors[output].encoding == Encoding(scale: tensor.encoding.scale, zeroPoint: 0) else {
            throw validator.failure("the output \(validator.describe(output))", "the input's scale and zero point 0")
        }
    }

    func cost(_ basis: OperationCost.Basis) -> OperationCost {
        let order = base.count
        return OperationCost(
            work: basis.elements + basis.written * (order + 32) + order * order * order / 64, memory: order * order)
    }

    // MARK: Meaning

    /// By blocks: butterflies for the Sylvester part, then sums over the base.
    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let (zero, order) = (program.graph.tensors[input].encoding.zeroPoint, base.count)
        let isNegative = base.map { row in row.utf8.map { $0 == UInt8(ascii: "-") } }
        return { [self] state in
            var result = state.values[input].map { $0 &- zero }
            for start in stride(from: 0, to: result.count, by: order * power) {
                var span = 1
                while span < power {
                    for index in 0..<order * power where index & span == 0 {
                        let (a, b) = (result[start + index], result[start + index + span])
                        (result[start + index], result[start + index + span]) = (a &+ b, a &- b)
                    }
                    span *= 2
                }
                for offset in start..<start + power {
                    let x = (0..<order).map { result[offset + $0 * power] }
                    for column in 0..<order {
                        result[offset + column * power] = (0..<order).reduce(0) {
                            isNegative[$1][column] ? $0 &- x[$1] : $0 &+ x[$1]
                        }
                    }
                }
            }
            state.values[output] = result
        }
    }

    /// By blocks, both factors of the matrix entry by entry: sums over Sylvester's signs, then over the base's.
    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        let (x, order) = (state.values[input], base.count)
        let signs = base.map { row in row.utf8.map { $0 == UInt8(ascii: "+") ? 1.0 : -1.0 } }
        var (inner, result) = ([Double](repeating: 0, count: x.count), [Double](repeating: 0, count: x.count))
        for start in stride(from: 0, to: x.count, by: power) {
            for column in 0..<power {
                var sum = 0.0
                for row in 0..<power {
                    sum += (row & column).nonzeroBitCount & 1 == 0 ? x[start + row] : -x[start + row]
                }
                inner[start + column] = sum
            }
        }
        for start in stride(from: 0, to: x.count, by: order * power) {
            for (row, rowSigns) in signs.enumerated() {
                for (column, sign) in rowSigns.enumerated() {
                    let (from, to) = (start + row * power, start + column * power)
                    for index in 0..<power { result[to + index] += sign * inner[from + index] }
                }
            }
        }
        state.values[output] = result
    }
}
