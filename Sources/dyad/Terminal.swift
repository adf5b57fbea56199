import DyadFormats
import DyadQuantization
import Foundation

/// What goes to people (standard error) and to programs (standard output).
enum Terminal {
    static func error(_ message: String) { note("dyad: " + message) }

    static func note(_ message: String) { say(message + "\n") }

    /// Writes text to standard error as it is. Where nobody reads it, the work goes on.
    static func say(_ text: String) { try? FileHandle.standardError.write(contentsOf: Data(text.utf8)) }

    /// Writes text to standard output at once.
    /// - Throws: ``DyadError`` (cannotWrite) where it goes to a full disk or to a pipe that nobody reads.
    static func print(_ text: String, terminator: String = "\n") throws(DyadError) {
        do {
            try FileHandle.standardOutput.write(contentsOf: Data((text + terminator).utf8))
        } catch {
            throw DyadError(
                .cannotWrite, file: "standard output", found: String(cString: strerror(errno)),
                expected: "a place that takes the output", remedy: "Send it to a file with room, or to a terminal.")
        }
    }
}

/// A line on standard error that is rewritten on a terminal, and printed every ten seconds elsewhere.
final class ProgressLine: ProgressReporter {
    private let isTerminal = isatty(2) == 1
    private var phase = ""
    private var phaseStart = Date()
    private var lastUpdate = Date()
    private var lastPrint = Date.distantPast

    func update(phase: String, completed: Int, total: Int, note: String) {
        let now = Date()
        if phase != self.phase {
            // The first report of a phase comes after its first unit: the phase began where the last one ended.
            (self.phase, phaseStart, lastPrint) = (phase, lastUpdate, .distantPast)
        }
        lastUpdate = now
        let isLast = completed >= total
        guard isLast || now.timeIntervalSince(lastPrint) > (isTerminal ? 0.2 : 10) else { return }
        lastPrint = now
        let elapsed = now.timeIntervalSince(phaseStart)
        var line = "\(phase): \(completed)/\(total)"
        if completed > 0, !isLast {
            line += ", \(duration(elapsed / Double(completed) * Double(total - completed))) left"
        } else if isLast {
            line += ", \(duration(elapsed))"
        }
        if !note.isEmpty { line += ", \(note)" }
        let text = isTerminal ? "\r\u{1B}[K" + line + (isLast ? "\n" : "") : line + "\n"
        Terminal.say(text)
    }

    private func duration(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded())
        return whole < 60 ? "\(whole) s" : "\(whole / 60) min \(whole % 60) s"
    }
}
