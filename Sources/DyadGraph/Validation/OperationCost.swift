/// What an operation costs for one token. Steps: a product of bytes is one, an element eight, a derived multiplier a thousand.
struct OperationCost {
    var work: Int
    /// Bytes that the reference keeps.
    var memory = 0

    /// Steps that deriving a multiplier takes.
    static let derived = 1000

    /// What every operation's cost is reckoned from.
    struct Basis {
        let graph: IntegerGraph
        /// Columns of the caches that are charged for.
        let columns: Int
        /// Elements that the operation writes.
        let written: Int

        init(_ graph: IntegerGraph, outputs: [TensorID]) {
            let columns = min(graph.maximumContext, GraphLimits.workColumns)
            (self.graph, self.columns) = (graph, columns)
            written = outputs.reduce(0) { $0 + graph.tensors[$1].rowElements(columns: columns) }
        }

        /// Steps for writing the outputs.
        var elements: Int { 8 * written }

        /// Elements of one token of a tensor.
        func rowElements(_ tensor: TensorID) -> Int { graph.tensors[tensor].rowElements(columns: columns) }
    }
}

extension GraphTensor {
    /// Elements of one token.
    fileprivate func rowElements(columns: Int) -> Int {
        extents(tokens: 1, columns: columns).reduce(1, *)
    }
}
