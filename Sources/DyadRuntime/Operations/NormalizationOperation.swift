import CDyadKernels
import DyadFormats
import DyadGraph

/// `rmsNorm` and `layerNorm` over runs of `size` elements of every row.
final class NormalizationOperation: PlannedOperation, @unchecked Sendable {
    /// Which of the two.
    enum Form { case rootMeanSquare, layer }

    let name: String
    let input: TensorID
    let output: PlannedTensor
    private let form: Form
    private let parameters: dyad_normalization
    private let memory: [AlignedMemory]
    private let width: Int
    private let inputBytes: Int

    var inputs: [TensorID] { [input] }
    var outputs: [PlannedTensor] { [output] }

    /// Lays out `derived` for the kernel.
    init(
        name: String, form: Form, input: (TensorID, GraphTensor), output: (TensorID, GraphTensor), size: Int,
        derived: NormalizationParameters
    ) throws(DyadError) {
        self.name = name
        self.form = form
        self.input = input.0
        self.output = PlannedTensor(output.0, output.1)
        width = output.1.width
        inputBytes = input.1.type.byteCount
        var memory = [try AlignedMemory(derived.gains, subject: name)]
        if let biases = derived.biases { memory.append(try AlignedMemory(biases, subject: name)) }
        self.memory = memory
        parameters = dyad_normalization(
            size: size, input: input.1.format, output: output.1.format, epsilon: derived.epsilonTerm,
            gains: memory[0].elements(Int64.self), gain_shift: Int64(derived.gainShift),
            maximum_shift: Int64(derived.maximumShift),
            biases: memory.count > 1 ? UnsafePointer(memory[1].elements(Int64.self)) : nil)
    }

    func run(_ frame: Frame) {
        let (source, target) = (frame.pointer(input), frame.pointer(output.id))
        let outputBytes = output.storedType.byteCount
        withUnsafePointer(to: parameters) { norm in
            frame.parallelRows(width: width) { rows, _ in
                let from = source + rows.lowerBound * width * inputBytes
                let to = target + rows.lowerBound * width * outputBytes
                let runs = rows.count * (width / parameters.size)
                switch form {
                case .rootMeanSquare: frame.kernels.pointee.rms_norm(norm, from, runs, to)
                case .layer: frame.kernels.pointee.layer_norm(norm, from, runs, to)
                }
            }
        }
    }
}
