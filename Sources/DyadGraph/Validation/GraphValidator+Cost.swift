import DyadFormats

/// What a run may cost. A header of a few kilobytes can claim wide tensors and long contexts, and many operations can
/// name one constant: time and memory must follow what the file holds, not what it says.
extension GraphLimits {
    /// Steps of one token that every program may take.
    static let work = 1 << 22
    /// Steps of one token for each byte that the file holds. A decoder takes two or three.
    static let workPerByte = 256
    /// Columns of the cache before the token whose steps are counted; more are there only where someone asks for more tokens.
    static let workColumns = 1024
    /// Bytes of memory that every program may take.
    static let memory = 1 << 27
    /// Bytes of memory for each byte that the file holds. A decoder takes one or two, and its caches at a long context ten.
    static let memoryPerByte = 16
    /// Bytes that the description of an operation, tensor, constant or cache counts for.
    static let descriptionBytes = 64
}

extension IntegerGraph {
    /// About the bytes that the file holds: its constants, and something for every description.
    private var heldBytes: Int {
        let descriptions = operations.count + tensors.count + constants.count + caches.count
        return constants.reduce(descriptions * GraphLimits.descriptionBytes) { sum, constant in
            // A sum that no file reaches, and whose multiples fit an Int.
            min(1 << 52, sum + min(constant.byteCount ?? 0, 1 << 52))
        }
    }

    /// Bytes that the buffers of one run may take together: a fixed amount, and a multiple of what the file holds.
    ///
    /// - Cost: linear in the number of constants.
    public var memoryBudget: Int { GraphLimits.memory + GraphLimits.memoryPerByte * heldBytes }

    /// Elements of all tensors together in a step of `tokens` tokens that sees `columns` columns.
    public func elementCount(tokens: Int, columns: Int) -> Int {
        tensors.reduce(0) { $0 + $1.extents(tokens: tokens, columns: columns).reduce(1, *) }
    }

    fileprivate var workBudget: Int { GraphLimits.work + GraphLimits.workPerByte * heldBytes }
}

extension GraphValidator {
    /// Charges the steps of one token and the memory of what is derived from constants; every operation is sound.
    ///
    /// No sum overflows: an operation has at most 2⁴¹ steps, a graph 2²⁰ operations.
    mutating func checkCost() throws(DyadError) {
        var (work, memory) = (0, 0)
        for operation in graph.operations {
            let definition = operation.kind.definition
            let cost = definition.cost(OperationCost.Basis(graph, outputs: definition.outputs))
            work += cost.work
            memory += cost.memory
        }
        subject = "graph"
        guard work <= graph.workBudget else {
            throw excess("\(work) steps of computation for one token", graph.workBudget)
        }
        guard memory <= graph.memoryBudget else {
            throw excess("\(memory) bytes of memory for weights and tables", graph.memoryBudget)
        }
    }

    private func excess(_ found: String, _ budget: Int) -> DyadError {
        DyadError(
            .unsupported, subject: subject, found: found, expected: "at most \(budget) for a file of this size",
            remedy: "The file is damaged or was made by another tool: quantise the model again.")
    }
}
