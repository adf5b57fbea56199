import DyadFormats
import Foundation

/// Adam with decoupled weight decay (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2).
///
/// Moments are kept in float32 (float64 for float64 parameters) whatever the parameters' dtype.
public final class AdamW: Optimizer {
    /// The parameters with their learning rates.
    public var groups: [ParameterGroup]
    /// The number of steps taken.
    public private(set) var steps = 0

    private let beta1: Double
    private let beta2: Double
    private let epsilon: Double
    private var means: ParameterState
    private var squares: ParameterState

    /// Creates an optimizer; the learning rates are those of the groups.
    public init(_ groups: [ParameterGroup], beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8) {
        self.groups = groups
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        means = ParameterState(groups)
        squares = ParameterState(groups)
    }

    /// One update. Cost: a handful of passes over parameters, gradients and moments.
    public func step() throws(DyadError) {
        try means.check(groups)
        steps += 1
        try withNoGrad { () throws(DyadError) in
            for (index, group) in groups.enumerated() {
                for position in group.parameters.indices { try update(index, position, group) }
            }
        }
    }

    private func update(_ index: Int, _ position: Int, _ group: ParameterGroup) throws(DyadError) {
        let parameter = group.parameters[position]
        guard let raw = try parameter.grad() else { return }
        let gradient = try raw.to(parameter.dtype == .float64 ? .float64 : .float32)
        let mean: Tensor
        let square: Tensor
        if let known = means[index, position], let knownSquare = squares[index, position] {
            (mean, square) = (known, knownSquare)
        } else {
            (mean, square) = (try gradient.zerosLike(), try gradient.zerosLike())
            means[index, position] = mean
            squares[index, position] = square
        }
        // m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²; then θ ← θ − η(λθ + m̂ / (√v̂ + ε)) with the bias corrections
        // m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ).
        try mean.multiplyInPlace(beta1)
        try mean.addInPlace(gradient, factor: 1 - beta1)
        try square.multiplyInPlace(beta2)
        try square.addProductInPlace(gradient, gradient, factor: 1 - beta2)
        let meanCorrection = 1 - pow(beta1, Double(steps))
        let squareCorrection = 1 - pow(beta2, Double(steps))
        let divisor = try square.sqrt()
        try divisor.multiplyInPlace(1 / squareCorrection.squareRoot())
        try divisor.addInPlace(epsilon)
        if group.weightDecay != 0 { try parameter.multiplyInPlace(1 - group.learningRate * group.weightDecay) }
        if parameter.dtype == mean.dtype {
            try parameter.addQuotientInPlace(mean, divisor, factor: -group.learningRate / meanCorrection)
        } else {
            try parameter.addInPlace(mean / divisor, factor: -group.learningRate / meanCorrection)
        }
    }

    /// The moments and the number of steps.
    public func state() throws(DyadError) -> [String: Tensor] {
        var state = ["steps": try Tensor(scalar: steps)]
        try means.store("mean", into: &state)
        try squares.store("square", into: &state)
        return state
    }

    /// Continues from a stored state; throws when it does not fit the parameters.
    public func restore(_ state: [String: Tensor]) throws(DyadError) {
        try means.check(groups)
        guard let stored = state["steps"] else {
            throw DyadError(
                .mismatch, subject: "optimizer state", found: "no entry 'steps'", expected: "a state of AdamW",
                remedy: "Resume with the optimizer the run was started with.")
        }
        let count = Int(try stored.item())
        try means.load("mean", from: state, like: groups)
        try squares.load("square", from: state, like: groups)
        steps = count
    }
}
