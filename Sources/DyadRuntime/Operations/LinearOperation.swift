import CDyadKernels
import DyadFormats
import DyadGraph

/// `linear` and `logits`: packed weights times rows of bytes or of 16-bit integers.
final class LinearOperation: PlannedOperation, @unchecked Sendable {
    let name: String
    let input: TensorID
    let output: PlannedTensor
    private let parameters: dyad_linear
    private let memory: [AlignedMemory]
    private let inputBytes: Int

    var inputs: [TensorID] { [input] }
    var outputs: [PlannedTensor] { [output] }
    /// Bytes of the parameters of the channels, without the packed weights, which several operations may share.
    var channelBytes: Int { memory.dropFirst().reduce(0) { $0 + $1.byteCount } }
    /// Channels.
    var width: Int { parameters.outputs }

    /// Rows that are multiplied by all weights before the next ones come, as one task.
    private static let rowsPerTask = 96

    /// Packs weights `[outputs, inputs]` (i8, or i4 two a byte) block by block; `panels` has `dyad_packed_weight_bytes`.
    static func pack(
        _ weights: UnsafeRawBufferPointer, outputs: Int, inputs: Int, weightBits: Int, into panels: AlignedMemory,
        pool: ThreadPool
    ) {
        guard let source = weights.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        let target = panels.elements(Int8.self)
        pool.run(tasks: blockCount(outputs)) { block, _ in
            dyad_pack_weights(source, outputs, inputs, Int32(weightBits), block, 1, target)
        }
    }

    /// `offsets` is bias − z_x·Σw of every channel.
    init(
        name: String, input: (TensorID, GraphTensor), output: (TensorID, GraphTensor), weightBits: Int,
        panels: AlignedMemory, multipliers: [DyadicMultiplier], offsets: [Int64]
    ) throws(DyadError) {
        self.name = name
        self.input = input.0
        self.output = PlannedTensor(output.0, output.1)
        inputBytes = input.1.type.byteCount
        let outputs = output.1.width
        let missing = Self.blockCount(outputs) * Int(DYAD_BLOCK) - outputs
        let multiplierMemory = try AlignedMemory(
            multipliers.map(\.multiplier) + Array(repeating: 0, count: missing), subject: name)
        let shiftMemory = try AlignedMemory(
            multipliers.map(\.shift) + Array(repeating: 1, count: missing), subject: name)
        let offsetMemory = try AlignedMemory(offsets + Array(repeating: 0, count: missing), subject: name)
        memory = [panels, multiplierMemory, shiftMemory, offsetMemory]
        parameters = dyad_linear(
            inputs: input.1.width, outputs: outputs, weight_bits: Int32(weightBits),
            input_type: input.1.type.kernelType, panels: panels.elements(Int8.self),
            multipliers: multiplierMemory.elements(Int64.self), shifts: shiftMemory.elements(Int64.self),
            offsets: offsetMemory.elements(Int64.self), output: output.1.format)
    }

    private static func blockCount(_ outputs: Int) -> Int { (outputs + Int(DYAD_BLOCK) - 1) / Int(DYAD_BLOCK) }

    func scratchBytes(rows: Int, columns: Int) -> Int {
        withUnsafePointer(to: parameters) { dyad_linear_scratch_bytes($0, rows) }
    }

    func run(_ frame: Frame) {
        run(frame, rows: 0..<frame.rows, into: frame.pointer(output.id))
    }

    /// Computes some rows of the step into `target`, row by row from its start.
    func run(_ frame: Frame, rows: Range<Int>, into target: UnsafeMutableRawPointer) {
        let source = frame.pointer(input) + rows.lowerBound * parameters.inputs * inputBytes
        let blocks = Self.blockCount(parameters.outputs)
        let outputRowBytes = parameters.outputs * output.storedType.byteCount
        withUnsafePointer(to: parameters) { linear in
            if rows.count >= Self.rowsPerTask {
                let tasks = (rows.count + Self.rowsPerTask - 1) / Self.rowsPerTask
                frame.pool.run(tasks: tasks) { task, worker in
                    let start = task * Self.rowsPerTask
                    let count = min(Self.rowsPerTask, rows.count - start)
                    frame.kernels.pointee.linear(
                        linear, source + start * self.parameters.inputs * self.inputBytes, count, 0, blocks,
                        target + start * outputRowBytes, frame.scratch[worker])
                }
            } else {
                // Few rows: every thread reads its own channels' weights once. Whole tiles of four blocks.
                let wanted = frame.pool.threads == 1 ? 1 : 4 * frame.pool.threads
                let perTask = max(4, ((blocks + wanted - 1) / wanted + 3) / 4 * 4)
                frame.pool.run(tasks: (blocks + perTask - 1) / perTask) { task, worker in
                    let first = task * perTask
                    frame.kernels.pointee.linear(
                        linear, source, rows.count, first, min(perTask, blocks - first), target, frame.scratch[worker])
                }
            }
        }
    }
}
