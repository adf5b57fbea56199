#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Writes a file so that its name holds either the whole new content or whatever it held before.
///
/// The bytes go to `<name>.partial-<process>` in the same folder, are flushed to the disk, and the file is renamed.
/// Whatever goes wrong, the partial file is removed; only a killed process leaves one behind.
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
        let target = try resolve(path)
        let partial = "\(target).partial-\(getpid())"
        unlink(partial)
        let descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw cannotWrite(path, errno, expectedBytes) }
        let sink = FileSink(descriptor: descriptor, path: path, expectedBytes: expectedBytes)
        var isClosed = false
        do throws(DyadError) {
            try body(sink)
            try sink.flush()
            guard fsync(descriptor) == 0 else { throw cannotWrite(path, errno, expectedBytes ?? sink.count) }
            isClosed = true
            guard close(descriptor) == 0 else { throw cannotWrite(path, errno, expectedBytes ?? sink.count) }
            guard rename(partial, target) == 0 else { throw cannotWrite(path, errno, expectedBytes ?? sink.count) }
        } catch {
            if !isClosed { close(descriptor) }
            unlink(partial)
            throw error
        }
        flushFolder(of: target)
    }

    /// Writes a whole text; see ``write(_:expectedBytes:_:)``.
    public static func write(_ path: String, text: String) throws(DyadError) {
        try write(path, expectedBytes: text.utf8.count) { (sink) throws(DyadError) in try sink.write(text) }
    }

    /// The name to rename to: renaming over a link would replace the link, and over a device the device.
    private static func resolve(_ path: String) throws(DyadError) -> String {
        var status = stat()
        guard lstat(path, &status) == 0 else { return path }
        var target = path
        if status.st_mode & S_IFMT == S_IFLNK {
            guard let real = realpath(path, nil) else { throw cannotWrite(path, errno, nil) }
            defer { free(real) }
            target = String(cString: real)
            guard stat(target, &status) == 0 else { throw cannotWrite(path, errno, nil) }
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            let isFolder = status.st_mode & S_IFMT == S_IFDIR
            throw DyadError(
                .cannotWrite, file: path, found: isFolder ? "a folder of that name" : "a device or pipe of that name",
                expected: "a regular file or none", remedy: "Name another file.")
        }
        return target
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
            #if canImport(Darwin)
                let written = Darwin.write(descriptor, piece.baseAddress, piece.count)
            #elseif canImport(Glibc)
                let written = Glibc.write(descriptor, piece.baseAddress, piece.count)
            #else
                let written = Musl.write(descriptor, piece.baseAddress, piece.count)
            #endif
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                throw AtomicFile.cannotWrite(path, errno, expectedBytes ?? count + bytes.count)
            }
        }
    }
}
