/// What went wrong, in the parts that every message of Dyad carries: where, what was found, what was
/// expected, and what to do about it.
///
/// Every target throws this one type for anything that outside input can cause, so that the command line
/// can turn it into an exit code and an app can show it.
public struct DyadError: Error, Equatable, Sendable {
    /// The class of a failure; decides the exit code of the command line.
    public enum Reason: String, Sendable, CaseIterable {
        /// A file or folder that was named does not exist or cannot be opened. Exit code 66.
        case missing
        /// The input breaks its own format: truncated, inconsistent, out of bounds. Exit code 65.
        case malformed
        /// The input is valid, but Dyad does not handle it. Exit code 65.
        case unsupported
        /// A value or shape does not fit what it is used with. Exit code 65.
        case mismatch
        /// An output could not be written (no space, no permission). Exit code 73.
        case cannotWrite
        /// An argument or setting is wrong. Exit code 64.
        case usage
        /// The work itself failed (no context left, out of memory, built without libtorch, interrupted). Exit code 1.
        case failed
    }

    /// The class of the failure.
    public var reason: Reason
    /// The file (or folder, or option) concerned, if any.
    public var file: String?
    /// The tensor, layer, operation or field concerned, if any.
    public var subject: String?
    /// What was found.
    public var found: String
    /// What was expected.
    public var expected: String
    /// What the user can do.
    public var remedy: String

    /// Creates an error from its parts.
    public init(
        _ reason: Reason, file: String? = nil, subject: String? = nil, found: String, expected: String,
        remedy: String
    ) {
        self.reason = reason
        self.file = file
        self.subject = subject.map(Self.clipped)
        self.found = Self.clipped(found)
        self.expected = Self.clipped(expected)
        self.remedy = remedy
    }

    /// Names and values come from files, where they may have megabytes.
    private static func clipped(_ text: String) -> String {
        text.utf8.count <= 4000 ? text : String(text.unicodeScalars.prefix(200)) + " … (\(text.utf8.count) bytes)"
    }
}

extension DyadError: CustomStringConvertible {
    /// `file: subject: found …; expected …. remedy`
    public var description: String {
        let place = [file, subject].compactMap { $0 }.joined(separator: ": ")
        return Self.printable((place.isEmpty ? "" : place + ": ") + "found \(found); expected \(expected). \(remedy)")
    }

    /// Control characters written out: a name from a file must not steer the terminal.
    private static func printable(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control && $0 != "\n" }) else {
            return text
        }
        return text.unicodeScalars.reduce(into: "") { printed, scalar in
            let isControl = scalar.properties.generalCategory == .control && scalar != "\n"
            printed += isControl ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
        }
    }

    /// The exit code of the command line (sysexits.h).
    public var exitCode: Int32 {
        switch reason {
        case .missing: 66
        case .malformed, .unsupported, .mismatch: 65
        case .cannotWrite: 73
        case .usage: 64
        case .failed: 1
        }
    }
}
