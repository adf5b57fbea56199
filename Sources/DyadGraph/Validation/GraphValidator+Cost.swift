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
        tensors.reduce(0) { sum, tensor in
            sum
                + tensor.shape.reduce(1) { product, dimension in
                    switch dimension {
                    case .fixed(let extent): product * extent
                    case .tokens: product * tokens
                    case .context: product * columns
                    }
                }
        }
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
            let cost = cost(operation.kind)
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

    /// Steps: a product of bytes is one, an element eight, a derived multiplier a thousand. Bytes: what the reference keeps.
    private func cost(_ kind: Operation.Kind) -> (work: Int, memory: Int) {
        let columns = min(graph.maximumContext, GraphLimits.workColumns)
        let written = kind.outputs.reduce(0) { $0 + graph.tensors[$1].rowElements(columns: columns) }
        let (elements, derived) = (8 * written, 1000)
        switch kind {
        case .embed:
            return (elements + derived * graph.vocabularySize, (16 + written) * graph.vocabularySize)
        case .linear(let o), .logits(let o):
            let inputs = graph.tensors[o.input].rowElements(columns: columns)
            return ((inputs + derived) * written, (inputs + 48) * written)
        case .rmsNorm(let o), .layerNorm(let o): return (elements + derived * o.size, 32 * o.size)
        case .rotary(let o):
            let entries = graph.maximumContext * o.rotated
            return (elements + entries, 2 * entries)
        case .matmul(let o):
            switch o.form {
            case .queryKey: return (elements + graph.tensors[o.input].rowElements(columns: columns) * columns, 0)
            case .weightedValues: return (elements + written * columns, 0)
            }
        case .lateAttention: return (elements + written * columns, 0)
        case .lookup(let o):
            let entries = 1 << graph.tensors[o.input].type.bitWidth
            return (elements + entries / 16, 4 * entries)
        case .hadamard(let o):
            let order = o.base.count
            return (elements + written * (order + 32) + order * order * order / 64, order * order)
        case .cacheAppend(let o): return (8 * graph.tensors[o.input].rowElements(columns: columns), 0)
        default: return (elements + derived, 0)
        }
    }
}

extension GraphTensor {
    /// Elements of one token.
    fileprivate func rowElements(columns: Int) -> Int {
        shape.reduce(1) { product, dimension in
            switch dimension {
            case .fixed(let extent): product * extent
            case .tokens: product
            case .context: product * columns
            }
        }
    }
}
