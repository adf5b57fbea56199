import DyadFormats
import Foundation
import Testing

/// A process that runs a program, its two streams going to files so that no pipe can fill.
final class Command {
    /// How it ended.
    struct Outcome {
        /// The exit code, or minus the number of the signal that ended it.
        let status: Int32
        let output: String
        let errors: String
        let seconds: Double

        /// The one JSON document on standard output.
        func json() throws -> JSONValue { try JSONValue.parse(output, file: "standard output") }
    }

    /// `swift test` ignores SIGTERM, and processes inherit what is ignored.
    private static let defaultSignals: Void = {
        signal(SIGTERM, SIG_DFL)
        signal(SIGPIPE, SIG_DFL)
    }()

    private let process = Process()
    private let folder: String
    private let start = Date()

    /// Starts `dyad` with arguments.
    convenience init(_ arguments: [String], in directory: String? = nil, input: String = "") throws {
        try self.init(executable: Place.dyad, arguments, in: directory, input: input)
    }

    /// Starts any program.
    init(executable: String, _ arguments: [String], in directory: String? = nil, input: String = "") throws {
        _ = Self.defaultSignals
        folder = try Place.folder("streams")
        for name in ["output", "errors"] { try write("", to: folder + "/" + name) }
        try write(input, to: folder + "/input")
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: directory ?? folder)
        // One thread: the models are tiny. The width of help texts must not depend on the terminal.
        process.environment = ProcessInfo.processInfo.environment.merging(
            ["OMP_NUM_THREADS": "1", "COLUMNS": "80"], uniquingKeysWith: { $1 })
        process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: folder + "/input"))
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: folder + "/output"))
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: folder + "/errors"))
        try process.run()
    }

    var isRunning: Bool { process.isRunning }

    /// What it has written to standard error so far.
    var errors: String { (try? String(contentsOfFile: folder + "/errors", encoding: .utf8)) ?? "" }

    func send(_ signal: Int32) { if process.isRunning { kill(process.processIdentifier, signal) } }

    /// Waits until a condition holds or the process has ended; true for the former.
    func wait(microseconds: UInt32 = 500, until condition: () throws -> Bool) rethrows -> Bool {
        while process.isRunning {
            if try condition() { return true }
            usleep(microseconds)
        }
        return false
    }

    /// Waits for the end, at most a minute.
    func outcome() throws -> Outcome {
        while process.isRunning {
            if Date().timeIntervalSince(start) > 60 {
                kill(process.processIdentifier, SIGKILL)
                Issue.record("did not end within a minute: \(process.arguments ?? [])")
                break
            }
            usleep(1000)
        }
        process.waitUntilExit()
        let seconds = Date().timeIntervalSince(start)
        let output = try String(contentsOfFile: folder + "/output", encoding: .utf8)
        let status = process.terminationStatus
        return Outcome(
            status: process.terminationReason == .exit ? status : -status, output: output, errors: errors,
            seconds: seconds)
    }
}

/// Runs `dyad` to its end.
func dyad(_ arguments: String..., in directory: String? = nil, input: String = "") throws -> Command.Outcome {
    try Command(arguments, in: directory, input: input).outcome()
}

/// Checks that a run failed as users and scripts expect: this exit code, nothing on standard output, and a message that
/// names what it is about, what was found, what was expected and what to do.
func expectFailure(
    _ outcome: Command.Outcome, _ code: Int32, naming names: String...,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(outcome.status == code, "\(outcome.errors)", sourceLocation: sourceLocation)
    #expect(outcome.output.isEmpty, sourceLocation: sourceLocation)
    for part in names + ["dyad: ", "found ", "; expected "] {
        #expect(outcome.errors.contains(part), "“\(part)” in: \(outcome.errors)", sourceLocation: sourceLocation)
    }
    let remedy = outcome.errors.split(separator: "; expected ").last?.split(separator: ". ").dropFirst().first
    #expect(remedy?.isEmpty == false, "no remedy: \(outcome.errors)", sourceLocation: sourceLocation)
}
