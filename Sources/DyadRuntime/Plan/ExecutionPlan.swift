import CDyadKernels
import DyadFormats
import DyadGraph

/// A program made ready to run: validated, multipliers derived, weights packed, operations fused.
///
/// Made once, never changed, shared by all sessions.
final class ExecutionPlan: Sendable {
    /// How a cache is read, and what stands in its first columns.
    struct CachePlan: Sendable {
        let state: CacheState
        var asKeys = false
        var asValues = false
        /// u8 `[prefix, heads · dimension]`.
        var prefixRows: [UInt8] = []
    }

    let graph: IntegerGraph
    /// In execution order, without the logits.
    let operations: [any PlannedOperation]
    let logits: LinearOperation
    /// What is done to the logits, in order.
    let finishes: [any LogitsFinish]
    let caches: [CachePlan]
    /// Bytes of weights that the plan reads: packed linear weights with their channels' parameters, and the embedding.
    let weightBytes: Int

    init(
        _ builder: PlanBuilder, logits: LinearOperation, finishes: [any LogitsFinish],
        operations: [any PlannedOperation]
    ) {
        graph = builder.graph
        self.logits = logits
        self.finishes = finishes
        self.operations = operations
        caches = builder.caches
        weightBytes = builder.weightBytes
    }

    /// Columns in front of the tokens.
    var prefix: Int { graph.prefixTokens.count }

    /// Computes the logits of some rows of the step into `target`, row by row from its start.
    ///
    /// - Parameter stages: how many of ``finishes`` are run; nil for all.
    func runLogits(
        _ frame: Frame, rows: Range<Int>, into target: UnsafeMutableRawPointer, stages: Int? = nil
    ) {
        logits.run(frame, rows: rows, into: target)
        for finish in finishes.prefix(stages ?? finishes.count) {
            finish.run(frame, target, count: rows.count * logits.width)
        }
    }

    /// Scratch memory of one worker for steps of up to `rows` tokens and `columns` columns.
    func scratchBytes(rows: Int, columns: Int) -> Int {
        (operations.lazy.map { $0.scratchBytes(rows: rows, columns: columns) }.max() ?? 0)
            + logits.scratchBytes(rows: rows, columns: columns)
    }
}
