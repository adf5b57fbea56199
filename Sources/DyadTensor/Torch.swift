import CDyadTorch
import DyadFormats

/// The linked libtorch.
public enum Torch {
    /// Its version, nil when the program was built without it (trait `Torch` off): every tensor operation then throws.
    public static var version: String? { dyad_torch_version().map { String(cString: $0) } }

    /// Whether tensors can be used.
    public static var isAvailable: Bool { version != nil }

    /// Whether this CPU has instructions for bfloat16 matrix products. Where it has not, libtorch emulates them, several
    /// times slower than float32.
    public static var multipliesBFloat16: Bool { dyad_torch_multiplies_bfloat16() }

    /// Seeds the global generators of all devices, which operators without a `Generator` of their own draw from.
    public static func seed(_ seed: UInt64) throws(DyadError) {
        try checked("seed") { dyad_torch_seed(seed, $0) }
    }
}

/// The threads that tensor operations use on the CPU.
public enum Parallelism {
    /// Sets the number of threads. Call it once at the start: other threads take the number when they first
    /// run an operation. Sums may differ in the last bit between numbers of threads.
    public static func setThreads(_ count: Int) throws(DyadError) {
        try checked("threads") { dyad_torch_set_thread_count(Int32(clamping: count), $0) }
    }

    /// The number of threads.
    public static var threads: Int { Int(dyad_torch_thread_count()) }
}
