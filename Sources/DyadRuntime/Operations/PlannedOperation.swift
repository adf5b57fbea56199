import CDyadKernels
import DyadGraph

/// A tensor that an operation writes.
struct PlannedTensor: Sendable {
    let id: TensorID
    private let tensor: GraphTensor
    /// The type of the stored elements where it is wider than `type` (watched 8-bit exponentials); else `type`.
    let storedType: IntegerType

    init(_ id: TensorID, _ tensor: GraphTensor, storedType: IntegerType? = nil) {
        (self.id, self.tensor) = (id, tensor)
        self.storedType = storedType ?? tensor.type
    }

    var name: String { tensor.name }
    var type: IntegerType { tensor.type }

    /// The extents of a step of `rows` tokens whose last token sees `columns` columns.
    func extents(rows: Int, columns: Int) -> [Int] { tensor.extents(tokens: rows, columns: columns) }

    /// Elements of such a step.
    func count(rows: Int, columns: Int) -> Int { extents(rows: rows, columns: columns).reduce(1, *) }
}

/// One step of the plan: an operation of the graph, or several fused ones.
///
/// Everything an operation needs was validated, derived and packed when it was made; running it allocates nothing and
/// cannot fail.
protocol PlannedOperation: Sendable {
    /// The operation's name in the graph; of a fused group, the last one's.
    var name: String { get }
    /// Tensors read.
    var inputs: [TensorID] { get }
    /// Tensors written.
    var outputs: [PlannedTensor] { get }
    /// Tensors between fused operations, stored only when someone watches.
    var internals: [PlannedTensor] { get }
    /// Memory that one worker needs.
    func scratchBytes(rows: Int, columns: Int) -> Int
    /// Runs a step.
    func run(_ frame: Frame)
}

extension PlannedOperation {
    var internals: [PlannedTensor] { [] }
    func scratchBytes(rows: Int, columns: Int) -> Int { 0 }
}

/// What is done to the logits behind the head.
protocol LogitsFinish: Sendable {
    /// The tensor written.
    var output: PlannedTensor { get }
    /// Changes `count` i32 logits in place.
    func run(_ frame: Frame, _ logits: UnsafeMutableRawPointer, count: Int)
}

/// What an operation sees while it runs: the memory and the place of this step.
struct Frame {
    let kernels: UnsafePointer<dyad_kernels>
    let pool: ThreadPool
    /// Memory by tensor; nil where nothing is stored.
    let memory: [UnsafeMutableRawPointer?]
    /// By cache.
    let caches: [CacheMemory]
    /// By worker.
    let scratch: [UnsafeMutableRawPointer]
    /// The step's token ids.
    let tokens: UnsafePointer<Int32>
    /// The number of tokens.
    let rows: Int
    /// The absolute position of the first token, prefix included.
    let column: Int
    /// Whether the tensors between fused operations are wanted.
    let isWatched: Bool

    /// Rows of so many elements below which a second thread costs more than it saves.
    private static let elementsPerTask = 16384

    /// The memory of a stored tensor.
    func pointer(_ id: TensorID) -> UnsafeMutableRawPointer {
        guard let pointer = memory[id] else { preconditionFailure("tensor \(id) has no memory in this plan") }
        return pointer
    }

    /// Shares out the rows of a step whose rows have `width` elements.
    func parallelRows(width: Int, _ body: (_ rows: Range<Int>, _ worker: Int) -> Void) {
        let perTask = max(1, Self.elementsPerTask / max(width, 1))
        let tasks = (rows + perTask - 1) / perTask
        pool.run(tasks: tasks) { task, worker in
            let start = task * perTask
            body(start..<min(rows, start + perTask), worker)
        }
    }
}

extension IntegerType {
    /// Bytes of one element of an activation.
    var byteCount: Int { (bitWidth + 7) / 8 }

    /// The kernels' name for it. Activations have no other types.
    var kernelType: Int32 {
        switch self {
        case .u8: Int32(bitPattern: DYAD_U8.rawValue)
        case .i8, .i4: Int32(bitPattern: DYAD_I8.rawValue)
        case .u16: Int32(bitPattern: DYAD_U16.rawValue)
        case .i16: Int32(bitPattern: DYAD_I16.rawValue)
        case .i32, .u32: Int32(bitPattern: DYAD_I32.rawValue)
        }
    }
}

extension GraphTensor {
    /// Type and zero point, as the kernels take them.
    var format: dyad_format { dyad_format(type: type.kernelType, zero: encoding.zeroPoint) }

    /// Elements of the last axis, which operations on rows need to be fixed.
    var width: Int {
        guard case .fixed(let extent)? = shape.last else { return 0 }
        return extent
    }
}

extension DyadicMultiplier {
    var kernelRescale: dyad_rescale { dyad_rescale(multiplier: multiplier, shift: shift) }
}
