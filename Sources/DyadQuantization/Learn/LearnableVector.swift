import DyadFormats
import DyadTensor

/// A norm's gain or a linear's bias that a stage learns: few parameters, all of which see every token, and free in the
/// program, whose norms have gains and whose linears have biases anyway.
///
/// A gain is g·eᵗ; a bias is b + u·t with u about a standard deviation of the linear's outputs. t starts at 0.
final class LearnableVector {
    let parameter: LearnableParameter
    /// Of a bias; nil for a gain.
    private let unit: Double?

    /// A gain of `size` channels.
    init(gain size: Int) throws(DyadError) {
        parameter = LearnableParameter(kind: .gains, tensor: try Tensor.zeros([size]).requiresGrad(true))
        unit = nil
    }

    /// The bias of a linear with `size` outputs.
    ///
    /// - Parameter deviation: the size of those outputs.
    init(bias size: Int, deviation: Double) throws(DyadError) {
        parameter = LearnableParameter(kind: .biases, tensor: try Tensor.zeros([size]).requiresGrad(true))
        unit = deviation
    }

    /// The vector, given its start.
    func value(_ start: Tensor) throws(DyadError) -> Tensor {
        guard let unit else { return try start * parameter.tensor.exp() }
        return try start + parameter.tensor * unit
    }
}
