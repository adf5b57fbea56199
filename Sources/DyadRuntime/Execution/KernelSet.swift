import CDyadKernels
import DyadFormats

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// One set of integer kernels, for one instruction set. All sets compute the same bits.
public struct KernelSet: Sendable, Equatable {
    // Points to a constant of the C target: never freed, never changed.
    nonisolated(unsafe) let table: UnsafePointer<dyad_kernels>

    /// `generic`, `avx2` or `avx512vnni`.
    public var name: String { String(cString: table.pointee.name) }

    /// The sets that exist, best first; a machine runs some of them.
    public static let names = ["avx512vnni", "avx2", "generic"]

    /// The sets that this machine can run, best first.
    public static var available: [KernelSet] { names.compactMap { try? KernelSet(named: $0) } }

    /// The set of that name.
    ///
    /// - Throws: ``DyadError`` (usage) where the name is unknown or this CPU lacks the instructions.
    public init(named name: String) throws(DyadError) {
        guard let table = dyad_kernels_named(name) else {
            throw DyadError(
                .usage, subject: "kernels", found: "'\(name)'",
                expected: "one that this CPU can run, of: \(Self.names.joined(separator: ", "))",
                remedy: "Leave DYAD_KERNELS unset to use the fastest.")
        }
        self.table = table
    }

    /// The set that the environment variable `DYAD_KERNELS` names, else the fastest that this machine can run.
    ///
    /// - Throws: ``DyadError`` (usage) where the variable names a set that cannot run here.
    public static func preferred() throws(DyadError) -> KernelSet {
        guard let value = getenv("DYAD_KERNELS"), value.pointee != 0 else {
            return KernelSet(table: dyad_kernels_best())
        }
        return try KernelSet(named: String(cString: value))
    }

    init(table: UnsafePointer<dyad_kernels>) { self.table = table }
}
