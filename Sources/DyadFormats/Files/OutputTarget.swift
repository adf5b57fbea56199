#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The file that an output's name stands for.
enum OutputTarget {
    /// The name to rename to, and the status of the file that is there: renaming over a link would replace the link, and over a device
    /// the device.
    /// - Throws: ``DyadError`` `cannotWrite` for a folder, a device, a file that may not be written, and a circle of links.
    static func resolve(_ path: String) throws(DyadError) -> (name: String, old: stat?) {
        var target = path
        var status = stat()
        for _ in 0..<40 {
            guard lstat(target, &status) == 0 else {
                guard errno == ENOENT else { throw AtomicFile.cannotWrite(path, errno, nil) }
                return (target, nil)
            }
            guard status.st_mode & S_IFMT == S_IFLNK else { return (target, try check(status, target, path)) }
            target = try follow(target, path)
        }
        throw AtomicFile.cannotWrite(path, ELOOP, nil)
    }

    /// One step along a link, whose end need not exist.
    private static func follow(_ link: String, _ path: String) throws(DyadError) -> String {
        var name = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink(link, &name, name.count)
        guard length > 0, length < name.count else {
            throw AtomicFile.cannotWrite(path, length < 0 ? errno : ENAMETOOLONG, nil)
        }
        let next = String(decoding: name[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard !next.hasPrefix("/"), let slash = link.lastIndex(of: "/") else { return next }
        return link[...slash] + next
    }

    private static func check(_ status: stat, _ target: String, _ path: String) throws(DyadError) -> stat {
        guard status.st_mode & S_IFMT == S_IFREG else {
            let isFolder = status.st_mode & S_IFMT == S_IFDIR
            throw DyadError(
                .cannotWrite, file: path, found: isFolder ? "a folder of that name" : "a device or pipe of that name",
                expected: "a regular file or none", remedy: "Name another file.")
        }
        // Renaming asks only for the folder's permission; who protects a file means the file.
        guard access(target, W_OK) == 0 else {
            throw DyadError(
                .cannotWrite, file: path, found: "a file that may not be written", expected: "one that may, or none",
                remedy: "Name another file, or change its mode.")
        }
        return status
    }
}
