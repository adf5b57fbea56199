import CDyadKernels
import DyadFormats
import DyadGraph

/// The ±1 matrix of a block: base ⊗ Sylvester(power).
struct PackedHadamard: @unchecked Sendable {
    let base: AlignedMemory
    let order: Int
    let power: Int

    /// Rows of `+` and `-`.
    init(base rows: [String], power: Int, subject: String) throws(DyadError) {
        base = try AlignedMemory(
            rows.flatMap { row in row.utf8.map { $0 == UInt8(ascii: "+") ? Int8(1) : -1 } }, subject: subject)
        order = rows.count
        self.power = power
    }

    /// The kernel's parameters for rows of `width` elements.
    func parameters(width: Int, input: dyad_format) -> dyad_hadamard {
        dyad_hadamard(
            width: width, base_order: order, power: power, base: UnsafePointer(base.elements(Int8.self)), input: input)
    }
}

/// `hadamard` alone: exact, to 32 bits.
struct HadamardOperation: PlannedOperation {
    let name: String
    let input: TensorID
    let inputFormat: dyad_format
    let inputBytes: Int
    let output: PlannedTensor
    let matrix: PackedHadamard
    let width: Int

    var inputs: [TensorID] { [input] }
    var outputs: [PlannedTensor] { [output] }

    func scratchBytes(rows: Int, columns: Int) -> Int { width * MemoryLayout<Int32>.stride }

    func run(_ frame: Frame) {
        withUnsafePointer(to: matrix.parameters(width: width, input: inputFormat)) { hadamard in
            frame.parallelRows(width: width) { rows, worker in
                frame.kernels.pointee.hadamard(
                    hadamard, frame.pointer(input) + rows.lowerBound * width * inputBytes, rows.count,
                    frame.pointer(output.id).assumingMemoryBound(to: Int32.self) + rows.lowerBound * width,
                    frame.scratch[worker].assumingMemoryBound(to: Int32.self))
            }
        }
    }
}

/// `multiply`, `hadamard` and `requantize` of one row after another: the product and its rotation stay in the nearest cache.
struct GatedHadamardOperation: PlannedOperation {
    let multiply: BinaryOperation
    let hadamard: HadamardOperation
    let requantize: RequantizeOperation

    var name: String { requantize.name }
    var inputs: [TensorID] { multiply.inputs }
    var outputs: [PlannedTensor] { requantize.outputs }
    var internals: [PlannedTensor] { multiply.outputs + hadamard.outputs }

    func scratchBytes(rows: Int, columns: Int) -> Int { 2 * hadamard.width * MemoryLayout<Int32>.stride }

    func run(_ frame: Frame) {
        if frame.isWatched {
            multiply.run(frame)
            hadamard.run(frame)
            requantize.run(frame)
            return
        }
        let width = hadamard.width
        let outputBytes = requantize.output.storedType.byteCount
        let gated = dyad_gated_hadamard(
            multiply: multiply.parameters,
            hadamard: hadamard.matrix.parameters(width: width, input: hadamard.inputFormat),
            requantize: requantize.parameters)
        withUnsafePointer(to: gated) { gated in
            frame.parallelRows(width: width) { rows, worker in
                let start = rows.lowerBound * width
                frame.kernels.pointee.gated_hadamard(
                    gated, frame.pointer(multiply.left) + start * multiply.leftBytes,
                    frame.pointer(multiply.right) + start * multiply.rightBytes, rows.count,
                    frame.pointer(requantize.output.id) + start * outputBytes,
                    frame.scratch[worker].assumingMemoryBound(to: Int32.self))
            }
        }
    }
}
