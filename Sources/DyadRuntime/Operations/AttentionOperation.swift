import CDyadKernels
import DyadFormats
import DyadGraph

/// Scores, mask, exponentials (or softmax) and the product with the values, fused: the score matrix is never stored.
final class AttentionOperation: PlannedOperation, @unchecked Sendable {
    /// The graph's tensors that stay inside, and what they are; nil where there is none, or where an earlier attention that
    /// computes the same one shows it.
    struct Internals {
        var scores: PlannedTensor?
        var capped: PlannedTensor?
        var masked: PlannedTensor?
        var probabilities: PlannedTensor?
        var prefixWeights: PlannedTensor?

        var all: [PlannedTensor] { [scores, capped, masked, probabilities, prefixWeights].compactMap(\.self) }
    }

    let name: String
    let queries: TensorID
    let output: PlannedTensor
    let keyCache: Int
    let valueCache: Int
    private let parameters: dyad_attention
    private let stages: Internals
    private let prefixValues: AlignedMemory
    private let cap: SoftCap?
    private let tokensPerTask: Int

    var inputs: [TensorID] { [queries] }
    var outputs: [PlannedTensor] { [output] }
    var internals: [PlannedTensor] { stages.all }

    /// Rows (query heads times tokens) of one task: enough that the keys are read from the nearest cache.
    private static let rowsPerTask = 24

    /// `prefixValues` is s8 `[heads, prefix, dimension]`, values minus 128.
    init(
        name: String, queries: TensorID, output: PlannedTensor, keyCache: Int, valueCache: Int,
        parameters: dyad_attention, stages: Internals, prefixValues: [Int8], cap: SoftCap?
    ) throws(DyadError) {
        self.name = name
        self.queries = queries
        self.output = output
        self.keyCache = keyCache
        self.valueCache = valueCache
        self.cap = cap
        var parameters = parameters
        if let cap { parameters.cap = cap.parameters }
        self.parameters = parameters
        self.stages = stages
        self.prefixValues = try AlignedMemory(prefixValues, subject: name)
        tokensPerTask = max(1, Self.rowsPerTask / parameters.group)
    }

    func scratchBytes(rows: Int, columns: Int) -> Int {
        withUnsafePointer(to: parameters) { dyad_attention_scratch_bytes($0, min(rows, tokensPerTask), columns) }
    }

    func run(_ frame: Frame) {
        guard let keys = frame.caches[keyCache].keys, let values = frame.caches[valueCache].values else {
            preconditionFailure("the plan laid out these caches for another use")
        }
        var watch = dyad_attention_watch()
        if frame.isWatched {
            watch.scores = stages.scores.map { frame.pointer($0.id).assumingMemoryBound(to: UInt16.self) }
            watch.capped = stages.capped.map { frame.pointer($0.id).assumingMemoryBound(to: UInt16.self) }
            watch.masked = stages.masked.map { frame.pointer($0.id).assumingMemoryBound(to: UInt16.self) }
            watch.probabilities = stages.probabilities.map {
                frame.pointer($0.id).assumingMemoryBound(to: UInt16.self)
            }
            watch.prefix_weights = stages.prefixWeights.map {
                frame.pointer($0.id).assumingMemoryBound(to: UInt32.self)
            }
            watch.tokens = frame.rows
            watch.context = frame.column + frame.rows
        }
        let tiles = (frame.rows + tokensPerTask - 1) / tokensPerTask
        let (source, target) = (frame.pointer(queries), frame.pointer(output.id))
        let groups = parameters.heads / parameters.group
        withUnsafePointer(to: parameters) { attention in
            withUnsafePointer(to: keys) { keys in
                withUnsafePointer(to: values) { values in
                    withUnsafePointer(to: watch) { watch in
                        // Later tiles see more columns: the longest first, so that the threads end together.
                        frame.pool.run(tasks: tiles * groups) { task, worker in
                            let first = (tiles - 1 - task / groups) * tokensPerTask
                            frame.kernels.pointee.attention(
                                attention, keys, values, prefixValues.elements(Int8.self), task % groups, first,
                                min(tokensPerTask, frame.rows - first), frame.column,
                                UnsafeRawPointer(source), target, frame.scratch[worker],
                                frame.isWatched ? watch : nil)
                        }
                    }
                }
            }
        }
    }
}

/// `softCap`: inside of attention, where the kernel applies it, or behind the logits.
struct SoftCap: LogitsFinish, @unchecked Sendable {
    let output: PlannedTensor
    let parameters: dyad_soft_cap
    /// Where `parameters` points to.
    private let tangents: AlignedMemory

    init(
        _ softCap: Operation.SoftCap, of graph: IntegerGraph, tangents: AlignedMemory, name: String
    ) throws(DyadError) {
        let derived = try graph.softCapParameters(softCap, name: name)
        output = PlannedTensor(softCap.output, graph.tensors[softCap.output])
        self.tangents = tangents
        parameters = dyad_soft_cap(
            input: graph.tensors[softCap.input].format, output: graph.tensors[softCap.output].format,
            argument: derived.argument.kernelRescale, result: derived.result.kernelRescale,
            tangents: tangents.elements(Int32.self))
    }

    func run(_ frame: Frame, _ logits: UnsafeMutableRawPointer, count: Int) {
        let perTask = 16384
        withUnsafePointer(to: parameters) { cap in
            frame.pool.run(tasks: (count + perTask - 1) / perTask) { task, _ in
                let start = task * perTask
                let place = logits + start * MemoryLayout<Int32>.stride
                frame.kernels.pointee.soft_cap(cap, place, min(perTask, count - start), place)
            }
        }
    }
}
