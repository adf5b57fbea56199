import CDyadTorch
import DyadFormats

extension Tensor {
    /// Whether gradients flow to this tensor.
    public var requiresGrad: Bool { layout.requiresGradient }

    /// Makes a leaf record gradients (or stop doing so) and returns it. Only floating-point tensors can.
    @discardableResult
    public func requiresGrad(_ flag: Bool) throws(DyadError) -> Tensor {
        try checked("requiresGrad") { dyad_torch_set_requires_gradient(handle, flag, $0) }
        return self
    }

    /// Adds the gradient of this scalar to `grad` of every leaf that it depends on.
    ///
    /// A tensor that is no scalar needs `gradient`, of its own shape. The graph is freed unless `retainGraph`.
    public func backward(gradient: Tensor? = nil, retainGraph: Bool = false) throws(DyadError) {
        try checked("backward") { dyad_torch_backward(handle, gradient?.handle, retainGraph, $0) }
    }

    /// The gradient that `backward` accumulated in this leaf; nil when there is none.
    public func grad() throws(DyadError) -> Tensor? {
        var made: OpaquePointer?
        try checked("grad") { dyad_torch_gradient(handle, &made, $0) }
        guard let made else { return nil }
        return try Tensor(owning: made)
    }

    /// Replaces the accumulated gradient.
    public func setGrad(_ gradient: Tensor?) throws(DyadError) {
        try checked("setGrad") { dyad_torch_set_gradient(handle, gradient?.handle, $0) }
    }

    /// Forgets the accumulated gradient.
    public func zeroGrad() throws(DyadError) { try setGrad(nil) }

    /// The same memory without history.
    public func detach() throws(DyadError) -> Tensor { try Self.call("aten::detach", .tensor(self)) }

    /// The gradients of the sum of scalars `outputs` with respect to `inputs`, touching no accumulated gradient;
    /// nil where an input was not used.
    public static func gradients(
        of outputs: [Tensor], withRespectTo inputs: [Tensor], retainGraph: Bool = false
    ) throws(DyadError) -> [Tensor?] {
        var handles = [OpaquePointer?](repeating: nil, count: inputs.count)
        let from = outputs.map { Optional($0.handle) }
        let to = inputs.map { Optional($0.handle) }
        try checked("gradients") {
            dyad_torch_gradients(from, Int32(from.count), to, Int32(to.count), retainGraph, &handles, $0)
        }
        var gradients: [Tensor?] = []
        var refused: DyadError?
        for handle in handles {
            do throws(DyadError) {
                gradients.append(try handle.map { handle throws(DyadError) in try Tensor(owning: handle) })
            } catch { refused = error }
        }
        withExtendedLifetime((outputs, inputs)) {}
        if let refused { throw refused }
        return gradients
    }
}

/// Runs `body` without recording anything for autograd: less memory, less time.
///
/// The setting belongs to the calling thread, so `body` is synchronous.
public func withNoGrad<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    let previous = dyad_torch_set_gradient_mode(false)
    defer { _ = dyad_torch_set_gradient_mode(previous) }
    return try body()
}

/// Runs `body` recording for autograd, also inside `withNoGrad`.
public func withGrad<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    let previous = dyad_torch_set_gradient_mode(true)
    defer { _ = dyad_torch_set_gradient_mode(previous) }
    return try body()
}
