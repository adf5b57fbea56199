import DyadFormats

/// A zero-shot task: a file of rows and how they become texts.
///
/// The prompts are those of the Language Model Evaluation Harness (Gao et al., doi:10.5281/zenodo.5371628).
public struct TaskDefinition: Sendable {
    /// How rows are judged.
    public enum Judgement: Sendable, Equatable {
        /// Right where the answer is the likeliest of the candidates.
        case likeliestCandidate
        /// Right where every token of the only candidate is the model's likeliest.
        case greedyMatch
    }

    /// As `--tasks` names it.
    public let name: String
    /// The file within the data folder.
    public let file: String
    /// How rows are judged.
    public let judgement: Judgement
    private let row: @Sendable (JSONField) throws(DyadError) -> TaskRow

    private init(
        _ name: String, _ file: String, _ judgement: Judgement = .likeliestCandidate,
        row: @escaping @Sendable (JSONField) throws(DyadError) -> TaskRow
    ) {
        (self.name, self.file, self.judgement, self.row) = (name, file, judgement, row)
    }

    /// The tasks that Dyad knows.
    public static let all: [TaskDefinition] = [
        arc("arc_challenge"), arc("arc_easy"),
        TaskDefinition("hellaswag", "hellaswag/validation.jsonl", row: query),
        TaskDefinition("lambada_openai", "lambada_openai/test.jsonl", .greedyMatch, row: TaskRow.lambada),
        TaskDefinition("openbookqa", "openbookqa/test.jsonl", row: query),
        TaskDefinition("piqa", "piqa/validation.jsonl", row: TaskRow.piqa),
        TaskDefinition("winogrande", "winogrande/xl_validation.jsonl", row: TaskRow.winogrande),
    ]

    private static func arc(_ name: String) -> TaskDefinition {
        TaskDefinition(name, name + "/test.jsonl") { (row) throws(DyadError) in
            try TaskRow.multipleChoice(row) { (row) throws(DyadError) in
                "Question: \(try row.member("question").string())\nAnswer:"
            }
        }
    }

    /// The stored `query` is the context as it is: HellaSwag's holds the activity and the preprocessed text.
    private static func query(_ row: JSONField) throws(DyadError) -> TaskRow {
        try TaskRow.multipleChoice(row) { (row) throws(DyadError) in try row.member("query").string() }
    }

    /// The tasks of a list such as `piqa,arc_easy`, each once. Throws `.usage` for a name that is none.
    public static func list(_ names: String) throws(DyadError) -> [TaskDefinition] {
        var found: [TaskDefinition] = []
        for part in names.split(separator: ",", omittingEmptySubsequences: false) {
            let name = part.drop { $0 == " " }
            guard let task = all.first(where: { $0.name == name }) else {
                throw DyadError(
                    .usage, subject: "--tasks", found: "the name “\(name)”",
                    expected: "some of " + all.map(\.name).joined(separator: ", "),
                    remedy: "Name tasks of this list, with commas between them.")
            }
            if !found.contains(where: { $0.name == task.name }) { found.append(task) }
        }
        return found
    }

    /// The first `limit` rows (nil: all) of the task's file in `folder`. One pass over the lines that are read.
    ///
    /// Throws `.missing` without the file, `.malformed` naming file, line and field for a row that breaks the form, or
    /// where there is no row at all; `.usage` for a limit below 1.
    public func rows(in folder: String, limit: Int? = nil) throws(DyadError) -> [TaskRow] {
        if let limit, limit < 1 {
            throw DyadError(
                .usage, subject: "--limit", found: "\(limit)", expected: "at least 1 row",
                remedy: "Use a larger --limit.")
        }
        let path = (folder.hasSuffix("/") ? folder : folder + "/") + file
        let rows = try JSONLines.read(try open(path), file: path, limit: limit, row)
        guard !rows.isEmpty else {
            throw DyadError(
                .malformed, file: path, found: "no row", expected: "one JSON object a line",
                remedy: "Download the file again.")
        }
        return rows
    }

    private func open(_ path: String) throws(DyadError) -> FileBytes {
        do {
            return try FileBytes(path)
        } catch {
            throw DyadError(
                error.reason, file: path, found: error.found, expected: "the rows of \(name)",
                remedy: "Give as --data the folder that holds \(file).")
        }
    }
}
