#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A large file that stays open and is read part by part.
///
/// Every part is copied when it is asked for. A file that has shrunk, or that somebody has written to since it was opened, gives an
/// error at the next read, never bytes of two versions; replacing the file by renaming does not touch what is open here.
/// Reading is safe from several threads at once.
public final class RandomAccessFile: Sendable {
    /// The path as given.
    public let path: String
    /// The number of bytes when it was opened.
    public let count: Int
    private let source: Source

    private enum Source: Sendable {
        case descriptor(Int32, modified: Time)
        case memory(FileBytes)
    }

    /// When a file was last written to.
    private struct Time: Equatable {
        let seconds, nanoseconds: Int

        init(_ status: stat) {
            #if canImport(Darwin)
                let time = status.st_mtimespec
            #else
                let time = status.st_mtim
            #endif
            (seconds, nanoseconds) = (Int(time.tv_sec), Int(time.tv_nsec))
        }
    }

    /// Opens a regular file. Constant time.
    /// - Throws: ``DyadError``: `missing` if it does not exist, is not a regular file or may not be read; `failed` where too many files are open.
    public init(_ path: String) throws(DyadError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Self.cannotOpen(path, errno) }
        var status = stat()
        let kind = fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
        guard kind == S_IFREG else {
            close(descriptor)
            throw Self.cannotUse(
                path, kind == S_IFDIR ? "a folder" : kind == S_IFIFO ? "a pipe" : "a device or socket",
                "a regular file", kind == S_IFIFO ? "Save it to a file first." : "Check the path.")
        }
        self.path = path
        count = Int(status.st_size)
        source = .descriptor(descriptor, modified: Time(status))
    }

    /// A file in memory; `path` is what errors call it.
    public init(path: String, bytes: [UInt8]) throws(DyadError) {
        self.path = path
        count = bytes.count
        source = .memory(try FileBytes(path: path, copying: bytes))
    }

    deinit {
        if case .descriptor(let descriptor, _) = source { close(descriptor) }
    }

    /// A copy of some bytes. Linear; allocates them.
    /// - Throws: ``DyadError``: as ``read(at:into:)``; `failed` where there is no memory for them.
    public func bytes(_ range: Range<Int>) throws(DyadError) -> FileBytes {
        try FileBytes(path: path, count: range.count) { (output) throws(DyadError) in
            try read(at: range.lowerBound, into: output)
        }
    }

    /// Copies bytes from `offset` on until `output` is full.
    /// - Throws: ``DyadError`` `failed` when the file shrank or changed since it was opened, or cannot be read.
    public func read(at offset: Int, into output: UnsafeMutableRawBufferPointer) throws(DyadError) {
        precondition(offset >= 0 && offset <= count - output.count, "a range within the file")
        guard case .descriptor(let descriptor, let modified) = source else {
            if case .memory(let whole) = source {
                output.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole.bytes[offset..<offset + output.count]))
            }
            return
        }
        var filled = 0
        while filled < output.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: output[filled...].prefix(1 << 30))
            let got = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + filled))
            if got > 0 {
                filled += got
            } else if got == 0 {
                break  // beyond the end: the status says how far it shrank
            } else if errno != EINTR {
                throw failed(String(cString: strerror(errno)), "\(output.count) bytes at byte \(offset)")
            }
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failed(String(cString: strerror(errno)), "its size") }
        guard status.st_size >= count, filled == output.count else {
            throw failed("a file that shrank to \(status.st_size) bytes while in use", "its \(count) bytes")
        }
        guard status.st_size == count, Time(status) == modified else {
            throw failed("a file that was written to while in use", "the file as it was opened")
        }
    }

    /// Adds all bytes to a digest, piece by piece.
    /// - Throws: as ``read(at:into:)``.
    public func digest(into digest: inout SHA256) throws(DyadError) {
        let piece = 1 << 20
        for start in stride(from: 0, to: count, by: piece) {
            let part = try bytes(start..<min(start + piece, count))
            withExtendedLifetime(part) { digest.update(part.bytes) }
        }
    }

    /// The SHA-256 of all bytes.
    /// - Throws: as ``read(at:into:)``.
    public func hexDigest() throws(DyadError) -> String {
        var digest = SHA256()
        try self.digest(into: &digest)
        return digest.hexDigest()
    }

    private func failed(_ found: String, _ expected: String) -> DyadError {
        DyadError(
            .failed, file: path, found: found, expected: expected,
            remedy: "Start again when nothing writes to the file; replace files by renaming, not in place.")
    }

    static func cannotOpen(_ path: String, _ code: Int32) -> DyadError {
        let found = String(cString: strerror(code))
        if code == EMFILE || code == ENFILE {
            return DyadError(
                .failed, file: path, found: found, expected: "a file that can be opened",
                remedy: "Raise the limit (ulimit -n).")
        }
        return cannotUse(path, found, "a file that can be read", "Check the path and its permissions.")
    }

    static func cannotUse(_ path: String, _ found: String, _ expected: String, _ remedy: String) -> DyadError {
        DyadError(.missing, file: path, found: found, expected: expected, remedy: remedy)
    }
}
