#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Bytes of a file in memory: a whole small file, or a part of a ``RandomAccessFile``.
///
/// They are a copy: nothing that happens to the file afterwards changes them, and no read can fail any more. Dyad maps no file,
/// because a mapped file that shrinks ends the process, and one that is written to changes under the reader.
public final class FileBytes: @unchecked Sendable {
    // Unchecked: the memory is filled before `init` returns and never written again.

    /// The path as given.
    public let path: String
    /// The contents, aligned to 64 bytes; empty for an empty file. Valid only while this object lives: keep it in a property,
    /// or wrap the use in `withExtendedLifetime`. `FileBytes(path).bytes` dangles at once.
    public let bytes: UnsafeRawBufferPointer

    /// The number of bytes.
    public var count: Int { bytes.count }

    /// The contents as text; nil where they are no UTF-8. Linear.
    public var text: String? { withExtendedLifetime(self) { String(validating: bytes, as: UTF8.self) } }

    /// The largest file that is read whole, in bytes, where a caller names no other limit.
    public static let limit = 4 << 30

    /// Reads a whole file: a regular one, a pipe (`/dev/stdin`, for which `-` also stands, or a FIFO) or a terminal.
    /// Linear.
    ///
    /// - Throws: ``DyadError``: `missing` for what does not exist, may not be read, is a folder or a device, or is a pipe that nobody
    ///   writes to; `unsupported` beyond `limit`, or beyond ``InputStream/limit`` for a pipe; `failed` without memory or when the file changes meanwhile.
    public convenience init(_ path: String, limit: Int = FileBytes.limit) throws(DyadError) {
        let path = path == "-" ? "/dev/stdin" : path
        if FileKind(path) == .other {
            let bytes = try InputStream.read(path, limit: limit)
            try self.init(path: path, copying: bytes)
            return
        }
        let file = try RandomAccessFile(path)
        guard file.count <= limit else {
            throw DyadError(
                .unsupported, file: path, found: "\(file.count) bytes", expected: "at most \(limit)",
                remedy: "Name a smaller file.")
        }
        try self.init(path: path, count: file.count) { (output) throws(DyadError) in try file.read(at: 0, into: output)
        }
    }

    /// A copy of bytes in memory; `path` is what errors call them.
    public convenience init(path: String, copying source: [UInt8]) throws(DyadError) {
        try self.init(path: path, count: source.count) { output in output.copyBytes(from: source) }
    }

    /// Memory that `fill` fills completely.
    init(path: String, count: Int, fill: (UnsafeMutableRawBufferPointer) throws(DyadError) -> Void) throws(DyadError) {
        self.path = path
        guard count > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        let memory = try Self.allocate(count, path)
        bytes = UnsafeRawBufferPointer(memory)
        try fill(memory)
    }

    /// Refuses what cannot fit into memory before anybody tries to allocate it.
    /// - Throws: ``DyadError`` `failed`.
    static func checkMemory(_ count: Int, _ path: String) throws(DyadError) {
        guard count <= physicalMemory else { throw noMemory(count, path) }
    }

    private static func noMemory(_ count: Int, _ path: String) -> DyadError {
        DyadError(
            .failed, file: path, found: "no memory for \(count) bytes",
            expected: "that much of the \(physicalMemory) bytes that this process may use",
            remedy: "Use a machine with more memory, a smaller model, or raise the limit (ulimit -v).")
    }

    private static func allocate(_ count: Int, _ path: String) throws(DyadError) -> UnsafeMutableRawBufferPointer {
        var memory: UnsafeMutableRawPointer?
        try checkMemory(count, path)
        guard posix_memalign(&memory, 64, count) == 0, let memory else { throw noMemory(count, path) }
        return UnsafeMutableRawBufferPointer(start: memory, count: count)
    }

    deinit { free(UnsafeMutableRawPointer(mutating: bytes.baseAddress)) }

    /// The memory of the machine or, where that is less, of the container, in bytes.
    private static let physicalMemory: Int = {
        let machine = Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE)))
        guard let file = fopen("/sys/fs/cgroup/memory.max", "r") else { return machine }
        defer { fclose(file) }
        var limit = 0
        return withUnsafeMutablePointer(to: &limit) { withVaList([$0]) { vfscanf(file, "%ld", $0) } } == 1
            ? min(machine, limit) : machine
    }()
}
