#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A file mapped into memory for reading. Pages are read when they are touched, and unmapped when the last
/// reference goes.
///
/// The bytes are only as constant as the file: Dyad replaces files by renaming and never writes into one in place.
public final class MappedFile: @unchecked Sendable {
    // Unchecked: the pointer is to read-only memory and both properties are constants.

    /// The path as given.
    public let path: String
    /// The contents; empty for an empty file. Valid only while this object lives: keep it in a property, or wrap the
    /// use in `withExtendedLifetime`. `MappedFile(path).bytes` dangles at once.
    public let bytes: UnsafeRawBufferPointer

    /// The number of bytes.
    public var count: Int { bytes.count }

    /// Maps a file. Constant time.
    /// - Throws: ``DyadError``: `missing` if it does not exist, is not a regular file or may not be read.
    public init(_ path: String) throws(DyadError) {
        self.path = path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw Self.missing(path, String(cString: strerror(errno)), "a file that can be read")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw Self.missing(path, String(cString: strerror(errno)), "a file that can be read")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            let isFolder = status.st_mode & S_IFMT == S_IFDIR
            throw Self.missing(path, isFolder ? "a folder" : "no regular file", "a regular file")
        }
        guard let count = Int(exactly: status.st_size), count > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let start = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
            throw DyadError(
                .failed, file: path, found: String(cString: strerror(errno)),
                expected: "\(count) bytes of address space to map the file", remedy: "Raise the limit (ulimit -v).")
        }
        bytes = UnsafeRawBufferPointer(start: start, count: count)
    }

    /// Lets go of the memory behind some of ``bytes``, all by default, which are read again from the file when they are next touched.
    /// Other memory is left alone.
    public func releasePages(of part: UnsafeRawBufferPointer? = nil) {
        let part = part ?? bytes
        guard let start = part.baseAddress, let whole = bytes.baseAddress,
            start >= whole, start + part.count <= whole + bytes.count
        else { return }
        // Whole pages only: the ends may be shared with what somebody still reads.
        let size = UInt(sysconf(Int32(_SC_PAGESIZE)))
        let first = (UInt(bitPattern: start) + size - 1) / size * size
        let end = (UInt(bitPattern: start) + UInt(part.count)) / size * size
        guard first < end, let page = UnsafeMutableRawPointer(bitPattern: first) else { return }
        madvise(page, Int(end - first), Int32(MADV_DONTNEED))
    }

    private static func missing(_ path: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(.missing, file: path, found: found, expected: expected, remedy: "Check the path and its permissions.")
    }

    deinit {
        if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
    }
}
