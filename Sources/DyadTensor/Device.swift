import CDyadTorch
import DyadFormats

/// Where a tensor lives and its operations run.
public enum Device: Hashable, Sendable {
    case cpu
    /// The NVIDIA (or, in a ROCm build of libtorch, AMD) GPU of that index.
    case cuda(Int)
    /// Apple's GPU.
    case mps

    /// Whether this machine and the linked libtorch have the device.
    public var isAvailable: Bool {
        index >= 0 && index < Int(dyad_torch_device_count(type))
    }

    /// The number of CUDA devices.
    public static var cudaDeviceCount: Int { Int(dyad_torch_device_count(Int32(dyadTorchCUDA))) }

    /// The device that `text` names: `cpu`, `cuda`, `cuda:1`, `mps`.
    ///
    /// Throws `.usage` for another text and for a device that is not there.
    public init(parsing text: String) throws(DyadError) {
        let parts = text.lowercased().split(separator: ":", omittingEmptySubsequences: false)
        let index = parts.count == 2 ? Int(parts[1]) : 0
        let parsed: Device? =
            switch (parts.first, parts.count, index) {
            case ("cpu", 1, _): .cpu
            case ("mps", 1, _): .mps
            case ("cuda", 1...2, .some(let index)) where index >= 0: .cuda(index)
            default: nil
            }
        guard let parsed else {
            throw DyadError(
                .usage, subject: "device", found: "'\(text)'", expected: "cpu, cuda, cuda:INDEX or mps",
                remedy: "Name one of these devices.")
        }
        guard parsed.isAvailable else {
            throw DyadError(
                .usage, subject: "device", found: "\(parsed), which is not available",
                expected: "a device of this machine",
                remedy: "Use cpu, or a libtorch built for the device (set LIBTORCH when building).")
        }
        self = parsed
    }

    var type: Int32 {
        switch self {
        case .cpu: Int32(dyadTorchCPU)
        case .cuda: Int32(dyadTorchCUDA)
        case .mps: Int32(dyadTorchMPS)
        }
    }

    var index: Int {
        if case .cuda(let index) = self { index } else { 0 }
    }

    init(type: Int32, index: Int32) {
        switch type {
        case Int32(dyadTorchCUDA): self = .cuda(Int(index))
        case Int32(dyadTorchMPS): self = .mps
        default: self = .cpu
        }
    }
}

extension Device: CustomStringConvertible {
    /// The name that `init(parsing:)` reads.
    public var description: String {
        switch self {
        case .cpu: "cpu"
        case .cuda(let index): "cuda:\(index)"
        case .mps: "mps"
        }
    }
}
