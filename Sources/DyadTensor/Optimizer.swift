import DyadFormats

/// Parameters that share a learning rate and a weight decay.
public struct ParameterGroup {
    /// The leaves to be learnt; one without a gradient is left alone.
    public var parameters: [Tensor]
    /// The learning rate of the next step; a schedule changes it between steps.
    public var learningRate: Double
    /// Decoupled for AdamW, added to the gradient for SGD.
    public var weightDecay: Double

    /// Creates a group.
    public init(_ parameters: [Tensor], learningRate: Double, weightDecay: Double = 0) {
        self.parameters = parameters
        self.learningRate = learningRate
        self.weightDecay = weightDecay
    }
}

/// What updates parameters from their gradients.
public protocol Optimizer: AnyObject {
    /// The parameters; learning rates may change between steps, the parameters may not.
    var groups: [ParameterGroup] { get set }

    /// Changes every parameter that has a gradient.
    func step() throws(DyadError)

    /// Everything besides the parameters that the next steps depend on, to be stored for a resumed run.
    /// The tensors are copies.
    func state() throws(DyadError) -> [String: Tensor]

    /// Continues from what `state()` returned for the same groups of parameters.
    func restore(_ state: [String: Tensor]) throws(DyadError)
}

extension Optimizer {
    /// Forgets the gradients of all parameters.
    public func zeroGrad() throws(DyadError) {
        for group in groups {
            for parameter in group.parameters { try parameter.zeroGrad() }
        }
    }
}

/// Scales the gradients of `parameters` down so that their joint Euclidean norm is at most `maximumNorm`;
/// returns the norm before. Throws when the norm is not finite, and changes nothing then.
@discardableResult
public func clipGradients(of parameters: [Tensor], maximumNorm: Double) throws(DyadError) -> Double {
    var gradients: [Tensor] = []
    var squares = 0.0
    for parameter in parameters {
        guard let gradient = try parameter.grad() else { continue }
        gradients.append(gradient)
        let norm = try gradient.to(.float32).norm().item()
        squares += norm * norm
    }
    let norm = squares.squareRoot()
    guard norm.isFinite else {
        throw DyadError(
            .failed, subject: "gradients", found: "a norm of \(norm)", expected: "finite gradients",
            remedy: "Lower the learning rate, or look for scales that became too small.")
    }
    if norm > maximumNorm {
        try withNoGrad { () throws(DyadError) in
            for gradient in gradients { try gradient.multiplyInPlace(maximumNorm / norm) }
        }
    }
    return norm
}

/// Per-parameter tensors of an optimiser, by group and position, and their names in a stored state.
struct ParameterState {
    private var tensors: [[Tensor?]]

    init(_ groups: [ParameterGroup]) {
        tensors = groups.map { [Tensor?](repeating: nil, count: $0.parameters.count) }
    }

    subscript(group: Int, index: Int) -> Tensor? {
        get { tensors[group][index] }
        set { tensors[group][index] = newValue }
    }

    /// Throws when the groups are no longer those that the optimiser was created with.
    func check(_ groups: [ParameterGroup]) throws(DyadError) {
        guard groups.map(\.parameters.count) == tensors.map(\.count) else {
            throw DyadError(
                .mismatch, subject: "optimizer", found: "groups of \(groups.map(\.parameters.count)) parameters",
                expected: "\(tensors.map(\.count))", remedy: "Create another optimizer for other parameters.")
        }
    }

    func store(_ name: String, into state: inout [String: Tensor]) throws(DyadError) {
        for (group, row) in tensors.enumerated() {
            for (index, tensor) in row.enumerated() {
                if let tensor { state["\(name).\(group).\(index)"] = try tensor.clone() }
            }
        }
    }

    mutating func load(
        _ name: String, from state: [String: Tensor], like groups: [ParameterGroup]
    ) throws(DyadError) {
        var loaded = ParameterState(groups)
        for (group, row) in groups.enumerated() {
            for (index, parameter) in row.parameters.enumerated() {
                let key = "\(name).\(group).\(index)"
                guard let stored = state[key] else { continue }
                guard stored.shape == parameter.shape else {
                    throw DyadError(
                        .mismatch, subject: "optimizer state \(key)", found: "shape \(stored.shape)",
                        expected: "\(parameter.shape)", remedy: "Resume with the settings the run was started with.")
                }
                loaded[group, index] = try stored.to(parameter.device).clone()
            }
        }
        self = loaded
    }
}
