import CDyadTorch
import DyadFormats

/// Runs one call of the shim and throws its message when it fails.
@inline(__always)
func checked(
    _ subject: @autoclosure () -> String, _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Int32
) throws(DyadError) {
    var message: UnsafeMutablePointer<CChar>?
    let status = body(&message)
    if status != 0 { throw failure(status, message, subject: subject()) }
}

/// The error of a status that is not OK; frees the message.
func failure(_ status: Int32, _ message: UnsafeMutablePointer<CChar>?, subject: String) -> DyadError {
    let text = message.map { String(cString: $0) } ?? "no message"
    dyad_torch_free_message(message)
    switch Int(status) {
    case dyadTorchBuiltWithoutTorch:
        return DyadError(
            .failed, subject: subject, found: text, expected: "a build with libtorch",
            remedy: "Build with the trait Torch (the default) and .deps/libtorch or LIBTORCH.")
    case dyadTorchOutOfMemory:
        return DyadError(
            .failed, subject: subject, found: text, expected: "enough memory",
            remedy: "Use fewer or shorter samples, a smaller model, or a device with more memory.")
    default:
        return DyadError(
            .failed, subject: subject, found: text, expected: "arguments that libtorch accepts",
            remedy: "Check the shapes, dtypes and devices of the tensors involved.")
    }
}
