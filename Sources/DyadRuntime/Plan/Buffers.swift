import DyadFormats
import DyadGraph

/// How much memory a session needs, known before any of it is allocated.
struct Buffers {
    /// Tokens that go through the network together: as many as wanted, or fewer where the memory would not suffice.
    let chunk: Int
    let layout: BufferLayout
    /// Of one worker.
    let scratchBytes: Int

    /// The buffers of a session that holds `columns` positions.
    ///
    /// - Throws: ``DyadError`` (unsupported) with the number of bytes where even steps of one token take more than
    ///   ``IntegerGraph/memoryBudget``.
    init(_ runtime: Runtime, columns: Int, isWatched: Bool) throws(DyadError) {
        let plan = runtime.plan
        let budget = plan.graph.memoryBudget
        let caches = plan.caches.reduce(0) { sum, cache in
            sum
                + CacheMemory.byteCount(
                    cache.state, columns: columns, asKeys: cache.asKeys, asValues: cache.asValues)
        }
        var chunk = min(runtime.prefillChunk, columns - plan.prefix)
        while true {
            let layout = BufferLayout(
                operations: plan.operations, tensorCount: plan.graph.tensors.count, kept: plan.logits.inputs,
                rows: chunk, columns: columns, isWatched: isWatched)
            let scratch = plan.scratchBytes(rows: chunk, columns: columns)
            let bytes = caches + layout.byteCount + scratch * runtime.threads
            if bytes <= budget {
                (self.chunk, self.layout, scratchBytes) = (chunk, layout, scratch)
                return
            }
            guard chunk > 1 else {
                throw DyadError(
                    .unsupported, subject: "maximumContext",
                    found: "\(bytes) bytes of memory for \(columns) positions, \(caches) of them for keys and values",
                    expected: "at most \(budget) for a file of this size",
                    remedy: "Use a smaller context; if the program has no such size, its file is damaged.")
            }
            chunk /= 2
        }
    }
}
