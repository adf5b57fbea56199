import CDyadKernels
import DyadFormats
import DyadGraph

/// `embed`: rows of an i8 table, each with its own rescale, to `[tokens, hidden]`.
final class EmbedOperation: PlannedOperation, @unchecked Sendable {
    let name: String
    let output: PlannedTensor
    private let weights: ConstantData
    private let multipliers: AlignedMemory
    private let shifts: AlignedMemory
    private let format: dyad_format
    private let width: Int

    var inputs: [TensorID] { [] }
    var outputs: [PlannedTensor] { [output] }

    /// `weights` is i8 `[vocabulary, width]`.
    init(
        name: String, output: (TensorID, GraphTensor), weights: ConstantData, multipliers: [DyadicMultiplier]
    ) throws(DyadError) {
        self.name = name
        self.output = PlannedTensor(output.0, output.1)
        self.weights = weights
        self.multipliers = try AlignedMemory(multipliers.map(\.multiplier), subject: name)
        shifts = try AlignedMemory(multipliers.map(\.shift), subject: name)
        format = output.1.format
        width = output.1.width
    }

    func run(_ frame: Frame) {
        let rowBytes = width * output.storedType.byteCount
        weights.withUnsafeBytes { bytes in
            let parameters = dyad_embed(
                width: width, weights: bytes.baseAddress?.assumingMemoryBound(to: Int8.self),
                multipliers: multipliers.elements(Int64.self), shifts: shifts.elements(Int64.self), output: format)
            withUnsafePointer(to: parameters) { embed in
                frame.parallelRows(width: width) { rows, _ in
                    frame.kernels.pointee.embed(
                        embed, frame.tokens + rows.lowerBound, rows.count,
                        frame.pointer(output.id) + rows.lowerBound * rowBytes)
                }
            }
        }
    }
}
