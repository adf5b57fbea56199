import DyadFormats

extension Operation {
    /// Normalisation over runs of `size` elements of the last axis (`size` divides it: heads are normalised one by one).
    ///
    /// `gain` is f32 `[size]`, or nil for all ones; `bias` (layerNorm only) f32 `[size]`. `epsilon` is the float32 of the model.
    public struct Normalization: Equatable, Sendable {
        /// The tensor it reads.
        public var input: TensorID
        /// The constant g, or nil for all ones.
        public var gain: String?
        /// The constant b of a layerNorm, or nil for none.
        public var bias: String?
        /// Added to the mean square, in squared real units.
        public var epsilon: Float
        /// Elements that are normalised together.
        public var size: Int
        /// The tensor it writes.
        public var output: TensorID

        /// Creates the operands.
        public init(input: TensorID, gain: String?, bias: String? = nil, epsilon: Float, size: Int, output: TensorID) {
            self.input = input
            self.gain = gain
            self.bias = bias
            self.epsilon = epsilon
            self.size = size
            self.output = output
        }
    }
}

extension Operation.Normalization {
    init(_ json: JSONField) throws(DyadError) {
        self.init(
            input: try json.integer("input"), gain: try json.optionalString("gain"),
            bias: try json.optionalString("bias"), epsilon: try json.float("epsilon"), size: try json.integer("size"),
            output: try json.integer("output"))
    }
}

/// rmsNorm and layerNorm.
struct NormalizationDefinition: OperationDefinition {
    let operands: Operation.Normalization
    /// A layerNorm subtracts the mean and may add a bias.
    let isLayerNorm: Bool

    var inputs: [TensorID] { [operands.input] }
    var outputs: [TensorID] { [operands.output] }

    var json: [(String, JSONValue)] {
        [
            ("input", .integer(operands.input)), ("gain", .optional(operands.gain)),
            ("bias", .optional(operands.bias)), ("epsilon", .float(operands.epsilon)),
            ("size", .integer(operands.size)), ("output", .integer(operands.output)),
        ]
    }

    // MARK: Validation

    func check(_ validator: GraphValidator) throws(DyadError) {
        let o = operands
        guard isLayerNorm || o.bias == nil else {
            throw validator.failure("a bias", "none: an rmsNorm has only a gain")
        }
        let width = try validator.activation(o.input)
        try validator.equal(try validator.activation(o.output), width, "output channels")
        try validator.check("size", o.size, in: 1...GraphLimits.normalization)
        guard width % o.size == 0 else {
            throw validator.failure("size \(o.size)", "a divisor of \(width) channels")
        }
        guard o.epsilon.isFinite, o.epsilon >= 0 else {
            throw validator.failure("epsilon \(o.epsilon)", "a finite number that is not negative")
        }
        if let gain = o.gain { try validator.checkConstant(gain, [nil], [o.size]) }
        if let bias = o.bias { try validator.checkConstant(bias, [nil], [o.size]) }
    }

    func cost(_ basis: OperationCost.Basis) -> OperationCost {
        OperationCost(work: basis.elements + OperationCost.derived * operands.size, memory: 32 * operands.size)
    }

    func checkParameters(_ program: IntegerProgram, name: String) throws(DyadError) {
        _ = try program.normalizationParameters(operands, name: name)
    }

    // MARK: Meaning

    func prepare(_ program: IntegerProgram, name: String) throws(DyadError) -> ReferenceState.Step {
        let parameters = try program.normalizationParameters(operands, name: name)
        let (x, y) = (program.graph.tensors[operands.input], program.graph.tensors[operands.output])
        let normalize = isLayerNorm ? Self.layerNorm : Self.rmsNorm
        return { [operands] state in
            let q = state.values[operands.input]
            var result: [Int32] = []
            result.reserveCapacity(q.count)
            for start in stride(from: 0, to: q.count, by: operands.size) {
                normalize(x.centred(q[start..<start + operands.size]), parameters, y, &result)
            }
            state.values[operands.output] = result
        }
    }

    /// x/√(mean x² + ε)·g of one run.
    private static func rmsNorm(
        _ x: [Int64], _ parameters: NormalizationParameters, to output: GraphTensor, into result: inout [Int32]
    ) {
        let squares = x.reduce(0) { $0 &+ $1 &* $1 }
        let denominator = UInt64(squares) << 16 + UInt64(x.count) * parameters.epsilonTerm
        let root = FixedPoint.squareRootOfRatio(UInt64(x.count) << 16, over: denominator)
        for channel in x.indices {
            let (m, shift) = parameters.multiplier(channel, root: root)
            result.append(output.stored((x[channel] &* m &+ (1 &<< (shift &- 1))) &>> shift))
        }
    }

    /// (x − mean x)/√(var x + ε)·g + b of one run, everything times n: u = n·x − Σx.
    private static func layerNorm(
        _ x: [Int64], _ parameters: NormalizationParameters, to output: GraphTensor, into result: inout [Int32]
    ) {
        let n = x.count
        let sum = x.reduce(0, &+)
        let squares = x.reduce(0) { $0 &+ $1 &* $1 }
        let deviation = UInt64(Int64(n) &* squares &- sum &* sum)
        let denominator = UInt128(deviation) << 16 + UInt128(n) * UInt128(n) * UInt128(parameters.epsilonTerm)
        var halfShift = 0  // bring the denominator below 2⁶² by an even power of two
        while denominator >> (2 * halfShift + 62) != 0 { halfShift += 1 }
        var root = FixedPoint.squareRootOfRatio(1 << 16, over: UInt64(denominator >> (2 * halfShift)))
        root.shift += halfShift
        for channel in x.indices {
            let (m, shift) = parameters.multiplier(channel, root: root)
            var y = (Int64(n) &* x[channel] &- sum) &* m
            if let bias = parameters.biases?[channel] {
                y &+= shift >= 16 ? bias &<< (shift &- 16) : bias &>> (16 &- shift)
            }
            result.append(output.stored((y &+ (1 &<< (shift &- 1))) &>> shift))
        }
    }

    func evaluate(_ program: IntegerProgram, _ state: ExactState) throws(DyadError) {
        let (o, x) = (operands, state.values[operands.input])
        var gains = [Float](repeating: 1, count: o.size)
        if let gain = o.gain { gains = try program.floats(of: gain) }
        let biases = try o.bias.map { (bias) throws(DyadError) in try program.floats(of: bias) }
        // The smallest epsilon that the integers can express: 2⁻¹⁶ of the input's squared step.
        let step = Double(program.graph.tensors[o.input].encoding.scale)
        let epsilon = max(Double(o.epsilon), step * step / 65536)
        var result: [Double] = []
        result.reserveCapacity(x.count)
        for start in stride(from: 0, to: x.count, by: o.size) {
            let run = x[start..<start + o.size]
            let mean = isLayerNorm ? run.reduce(0, +) / Double(o.size) : 0
            let variance = run.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(o.size)
            let root = (variance + epsilon).squareRoot()
            for channel in 0..<o.size {
                let bias = Double(biases?[channel] ?? 0)
                result.append((x[start + channel] - mean) / root * Double(gains[channel]) + bias)
            }
        }
        state.values[o.output] = result
    }
}
