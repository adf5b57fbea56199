import DyadFormats
import Foundation

/// A folder for what is handed to a vendor's library: exported graphs of hundreds of megabytes, and tensors.
///
/// It goes with this object; what a killed process left goes when the next one is made, since its name says whose it is.
final class ScratchFolder {
    /// Its path; it exists.
    let path: String

    /// Makes an empty folder of its own in `parent`.
    ///
    /// - Throws: ``DyadError`` `cannotWrite`.
    init(in parent: String = NSTemporaryDirectory()) throws(DyadError) {
        Self.sweep(parent)
        path = "\(parent)/\(Self.prefix)\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw DyadError(
                .cannotWrite, file: path, found: error.localizedDescription, expected: "a folder for exported graphs",
                remedy: "Make room there, or name another place in TMPDIR.")
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    private static let prefix = "dyad-scratch-"

    /// Removes the folders of processes that are no more. Those of another user, or of a process that has the number now, stay.
    private static func sweep(_ parent: String) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? [] {
            let parts = name.dropFirst(prefix.count).split(separator: "-", omittingEmptySubsequences: false)
            guard name.hasPrefix(prefix), parts.count == 2, let process = pid_t(parts[0]), process > 0,
                UInt64(parts[1]) != nil, kill(process, 0) != 0, errno == ESRCH
            else { continue }
            try? FileManager.default.removeItem(atPath: "\(parent)/\(name)")
        }
    }
}
