import DyadFormats

/// Gradient descent with momentum: b ← momentum · b + g (b starts as g), θ ← θ − η · b.
public final class SGD: Optimizer {
    /// The parameters with their learning rates.
    public var groups: [ParameterGroup]

    private let momentum: Double
    private var velocities: ParameterState

    /// Creates an optimizer; the learning rates are those of the groups.
    public init(_ groups: [ParameterGroup], momentum: Double = 0) {
        self.groups = groups
        self.momentum = momentum
        velocities = ParameterState(groups)
    }

    /// One update.
    public func step() throws(DyadError) {
        try velocities.check(groups)
        try withNoGrad { () throws(DyadError) in
            for (index, group) in groups.enumerated() {
                for position in group.parameters.indices { try update(index, position, group) }
            }
        }
    }

    private func update(_ index: Int, _ position: Int, _ group: ParameterGroup) throws(DyadError) {
        let parameter = group.parameters[position]
        guard let raw = try parameter.grad() else { return }
        var gradient = raw
        if group.weightDecay != 0 { gradient = try gradient + parameter * group.weightDecay }
        if momentum != 0 {
            if let velocity = velocities[index, position] {
                try velocity.multiplyInPlace(momentum)
                try velocity.addInPlace(gradient)
                gradient = velocity
            } else {
                gradient = try gradient.detach().clone()
                velocities[index, position] = gradient
            }
        }
        try parameter.addInPlace(gradient, factor: -group.learningRate)
    }

    /// The velocities.
    public func state() throws(DyadError) -> [String: Tensor] {
        var state: [String: Tensor] = [:]
        try velocities.store("velocity", into: &state)
        return state
    }

    /// Continues from a stored state; throws when it does not fit the parameters.
    public func restore(_ state: [String: Tensor]) throws(DyadError) {
        try velocities.check(groups)
        try velocities.load("velocity", from: state, like: groups)
    }
}
