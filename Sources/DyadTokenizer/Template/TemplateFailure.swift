import DyadFormats

/// The errors of chat templates.
enum TemplateFailure {
    /// An error in the template's text.
    static func syntax(_ line: Int, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .malformed, subject: place(line), found: found, expected: expected, remedy: "Correct the chat template.")
    }

    /// Something Jinja has and Dyad has not.
    static func unsupported(_ line: Int, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .unsupported, subject: place(line), found: found, expected: expected,
            remedy: "Simplify the chat template, or render the chat outside Dyad.")
    }

    /// A value that an operation cannot work with.
    static func value(_ line: Int, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .mismatch, subject: place(line), found: found, expected: expected,
            remedy: "Check the messages and variables against what the template reads.")
    }

    private static func place(_ line: Int) -> String { "chat template, line \(line)" }
}
