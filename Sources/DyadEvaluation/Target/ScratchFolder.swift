import DyadExport
import DyadFormats
import Foundation

/// A folder for what is handed to a vendor's library: exported graphs of hundreds of megabytes, and tensors.
///
/// It goes with this object; what a killed process left goes when the next one is made: its name says whose it is, and nobody holds its lock.
final class ScratchFolder {
    /// Its path; it exists.
    let path: String
    /// Open on the folder, with the lock.
    private let lock: Int32

    /// Makes an empty folder of its own in `parent`.
    ///
    /// - Throws: ``DyadError`` `cannotWrite`.
    init(in parent: String = NSTemporaryDirectory()) throws(DyadError) {
        Self.sweep(parent)
        path = "\(parent)/\(Self.prefix)\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        try ExportManifest.makeFolder(path)
        lock = Self.locked(path) ?? -1
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
        if lock >= 0 { close(lock) }
    }

    /// A descriptor that holds a folder's lock; nil where another has it.
    private static func locked(_ path: String) -> Int32? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    private static let prefix = "dyad-scratch-"

    /// Removes the folders of processes that are no more. Those of another user, of a process that has the number now, and of one in another
    /// container that shares the place stay.
    private static func sweep(_ parent: String) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? [] {
            let parts = name.dropFirst(prefix.count).split(separator: "-", omittingEmptySubsequences: false)
            guard name.hasPrefix(prefix), parts.count == 2, let process = pid_t(parts[0]), process > 0,
                UInt64(parts[1]) != nil, kill(process, 0) != 0, errno == ESRCH
            else { continue }
            let path = "\(parent)/\(name)"
            guard let lock = locked(path) else { continue }
            try? FileManager.default.removeItem(atPath: path)
            close(lock)
        }
    }
}
