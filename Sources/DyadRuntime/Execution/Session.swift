import DyadFormats
import DyadGraph

/// One conversation with a program: its caches, its place in the context, its buffers.
///
/// All memory is allocated when the session is made. Use it from one thread at a time.
public final class Session {
    /// What runs.
    public let runtime: Runtime
    /// Positions that the caches hold, prefix included.
    public let maximumContext: Int
    /// Tokens in the caches, prefix not counted.
    public private(set) var tokenCount = 0
    /// Sees the tensors of every step, in the order of execution: all of them where the session was made with `observing`,
    /// else all but the logits and those between operations that run as one.
    public var observer: ((ObservedTensor) -> Void)?

    /// Tokens that a step runs at most: the runtime's `prefillChunk`, or fewer where buffers for a long context would not fit.
    public let stepSize: Int

    private let isObserving: Bool
    private let arena: AlignedMemory
    private let memory: [UnsafeMutableRawPointer?]
    private let scratch: [AlignedMemory]
    private let scratchPointers: [UnsafeMutableRawPointer]
    private let caches: [CacheMemory]
    private var logitRows: AlignedMemory
    private var logitRowCapacity = 1

    /// Rows of logits computed together by ``evaluate(_:droppingPrefix:_:)``.
    private static let evaluatedRows = 64

    private var plan: ExecutionPlan { runtime.plan }

    init(_ runtime: Runtime, maximumContext: Int, isObserving: Bool) throws(DyadError) {
        self.runtime = runtime
        self.maximumContext = maximumContext
        self.isObserving = isObserving
        let plan = runtime.plan
        let buffers = try Buffers(runtime, columns: maximumContext, isWatched: isObserving)
        stepSize = buffers.chunk
        let arena = try AlignedMemory(byteCount: buffers.layout.byteCount, subject: "activations")
        self.arena = arena
        memory = buffers.layout.offsets.map { offset in offset.map { arena.pointer + $0 } }
        var scratch: [AlignedMemory] = []
        for _ in 0..<runtime.threads {
            scratch.append(try AlignedMemory(byteCount: buffers.scratchBytes, subject: "scratch memory"))
        }
        self.scratch = scratch
        scratchPointers = scratch.map(\.pointer)
        var caches: [CacheMemory] = []
        for cache in plan.caches {
            let memory = try CacheMemory(
                cache.state, columns: maximumContext, asKeys: cache.asKeys, asValues: cache.asValues)
            cache.prefixRows.withUnsafeBufferPointer { rows in
                guard let base = rows.baseAddress else { return }
                memory.append(base, count: plan.prefix, at: 0, kernels: runtime.kernels.table)
            }
            caches.append(memory)
        }
        self.caches = caches
        logitRows = try AlignedMemory(
            byteCount: runtime.vocabularySize * MemoryLayout<Int32>.stride, subject: "logits")
    }

    /// Bytes of the caches, the activations and the scratch memory.
    public var byteCount: Int {
        arena.byteCount + caches.reduce(0) { $0 + $1.byteCount } + scratch.reduce(0) { $0 + $1.byteCount }
            + logitRows.byteCount
    }

    /// Tokens that still fit.
    public var remainingTokens: Int { maximumContext - plan.prefix - tokenCount }

    /// Forgets all tokens. The prefix stays.
    public func reset() { tokenCount = 0 }

    /// Forgets all but the first `count` tokens, so that another continuation can follow them.
    public func truncate(to count: Int) {
        precondition(count >= 0 && count <= tokenCount)
        tokenCount = count
    }

    /// How many leading tokens an empty session drops because they are the program's constant prefix.
    public func droppedCount(of tokens: [Int32]) -> Int {
        tokenCount == 0 && tokens.starts(with: plan.graph.prefixTokens) ? plan.prefix : 0
    }

    /// Appends `tokens` and returns the logits behind the last, `[vocabulary]` at scale 2⁻¹⁶.
    ///
    /// - Throws: ``DyadError``: (usage) where nothing is left of the prompt or an id is outside the vocabulary, (failed)
    ///   where the context is full. The session is unchanged then.
    /// - Cost: allocates only the result.
    public func prefill(_ tokens: [Int32]) throws(DyadError) -> [Int32] {
        try extend(tokens, dropped: droppedCount(of: tokens))
    }

    /// ``prefill(_:)`` of tokens that begin with no prefix to drop.
    public func extend(_ tokens: [Int32]) throws(DyadError) -> [Int32] { try extend(tokens, dropped: 0) }

    private func extend(_ tokens: [Int32], dropped: Int) throws(DyadError) -> [Int32] {
        try check(tokens, dropped: dropped)
        tokens.withUnsafeBufferPointer { all in
            let tokens = UnsafeBufferPointer(rebasing: all[dropped...])
            for start in stride(from: 0, to: tokens.count, by: stepSize) {
                let part = UnsafeBufferPointer(rebasing: tokens[start..<min(tokens.count, start + stepSize)])
                let frame = step(part)
                if isObserving { observeLogits(frame) }
                if start + part.count == tokens.count {
                    plan.runLogits(frame, rows: part.count - 1..<part.count, into: logitRows.pointer)
                }
            }
        }
        return Array(UnsafeBufferPointer(start: logitRows.elements(Int32.self), count: runtime.vocabularySize))
    }

