import CDyadTorch
import DyadFormats

/// A source of random numbers of its own: equal seeds give equal numbers, whatever else runs in the process.
///
/// Numbers differ between devices. Using one generator from several threads at once is safe but not reproducible.
public final class Generator: @unchecked Sendable {
    let handle: OpaquePointer
    /// The device whose tensors it fills.
    public let device: Device

    /// Creates a generator with a seed.
    public init(seed: UInt64, device: Device = .cpu) throws(DyadError) {
        var made: OpaquePointer?
        try checked("generator") {
            dyad_torch_make_generator(device.type, Int32(truncatingIfNeeded: device.index), seed, &made, $0)
        }
        guard let made else { throw Tensor.unexpected("generator") }
        handle = made
        self.device = device
    }

    deinit {
        dyad_torch_release_generator(handle)
    }

    /// The state as a uint8 tensor, for a checkpoint of a run.
    public func state() throws(DyadError) -> Tensor {
        var made: OpaquePointer?
        try checked("generator state") { dyad_torch_generator_state(handle, &made, $0) }
        guard let made else { throw Tensor.unexpected("generator state") }
        return try Tensor(owning: made)
    }

    /// Continues from a state that `state()` returned.
    public func restore(_ state: Tensor) throws(DyadError) {
        try checked("generator state") { dyad_torch_set_generator_state(handle, state.handle, $0) }
    }
}
