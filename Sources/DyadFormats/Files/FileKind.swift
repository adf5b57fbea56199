#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What stands at a path.
public enum FileKind: Sendable {
    /// A regular file, or a link to one.
    case file
    /// A folder, or a link to one.
    case folder
    /// A device, pipe or socket.
    case other
    /// Nothing that can be seen.
    case nothing

    /// Looks at a path, following links.
    public init(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            self = .nothing
            return
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG: self = .file
        case S_IFDIR: self = .folder
        default: self = .other
        }
    }
}
