import CDyadKernels
import DyadGraph

/// `rotary`: pairs of channels turned by the angle of their absolute position.
final class RotaryOperation: PlannedOperation, @unchecked Sendable {
    let name: String
    let input: TensorID
    let output: PlannedTensor
    private let parameters: dyad_rotary
    private let memory: [AlignedMemory]
    private let width: Int
    private let inputBytes: Int

    var inputs: [TensorID] { [input] }
    var outputs: [PlannedTensor] { [output] }

    /// `cosine` and `sine` are Q1.14 `[maximumContext, rotated / 2]`.
    init(
        name: String, input: (TensorID, GraphTensor), output: (TensorID, GraphTensor), dimension: Int, rotated: Int,
        cosine: AlignedMemory, sine: AlignedMemory, rescale: DyadicMultiplier
    ) {
        self.name = name
        self.input = input.0
        self.output = PlannedTensor(output.0, output.1)
        width = output.1.width
        inputBytes = input.1.type.byteCount
        memory = [cosine, sine]
        parameters = dyad_rotary(
            heads: width / dimension, dimension: dimension, rotated: rotated, cosine: cosine.elements(Int16.self),
            sine: sine.elements(Int16.self), input: input.1.format, output: output.1.format,
            rescale: rescale.kernelRescale)
    }

    func run(_ frame: Frame) {
        let (source, target) = (frame.pointer(input), frame.pointer(output.id))
        let outputBytes = output.storedType.byteCount
        withUnsafePointer(to: parameters) { rotary in
            frame.parallelRows(width: width) { rows, _ in
                frame.kernels.pointee.rotary(
                    rotary, source + rows.lowerBound * width * inputBytes, rows.count,
                    frame.column + rows.lowerBound, target + rows.lowerBound * width * outputBytes)
            }
        }
    }
}
