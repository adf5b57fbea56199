import DyadFormats

/// The nonlinearity of a feed-forward part, from config.json to the exporters; the raw values are the names in files.
///
/// Whoever reads or writes one switches over these cases, so that no two parts of Dyad can spell a function differently.
public enum ActivationFunction: String, CaseIterable, Sendable {
    /// x · sigmoid(x)
    case silu
    /// x · Φ(x), exactly
    case gelu
    /// GELU by its tanh approximation
    case geluTanh = "gelu_tanh"
    /// max(x, 0)
    case relu

    /// The function of a name in a file. Early programs spell the tanh form `geluTanh`.
    public init?(name: String) {
        self.init(rawValue: name == "geluTanh" ? "gelu_tanh" : name)
    }
}

extension Operation {
    /// A unary function by table: u8 input with a table of 256, u16 input with one of 65,536, entries of the output's type.
    public struct Lookup: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The constant with the entries.
        public var table: String
        /// The function the table holds, for exporters and the simulator.
        public var function: ActivationFunction
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, table: String, function: ActivationFunction, output: TensorID) {
            self.input = input
            self.table = table
            self.function = function
            self.output = output
        }
    }
}

extension Operation.Lookup: OperationDefinition {
    var inputs: [TensorID] { [input] }
    var outputs: [TensorID] { [output] }

    init(_ json: JSONField) throws(DyadError) {
        self.init(
            input: try json.integer("input"), table: try json.string("table"),
            function: try ActivationFunction(json.member("function")), output: try json.integer("output"))
    }

    var json: [(String, JSONValue)] {
        [
            ("input", .integer(input)), ("table", .string(table)), ("function", .string(function.rawValue)),
            ("output", .integer(output)),
        ]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        try validator.equal(
            try validator.activation(output), try validator.activation(input), "output channels")
        let (x, y) = (validator.graph.tensors[input], validator.graph.tensors[output])
        try validator.checkConstant(table, [y.type], [1 << x.type.bitWidth])
    }

    func cost(_ basis: OperationCost.Basis) -> OperationCost {
        let entries = 1 << basis.graph.tensors[input].type.bitWidth
        return OperationCost(work: basis.elements + entries / 16, memory: 4 * entries)
    }

    // MARK: Meaning

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let table = try program.table(self)
        return { [self] state in state.values[output] = state.values[input].map { table[Int($0)] } }
    }

    /// The function itself: a wrong entry of the table is an error.
    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        state.values[output] = state.values[input].map(function.value)
    }
}

extension ActivationFunction {
    /// The function in double precision.
    public func value(_ x: Double) -> Double {
        switch self {
        case .silu: x / (1 + RealArithmetic.exponential(-x))
        case .gelu: 0.5 * x * (1 + RealArithmetic.errorFunction(x / Double(2).squareRoot()))
        case .geluTanh:
            0.5 * x * (1 + RealArithmetic.hyperbolicTangent((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case .relu: max(x, 0)
        }
    }

    fileprivate init(_ json: JSONField) throws(DyadError) {
        let name = try json.string()
        guard let function = Self(name: name) else {
            throw json.failure(
                .unsupported, found: "\"\(name.prefix(40))\"",
                expected: Self.allCases.map { $0.rawValue }.joined(separator: ", "))
        }
        self = function
    }
}

extension IntegerProgram {
    /// The entries of a lookup's table in the order of the stored input.
    ///
    /// - Throws: ``DyadError`` where the constant is missing or has the wrong size.
    public func table(_ lookup: Operation.Lookup) throws(DyadError) -> [Int32] {
        graph.tensors[lookup.output].type == .u8
            ? try elements(of: lookup.table, as: UInt8.self).map(Int32.init)
            : try elements(of: lookup.table, as: UInt16.self).map(Int32.init)
    }
}
