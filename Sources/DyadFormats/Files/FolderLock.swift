#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Keeps a folder whose files belong together for one writer: two at a time would leave files of both.
///
/// The lock is on the folder itself and leaves no file; it ends with this object, or with the process, however it ends. It holds
/// between threads, processes and containers. A file system without locks lets every writer in.
public final class FolderLock: Sendable {
    private let descriptor: Int32

    /// Takes the lock of a folder that exists.
    /// - Throws: ``DyadError`` `cannotWrite` while another writer has it, and for what cannot be opened.
    public init(_ path: String) throws(DyadError) {
        descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw AtomicFile.cannotWrite(path, errno, nil) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
            throw DyadError(
                .cannotWrite, file: path, found: "a folder that another run of Dyad is writing to",
                expected: "a folder for this one alone", remedy: "Wait for the other, or name another folder.")
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Whether the folder is still there under some name: somebody may have removed it before it was locked.
    public var isThere: Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_nlink > 0
    }
}
