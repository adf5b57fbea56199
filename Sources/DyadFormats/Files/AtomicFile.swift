#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Writes a file so that its name holds either the whole new content or whatever it held before.
///
/// The bytes go to a ``PartialFile`` of this writer alone in the same folder, are flushed to the disk, and the file is renamed. Of two
/// writers at a time, in whatever threads, processes or containers, both write a whole file, and the last to finish gives its name; who
/// works for long before writing takes an ``OutputClaim``, so that the second is told before the work.
/// The mode and, where that is allowed, the owner of a file that is replaced are kept; a new one has the mode that the umask leaves of 0666.
/// Whatever goes wrong, the partial file is removed; what a killed process left goes with the next write of the same name.
public enum AtomicFile {
    /// Writes a file through a sink.
    /// - Parameters:
    ///   - path: the final name. A symbolic link is followed.
    ///   - expectedBytes: how many bytes are going to be written, if known; an error then says so.
    ///   - body: writes to the sink; what it throws is thrown on.
    /// - Throws: ``DyadError`` with reason `cannotWrite`, or what `body` throws.
    public static func write(
        _ path: String, expectedBytes: Int? = nil, _ body: (FileSink) throws(DyadError) -> Void
    ) throws(DyadError) {
        let (target, old) = try OutputTarget.resolve(path)
        // Nobody may read meanwhile what they may not read afterwards.
        let partial = try PartialFile(
            of: target, named: path, mode: old == nil ? 0o666 : 0o600, expectedBytes: expectedBytes)
        let sink = FileSink(descriptor: partial.descriptor, path: path, expectedBytes: expectedBytes)
        do throws(DyadError) {
            try body(sink)
            try sink.flush()
            func check(_ status: Int32) throws(DyadError) {
                guard status == 0 else { throw cannotWrite(path, errno, expectedBytes ?? sink.count) }
            }
            if let old {
                // The owner first: changing it may take away bits of the mode. Only root may; others keep what they have.
                if fchown(partial.descriptor, old.st_uid, old.st_gid) != 0 {
                    _ = fchown(partial.descriptor, uid_t.max, old.st_gid)
                }
                try check(fchmod(partial.descriptor, old.st_mode & 0o7777))
            }
            try check(fsync(partial.descriptor))
            try check(rename(partial.path, target))
        } catch {
            partial.remove()
            throw error
        }
        partial.close()
        flushFolder(of: target)
    }

    /// Writes a whole text; see ``write(_:expectedBytes:_:)``.
    public static func write(_ path: String, text: String) throws(DyadError) {
        try write(path, expectedBytes: text.utf8.count) { (sink) throws(DyadError) in try sink.write(text) }
    }

    /// Makes the new name itself durable. The content is safe already, so a failure here is none.
    private static func flushFolder(of path: String) {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    static func cannotWrite(_ path: String, _ code: Int32, _ bytes: Int?) -> DyadError {
        let remedy =
            switch code {
            case ENOSPC, EDQUOT, EFBIG: "Free some space or write to another disk."
            case EACCES, EPERM, EROFS: "Write to a folder you may write to."
            case ENOENT, ENOTDIR: "Create the folder first."
            case ENAMETOOLONG: "Choose a shorter name."
            default: "Write somewhere else."
            }
        return DyadError(
            .cannotWrite, file: path, found: String(cString: strerror(code)),
            expected: bytes.map { "to write \($0) bytes" } ?? "a file that can be written", remedy: remedy)
    }
}

/// Where the bytes of an ``AtomicFile`` go: a buffered, append-only stream.
public final class FileSink {
    private let descriptor: Int32
    private let path: String
    private let expectedBytes: Int?
    private var buffer: [UInt8] = []
    private static let bufferSize = 1 << 20

    /// The number of bytes written so far.
    public private(set) var count = 0

    init(descriptor: Int32, path: String, expectedBytes: Int?) {
        self.descriptor = descriptor
        self.path = path
        self.expectedBytes = expectedBytes
    }

    /// Appends bytes. Throws `cannotWrite`.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(DyadError) {
        if buffer.count + bytes.count > Self.bufferSize { try flush() }
        if bytes.count >= Self.bufferSize {
            try writeOut(bytes)
        } else {
            buffer.append(contentsOf: bytes)
        }
        count += bytes.count
    }

    /// Appends the memory of numbers, which is little-endian on every machine Dyad supports. Throws `cannotWrite`.
    public func write<Element: BitwiseCopyable>(_ elements: [Element]) throws(DyadError) {
        try elements.withUnsafeBufferPointer { (elements) throws(DyadError) in
            try write(UnsafeRawBufferPointer(elements))
        }
    }

    /// Appends text as UTF-8. Throws `cannotWrite`.
    public func write(_ text: String) throws(DyadError) { try write(Array(text.utf8)) }

    /// Appends a number of zeros. Throws `cannotWrite`.
    public func writeZeros(_ count: Int) throws(DyadError) { try write([UInt8](repeating: 0, count: count)) }

    func flush() throws(DyadError) {
        try buffer.withUnsafeBufferPointer { (bytes) throws(DyadError) in
            try writeOut(UnsafeRawBufferPointer(bytes))
        }
        buffer.removeAll(keepingCapacity: true)
    }

    private func writeOut(_ bytes: UnsafeRawBufferPointer) throws(DyadError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
            let (written, code) = Self.write(descriptor, piece)
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if code != EINTR {
                throw AtomicFile.cannotWrite(path, code, expectedBytes ?? count + bytes.count)
            }
        }
    }

    /// Writes what fits; the number of bytes, and errno where it is not positive.
    ///
    /// Beyond the limit for files (ulimit -f) the system sends a signal that ends the process. It goes to the thread that writes, which
    /// holds it back and takes it, so that the error is an error.
    private static func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> (count: Int, code: Int32) {
        var (signals, before, pending) = (sigset_t(), sigset_t(), sigset_t())
        sigemptyset(&signals)
        sigaddset(&signals, SIGXFSZ)
        pthread_sigmask(SIG_BLOCK, &signals, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        #if canImport(Darwin)
            let written = Darwin.write(descriptor, bytes.baseAddress, bytes.count)
        #elseif canImport(Glibc)
            let written = Glibc.write(descriptor, bytes.baseAddress, bytes.count)
        #else
            let written = Musl.write(descriptor, bytes.baseAddress, bytes.count)
        #endif
        let code = errno
        if written < 0, code == EFBIG, sigismember(&before, SIGXFSZ) == 0, sigpending(&pending) == 0,
            sigismember(&pending, SIGXFSZ) == 1
        {
            var taken: Int32 = 0
            sigwait(&signals, &taken)
        }
        return (written, code)
    }
}
