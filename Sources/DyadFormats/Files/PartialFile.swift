#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The file that a writer fills before it gets its final name: `<name>.partial-<16 hexadecimal digits>`, the digits drawn at random.
///
/// Its writer holds a lock on it. A partial file whose lock is free is what a killed writer left, in whatever container: numbers of
/// processes say nothing where two containers share a folder. Where the file system knows no locks, leftovers stay.
struct PartialFile: Sendable {
    let path: String
    let descriptor: Int32
    private static let mark = ".partial-"

    /// Creates the file with `mode`, less the umask, after what killed writers of the same name left has been removed.
    /// - Throws: ``DyadError`` `cannotWrite`, naming the final file.
    init(of target: String, named path: String, mode: mode_t, expectedBytes: Int?) throws(DyadError) {
        let (folder, name) = Self.split(target)
        let beginning = Self.beginning(name)
        Self.sweep(folder, beginning)
        while true {
            let digits = String(UInt64.random(in: 0...UInt64.max), radix: 16)
            let made = folder + beginning + String(repeating: "0", count: 16 - digits.count) + digits
            let descriptor = open(made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
            if descriptor >= 0, Self.isOurs(descriptor) {
                (self.path, self.descriptor) = (made, descriptor)
                return
            }
            let code = errno
            guard descriptor >= 0 || code == EEXIST else { throw AtomicFile.cannotWrite(path, code, expectedBytes) }
            // A sweeper came between creation and lock and has removed it.
            if descriptor >= 0 { Self.close(descriptor) }
        }
    }

    /// Whether somebody else writes to the same name now.
    func hasRivals(of target: String) -> Bool {
        let (folder, name) = Self.split(target)
        return Self.sweep(folder, Self.beginning(name), besides: path)
    }

    func remove() {
        unlink(path)
        close()
    }

    func close() { Self.close(descriptor) }

    /// Takes the lock; false if a sweeper holds it or has removed the file.
    private static func isOurs(_ descriptor: Int32) -> Bool {
        var status = stat()
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else { return false }
        return fstat(descriptor, &status) != 0 || status.st_nlink > 0
    }

    /// Removes the partial files whose writers are gone.
    /// - Returns: whether there are others, besides one's own.
    @discardableResult
    private static func sweep(_ folder: String, _ beginning: String, besides own: String? = nil) -> Bool {
        guard let listing = opendir(folder.isEmpty ? "." : folder) else { return false }
        defer { closedir(listing) }
        var othersWrite = false
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name.hasPrefix(beginning), isDigits(name.dropFirst(beginning.count)), folder + name != own
            else { continue }
            let leftover = open(folder + name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
            guard leftover >= 0 else { continue }
            if flock(leftover, LOCK_EX | LOCK_NB) == 0 {
                unlink(folder + name)
            } else if errno == EWOULDBLOCK {
                othersWrite = true
            }
            close(leftover)
        }
        return othersWrite
    }

    private static func isDigits(_ text: Substring) -> Bool {
        text.utf8.count == 16 && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    /// The folder with its slash, or nothing, and the name in it.
    private static func split(_ path: String) -> (folder: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return ("", path) }
        return (String(path[...slash]), String(path[path.index(after: slash)...]))
    }

    /// What partial files of a name begin with; cut where the whole would be longer than a name may be (255 bytes).
    private static func beginning(_ name: String) -> String {
        var name = Substring(name)
        while name.utf8.count > 255 - mark.utf8.count - 16 { name.removeLast() }
        return name + mark
    }

    private static func close(_ descriptor: Int32) {
        #if canImport(Darwin)
            _ = Darwin.close(descriptor)
        #elseif canImport(Glibc)
            _ = Glibc.close(descriptor)
        #else
            _ = Musl.close(descriptor)
        #endif
    }
}
