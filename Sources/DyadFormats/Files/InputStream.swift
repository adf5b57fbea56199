#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Reads what can only be read once: a pipe, a FIFO, a terminal.
enum InputStream {
    /// The most bytes that are taken from a stream, whose end nobody knows beforehand.
    static let limit = 64 << 20
    /// How long a FIFO may be without a writer, in milliseconds.
    private static let patience: Int32 = 1000

    /// Reads to the end.
    /// - Throws: ``DyadError``: `missing` for a device, or a pipe that nobody writes to; `unsupported` beyond the limit.
    static func read(_ path: String, limit: Int) throws(DyadError) -> [UInt8] {
        // Without O_NONBLOCK opening a FIFO waits for its writer, perhaps for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw RandomAccessFile.cannotOpen(path, errno) }
        defer { close(descriptor) }
        var status = stat()
        let kind = fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
        guard kind == S_IFIFO || isatty(descriptor) == 1 else {
            throw RandomAccessFile.cannotUse(
                path, "a device or socket", "a regular file, a pipe or a terminal", "Check the path.")
        }
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let isSilent = kind == S_IFIFO && poll(&request, 1, patience) == 0
        let limit = min(limit, Self.limit)
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let got = piece.withUnsafeMutableBytes { take(descriptor, $0.baseAddress, $0.count) }
            if got > 0 {
                bytes += piece[..<got]
                guard bytes.count <= limit else {
                    throw DyadError(
                        .unsupported, file: path, found: "more than \(limit) bytes from a stream",
                        expected: "at most \(limit)", remedy: "Save them to a file and name that.")
                }
            } else if got == 0 {
                // The end at once, and no event before it: nobody has had the pipe open for writing.
                guard !isSilent || !bytes.isEmpty else {
                    throw RandomAccessFile.cannotUse(
                        path, "a pipe that nobody writes to", "a writer at its other end", "Start the writer first.")
                }
                return bytes
            } else if errno == EAGAIN {
                poll(&request, 1, -1)
            } else if errno != EINTR {
                throw RandomAccessFile.cannotOpen(path, errno)
            }
        }
    }

    private static func take(_ descriptor: Int32, _ output: UnsafeMutableRawPointer?, _ count: Int) -> Int {
        #if canImport(Darwin)
            Darwin.read(descriptor, output, count)
        #elseif canImport(Glibc)
            Glibc.read(descriptor, output, count)
        #else
            Musl.read(descriptor, output, count)
        #endif
    }
}
