import DyadFormats
import DyadGraph
import DyadTensor

extension SimulatedProgram {
    /// How far an operation's integers lie from its exact result on the same integer inputs, in output steps.
    public struct OperationError: Sendable {
        /// The operation's name.
        public var operation: String
        /// The name of its main output.
        public var tensor: String
        /// The largest difference.
        public var maximumSteps: Double
        /// The mean difference.
        public var meanSteps: Double
        /// Share of values at most 1.0 step away.
        public var withinOneStep: Double
    }

    /// Compares every operation of one step from an empty cache, each fed the integers that the program itself computed.
    ///
    /// - Parameters:
    ///   - tokens: what the program ran on.
    ///   - integers: its tensors by id, row-major.
    /// - Returns: one entry for each operation with an output, in execution order.
    public func compare(
        tokens: [Int32], integers: [TensorID: [Int32]]
    ) throws(DyadError) -> [OperationError] {
        var values = Values(tokens: tokens)
        for (id, stored) in integers { values.tensors[id] = try dequantized(stored, id, tokens: tokens.count) }
        var rows: [OperationError] = []
        for operation in program.graph.operations {
            switch operation.kind {
            case .cacheAppend: try execute(operation, &values)
            // The mask writes the lowest integer where the simulator needs nothing.
            case .mask: continue
            case .exponential(let exponential):
                let exact = try exactExponentials(exponential, values)
                rows.append(try error(operation, exponential.output, exact.exponentials, integers))
            default:
                guard let output = operation.kind.outputs.first else { continue }
                rows.append(try error(operation, output, evaluate(operation, values), integers))
            }
        }
        return rows
    }

    private func dequantized(_ stored: [Int32], _ id: TensorID, tokens: Int) throws(DyadError) -> Tensor {
        let tensor = program.graph.tensors[id]
        let context = tokens + program.graph.prefixTokens.count
        let shape = tensor.shape.map { dimension in
            switch dimension {
            case .fixed(let extent): extent
            case .tokens: tokens
            case .context: context
            }
        }
        // u32 prefix weights arrive as the same 32 bits.
        let reals: [Double] =
            tensor.type == .u32
            ? stored.map { Double(UInt32(bitPattern: $0)) }
            : stored.map { Double($0) - Double(tensor.encoding.zeroPoint) }
        return try (Tensor(reals, shape: shape) * Double(tensor.encoding.scale)).to(.float32)
    }

    private func error(
        _ operation: Operation, _ id: TensorID, _ exact: Tensor, _ integers: [TensorID: [Int32]]
    ) throws(DyadError) -> OperationError {
        let tensor = program.graph.tensors[id]
        guard let stored = integers[id], stored.count == exact.count else {
            throw DyadError(
                .failed, subject: tensor.name, found: "\(integers[id]?.count ?? 0) integers",
                expected: "\(exact.count)", remedy: "This is a defect of Dyad: report it with the program.")
        }
        let (low, high) = (Double(tensor.type.range.lowerBound), Double(tensor.type.range.upperBound))
        let (scale, zero) = (Double(tensor.encoding.scale), Double(tensor.encoding.zeroPoint))
        var (largest, sum, near) = (0.0, 0.0, 0)
        for (value, q) in zip(try exact.toArray(Float.self), stored) {
            let ideal = min(max(Double(value) / scale + zero, low), high)
            let difference = abs(ideal - Double(q))
            largest = max(largest, difference)
            sum += difference
            if difference <= 1 { near += 1 }
        }
        return OperationError(
            operation: operation.name, tensor: tensor.name, maximumSteps: largest,
            meanSteps: sum / Double(max(stored.count, 1)), withinOneStep: Double(near) / Double(max(stored.count, 1)))
    }
}