    /// Appends one token and returns the logits behind it, `[vocabulary]` at scale 2⁻¹⁶.
    ///
    /// - Throws: as ``prefill(_:)``.
    public func decode(_ token: Int32) throws(DyadError) -> [Int32] {
        try extend([token])
    }

    /// Appends `tokens` and hands over the logits behind every one of them, or behind the last ones, some rows at a time.
    ///
    /// - Parameters:
    ///   - tokens: what to append.
    ///   - droppingPrefix: whether an empty session drops the prefix from them, whose tokens then have no logits. A
    ///     measurement that scores every token passes false.
    ///   - wanted: the index in `tokens` from which on logits are wanted; those of earlier tokens are not computed.
    ///   - body: is given the index in `tokens` of the first row's token and the rows, `[rows, vocabulary]` at scale 2⁻¹⁶,
    ///     valid during the call.
    /// - Throws: as ``prefill(_:)``, and what `body` throws; the session then holds only a part of the tokens.
    public func evaluate(
        _ tokens: [Int32], droppingPrefix: Bool = true, from wanted: Int = 0,
        _ body: (_ first: Int, _ rows: UnsafeBufferPointer<Int32>) throws(DyadError) -> Void
    ) throws(DyadError) {
        let dropped = droppingPrefix ? droppedCount(of: tokens) : 0
        try check(tokens, dropped: dropped)
        let vocabulary = runtime.vocabularySize
        if logitRowCapacity < Self.evaluatedRows {
            logitRows = try AlignedMemory(
                byteCount: Self.evaluatedRows * vocabulary * MemoryLayout<Int32>.stride, subject: "logits")
            logitRowCapacity = Self.evaluatedRows
        }
        for start in stride(from: dropped, to: tokens.count, by: stepSize) {
            let count = min(tokens.count - start, stepSize)
            try tokens.withUnsafeBufferPointer { (all) throws(DyadError) in
                let frame = step(UnsafeBufferPointer(rebasing: all[start..<start + count]))
                if isObserving { observeLogits(frame) }
                for first in stride(from: max(wanted - start, 0), to: count, by: Self.evaluatedRows) {
                    let rows = min(Self.evaluatedRows, count - first)
                    plan.runLogits(frame, rows: first..<first + rows, into: logitRows.pointer)
                    try body(
                        start + first,
                        UnsafeBufferPointer(start: logitRows.elements(Int32.self), count: rows * vocabulary))
                }
            }
        }
    }

    private func check(_ tokens: [Int32], dropped: Int) throws(DyadError) {
        guard tokens.count > dropped else { throw .emptyPrompt(prefix: dropped) }
        if let index = tokens.firstIndex(where: { $0 < 0 || Int($0) >= runtime.vocabularySize }) {
            throw DyadError(
                .usage, subject: "token \(index)", found: "the id \(tokens[index])",
                expected: "0 to \(runtime.vocabularySize - 1)", remedy: "Use the tokenizer that belongs to the model.")
        }
        guard tokens.count - dropped <= remainingTokens else {
            throw DyadError(
                .failed, subject: "context",
                found: "\(tokens.count - dropped) more tokens after \(tokenCount)",
                expected: "at most \(remainingTokens) of \(maximumContext) positions"
                    + (plan.prefix > 0 ? ", of which \(plan.prefix) are the prefix" : ""),
                remedy: "Shorten the prompt, start a new session, or use a program with a larger context.")
        }
    }

    /// Runs all operations but the logits on at most `stepSize` tokens.
    private func step(_ tokens: UnsafeBufferPointer<Int32>) -> Frame {
        guard let base = tokens.baseAddress else { preconditionFailure("a step has at least one token") }
        let frame = Frame(
            kernels: runtime.kernels.table, pool: runtime.pool, memory: memory, caches: caches,
            scratch: scratchPointers, tokens: base, rows: tokens.count, column: plan.prefix + tokenCount,
            isWatched: isObserving)
        for operation in plan.operations {
            operation.run(frame)
            if let observer {
                for tensor in (isObserving ? operation.internals : []) + operation.outputs {
                    observer(
                        ObservedTensor(
                            tensor, rows: frame.rows, columns: frame.column + frame.rows,
                            memory: frame.pointer(tensor.id)))
                }
            }
        }
        tokenCount += tokens.count
        return frame
    }

    private func observeLogits(_ frame: Frame) {
        guard let observer else { return }
        for (stages, tensor) in ([plan.logits.output] + plan.finishes.map(\.output)).enumerated() {
            var values: [Int32] = []
            values.reserveCapacity(frame.rows * runtime.vocabularySize)
            for row in 0..<frame.rows {
                plan.runLogits(frame, rows: row..<row + 1, into: logitRows.pointer, stages: stages)
                values += UnsafeBufferPointer(start: logitRows.elements(Int32.self), count: runtime.vocabularySize)
            }
            observer(ObservedTensor(tensor, rows: frame.rows, values: values))
        }
    }
}
