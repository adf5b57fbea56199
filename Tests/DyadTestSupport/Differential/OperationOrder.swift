import DyadGraph

/// In which orders the operations of a graph may stand: the data of each come first, and so does the append to a cache that it
/// reads; the embedding is the first, the logits are the last, or their soft cap is.
public struct OperationOrder {
    /// By operation, those that must come earlier.
    private let earlier: [[Int]]

    /// The orders of a valid graph.
    public init(_ graph: IntegerGraph) {
        var producers: [TensorID: Int] = [:]
        var appends: [Int: Int] = [:]
        for (index, operation) in graph.operations.enumerated() {
            for output in operation.kind.outputs { producers[output] = index }
            if case .cacheAppend(let append) = operation.kind { appends[append.cache] = index }
        }
        earlier = graph.operations.enumerated().map { index, operation in
            var isLast = index == graph.operations.count - 1
            if case .logits = operation.kind { isLast = true }
            guard !isLast else { return Array(0..<index) }
            var earlier = operation.kind.inputs.compactMap { producers[$0] }
            switch operation.kind {
            case .matmul(let o): earlier += [appends[o.cache]].compactMap(\.self)
            case .lateAttention(let o): earlier += [appends[o.cache]].compactMap(\.self)
            default: break
            }
            return index == 0 ? earlier : earlier + [0]
        }
    }

    /// The operations that may come next, those of the graph's own order first.
    func ready(after done: Set<Int>) -> [Int] {
        earlier.indices.filter { !done.contains($0) && earlier[$0].allSatisfy(done.contains) }
    }

    /// Every order there is, one after another.
    public func forEach(_ body: ([Int]) throws -> Void) rethrows {
        var (done, places): (Set<Int>, [Int]) = ([], [])
        try visit(&done, &places, body)
    }

    private func visit(_ done: inout Set<Int>, _ places: inout [Int], _ body: ([Int]) throws -> Void) rethrows {
        guard places.count < earlier.count else { return try body(places) }
        for next in ready(after: done) {
            done.insert(next)
            places.append(next)
            try visit(&done, &places, body)
            places.removeLast()
            done.remove(next)
        }
    }
}
