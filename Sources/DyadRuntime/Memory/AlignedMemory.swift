import DyadFormats

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Zeroed memory that starts on a cache line and has the padding behind it that kernels may read.
///
/// Owned by one object, freed with it; pages that nobody touches cost nothing. The bytes are shared between threads only
/// inside one parallel section, where every task writes a range of its own.
final class AlignedMemory: @unchecked Sendable {
    /// Bytes that kernels may read past the end (`DYAD_READ_PADDING`).
    static let padding = 64

    let pointer: UnsafeMutableRawPointer
    let byteCount: Int
    private let allocation: UnsafeMutableRawPointer

    /// Allocates `byteCount` zeroed bytes.
    ///
    /// - Throws: ``DyadError`` (failed) where the system has not so much memory.
    init(byteCount: Int, subject: String) throws(DyadError) {
        let (total, overflow) = byteCount.addingReportingOverflow(64 + Self.padding)
        guard !overflow, byteCount >= 0, let allocation = calloc(1, total) else {
            throw DyadError(
                .failed, subject: subject, found: "no room for \(byteCount) bytes", expected: "so much free memory",
                remedy: "Use a smaller context, or a machine with more memory.")
        }
        self.allocation = allocation
        self.byteCount = byteCount
        pointer = allocation.alignedUp(toMultipleOf: 64)
    }

    /// Copies an array's elements into memory of its own.
    convenience init<Element: BitwiseCopyable>(_ elements: [Element], subject: String) throws(DyadError) {
        try self.init(byteCount: elements.count * MemoryLayout<Element>.stride, subject: subject)
        elements.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            pointer.copyMemory(from: base, byteCount: source.count)
        }
    }

    deinit { free(allocation) }

    /// The memory as elements of one type, from the start.
    func elements<Element>(_ type: Element.Type) -> UnsafeMutablePointer<Element> {
        pointer.assumingMemoryBound(to: type)
    }
}
