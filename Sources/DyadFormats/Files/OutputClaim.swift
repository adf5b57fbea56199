#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The name of an output, taken for one process from before hours of work until the file is written.
///
/// It is an empty ``PartialFile`` whose lock is held, so it ends with the process, however that ends; what stays in the folder goes with
/// the next write of the name. A file system without locks lets every writer in. The claim keeps nobody from
/// ``AtomicFile/write(_:expectedBytes:_:)``, its holder above all.
public final class OutputClaim: Sendable {
    private let partial: PartialFile
    private static let attempts = 10

    /// Finds out that a file can be written and that nobody else is about to. Whatever is there is left alone.
    /// - Throws: ``DyadError`` with reason `cannotWrite`.
    public init(_ path: String) throws(DyadError) {
        let (target, _) = try OutputTarget.resolve(path)
        // Of two that come at the same moment each may see the other: both step back for a time of their own. Who looked around after
        // it had its lock and saw nobody has the claim, since whoever comes later sees it.
        for _ in 0..<Self.attempts {
            let own = try PartialFile(of: target, named: path, mode: 0o600, expectedBytes: nil)
            if !own.hasRivals(of: target) {
                partial = own
                return
            }
            own.remove()
            usleep(.random(in: 1000...20000))
        }
        throw DyadError(
            .cannotWrite, file: path, found: "another process that is writing this file",
            expected: "an output for this one alone", remedy: "Wait for the other, or name another file.")
    }

    deinit { partial.remove() }
}
