import DyadEvaluation
import DyadExport
import DyadFormats
import Foundation

/// A folder for what is handed to a vendor's library: exported graphs of hundreds of megabytes, and tensors.
///
/// It goes with this object; what a killed process left goes when the next one is made: its name says whose it is, and nobody holds its lock.
final class ScratchFolder {
    /// Its path; it exists. Nobody has its lock: an export into it takes that.
    let path: String
    /// The folder around it, which is locked.
    private let home: String
    private let lock: FolderLock

    /// Makes an empty folder of its own in `parent`.
    ///
    /// - Throws: ``DyadError`` `cannotWrite`.
    init(in parent: String = NSTemporaryDirectory()) throws(DyadError) {
        Self.sweep(parent)
        while true {
            let home = "\(parent)/\(Self.prefix)\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
            try ExportManifest.makeFolder(home)
            // A process of another container may have swept it before the lock was there.
            guard let lock = try? FolderLock(home), lock.isThere else { continue }
            (path, self.home, self.lock) = (home + "/files", home, lock)
            try ExportManifest.makeFolder(path)
            return
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: home) }

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
            guard let lock = try? FolderLock(path) else { continue }
            withExtendedLifetime(lock) { try? FileManager.default.removeItem(atPath: path) }
        }
    }
}
