import DyadFormats
import Foundation
import Testing

/// `Fixtures` beside this file.
let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures").path

/// Runs a test with a folder of its own that is removed afterwards.
func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("dyad-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder.path)
}

/// Writes bytes to a file.
func save(_ bytes: [UInt8], _ path: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
}

/// The bytes of a file.
func load(_ path: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: path)))
}

/// The memory of this process that is in use, in bytes; 0 where the system does not say.
func residentBytes() -> Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
}

/// A case of a hostile folder's manifest.
struct HostileCase: Sendable, CustomTestStringConvertible {
    let name: String
    let reason: String
    let file: String
    let subject: String

    var testDescription: String { name }

    static func all(in folder: String) throws -> [HostileCase] {
        let path = folder + "/manifest.json"
        return try JSONField(try JSONValue.read(path), file: path).members().map { name, field in
            HostileCase(
                name: name, reason: try field.member("reason").string(), file: try field.member("file").string(),
                subject: try field.member("subject").string())
        }
    }

    /// Expects that `body` throws what the manifest says, within ten seconds.
    func check(_ body: () throws -> Void) {
        let start = ContinuousClock.now
        let error = #expect(throws: DyadError.self, "\(name)") { try body() }
        #expect(ContinuousClock.now - start < .seconds(10), "\(name)")
        guard let error else { return }
        #expect(error.reason.rawValue == reason, "\(name): \(error)")
        #expect(file.isEmpty || error.file?.hasSuffix(file) == true, "\(name): \(error)")
        #expect(subject.isEmpty || error.subject?.contains(subject) == true, "\(name): \(error)")
    }
}
