import DyadFormats
import DyadTensor
import Testing

/// Suites that need libtorch are skipped, with a message, in a build without it.
extension Trait where Self == ConditionTrait {
    static var needsTorch: Self { .enabled(if: Torch.isAvailable, "built without libtorch (trait Torch is off)") }
}

/// The largest absolute difference of two tensors, in float64.
func difference(_ a: Tensor, _ b: Tensor) throws -> Double {
    try ((a.to(.float64) - b.to(.float64)).abs().max()).item()
}
