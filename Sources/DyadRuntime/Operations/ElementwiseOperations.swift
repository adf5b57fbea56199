import CDyadKernels
import DyadGraph

/// `add` and `multiply`: two rows of equal width.
struct BinaryOperation: PlannedOperation {
    /// Which of the two.
    enum Form: Sendable { case add, multiply }

    let name: String
    let form: Form
    let left: TensorID
    let right: TensorID
    let output: PlannedTensor
    let parameters: dyad_binary
    let width: Int
    let leftBytes: Int
    let rightBytes: Int

    var inputs: [TensorID] { [left, right] }
    var outputs: [PlannedTensor] { [output] }

    func run(_ frame: Frame) {
        let outputBytes = output.storedType.byteCount
        withUnsafePointer(to: parameters) { parameters in
            frame.parallelRows(width: width) { rows, _ in
                let start = rows.lowerBound * width
                let a = frame.pointer(left) + start * leftBytes
                let b = frame.pointer(right) + start * rightBytes
                let y = frame.pointer(output.id) + start * outputBytes
                switch form {
                case .add: frame.kernels.pointee.add(parameters, a, b, rows.count * width, y)
                case .multiply: frame.kernels.pointee.multiply(parameters, a, b, rows.count * width, y)
                }
            }
        }
    }
}

/// `requantize`: to another type or encoding.
struct RequantizeOperation: PlannedOperation {
    let name: String
    let input: TensorID
    let output: PlannedTensor
    let parameters: dyad_requantize
    let width: Int
    let inputBytes: Int

    var inputs: [TensorID] { [input] }
    var outputs: [PlannedTensor] { [output] }

    func run(_ frame: Frame) {
        let outputBytes = output.storedType.byteCount
        withUnsafePointer(to: parameters) { parameters in
            frame.parallelRows(width: width) { rows, _ in
                let start = rows.lowerBound * width
                frame.kernels.pointee.requantize(
                    parameters, frame.pointer(input) + start * inputBytes, rows.count * width,
                    frame.pointer(output.id) + start * outputBytes)
            }
        }
    }
}

/// `lookup`: a unary function by table.
struct LookupOperation: PlannedOperation {
    let name: String
    let input: TensorID
    let inputType: IntegerType
    let output: PlannedTensor
    let table: AlignedMemory
    let width: Int

    var inputs: [TensorID] { [input] }
    var outputs: [PlannedTensor] { [output] }

    func run(_ frame: Frame) {
        let (inputBytes, outputBytes) = (inputType.byteCount, output.storedType.byteCount)
        frame.parallelRows(width: width) { rows, _ in
            let start = rows.lowerBound * width
            frame.kernels.pointee.lookup(
                table.pointer, inputType.kernelType, output.storedType.kernelType,
                frame.pointer(input) + start * inputBytes, rows.count * width,
                frame.pointer(output.id) + start * outputBytes)
        }
    }
}

/// `concatenate` and `slice`: runs of bytes from rows to rows.
struct CopyOperation: PlannedOperation {
    /// One run in every row: `count` bytes from `sourceOffset` in rows of `sourceStride` bytes to `targetOffset`.
    struct Run: Sendable {
        let source: TensorID
        let sourceStride: Int
        let sourceOffset: Int
        let targetOffset: Int
        let count: Int
    }

    let name: String
    let runs: [Run]
    let output: PlannedTensor
    let targetStride: Int

    var inputs: [TensorID] { runs.map(\.source) }
    var outputs: [PlannedTensor] { [output] }

    func run(_ frame: Frame) {
        let target = frame.pointer(output.id)
        for run in runs {
            let source = frame.pointer(run.source)
            for row in 0..<frame.rows {
                (target + row * targetStride + run.targetOffset).copyMemory(
                    from: source + row * run.sourceStride + run.sourceOffset, byteCount: run.count)
            }
        }
    }
}
