import DyadFormats

/// One question of a task: texts to score, and which of them is right.
public struct TaskRow: Sendable, Equatable {
    /// A text and what stands before it; the two are joined by one space.
    public struct Candidate: Sendable, Equatable {
        /// What the model is given.
        public var context: String
        /// What is scored.
        public var text: String

        /// Creates a candidate.
        public init(context: String, text: String) {
            (self.context, self.text) = (context, text)
        }
    }

    /// The candidates in the order of the file; a single one where a word is to be guessed.
    public var candidates: [Candidate]
    /// The index of the right candidate.
    public var answer: Int

    /// Creates a row.
    public init(candidates: [Candidate], answer: Int) {
        precondition(candidates.indices.contains(answer), "the answer is one of the candidates")
        (self.candidates, self.answer) = (candidates, answer)
    }

    /// Several continuations of one context.
    init(context: String, choices: [String], answer: Int) {
        self.init(candidates: choices.map { Candidate(context: context, text: $0) }, answer: answer)
    }
}

/// The forms in which the data sets store their rows. Each throws `malformed` naming the field.
extension TaskRow {
    /// Fields `choices` (2 to 26 texts) and `gold` (an index), and the context under a name of its own.
    static func multipleChoice(
        _ row: JSONField, _ context: (JSONField) throws(DyadError) -> String
    ) throws(DyadError) -> TaskRow {
        let list = try row.member("choices"), fields = try list.elements()
        guard (2...26).contains(fields.count) else {
            throw list.failure(.malformed, found: "\(fields.count) choices", expected: "2 to 26")
        }
        var choices: [String] = []
        for field in fields { choices.append(try text(field)) }
        let gold = try row.member("gold").integer(in: 0...choices.count - 1)
        return TaskRow(context: try context(row), choices: choices, answer: gold)
    }

    /// PIQA: `goal`, `sol1`, `sol2`, `label` (0 or 1).
    static func piqa(_ row: JSONField) throws(DyadError) -> TaskRow {
        TaskRow(
            context: "Question: \(try row.member("goal").string())\nAnswer:",
            choices: [try text(row.member("sol1")), try text(row.member("sol2"))],
            answer: try row.member("label").integer(in: 0...1))
    }

    /// WinoGrande: `sentence` with a blank `_`, `option1`, `option2`, `answer` (the string 1 or 2).
    ///
    /// Partial evaluation (Trinh and Le 2018): the options stand in the context, and both candidates are what follows the
    /// blank.
    static func winogrande(_ row: JSONField) throws(DyadError) -> TaskRow {
        let field = try row.member("sentence"), sentence = try field.string()
        let parts = sentence.unicodeScalars.split(separator: "_", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let rest = parts.last.map(trimmed), !rest.isEmpty else {
            throw field.failure(
                .malformed, found: "no blank with words behind it", expected: "a “_” within the sentence")
        }
        var candidates: [Candidate] = []
        for name in ["option1", "option2"] {
            candidates.append(Candidate(context: String(parts[0]) + (try text(row.member(name))), text: rest))
        }
        let answer = try row.member("answer"), number = try answer.string()
        guard ["1", "2"].contains(number) else {
            throw answer.failure(.malformed, found: answer.value.text(), expected: "“1” or “2”")
        }
        return TaskRow(candidates: candidates, answer: number == "1" ? 0 : 1)
    }

    /// LAMBADA: `text`, whose last word, behind its last space, is to be guessed.
    static func lambada(_ row: JSONField) throws(DyadError) -> TaskRow {
        let field = try row.member("text"), text = try field.string().unicodeScalars
        guard let space = text.lastIndex(of: " "), space > text.startIndex, text.index(after: space) < text.endIndex
        else {
            throw field.failure(.malformed, found: "no space with a word behind it", expected: "at least two words")
        }
        let word = String(text[text.index(after: space)...])
        return TaskRow(context: String(text[..<space]), choices: [word], answer: 0)
    }

    /// A text with at least one byte, so that it can be scored and its score divided by its length.
    private static func text(_ field: JSONField) throws(DyadError) -> String {
        let text = try field.string()
        guard !text.isEmpty else { throw field.failure(.malformed, found: "an empty text", expected: "words to score") }
        return text
    }

    private static func trimmed(_ text: Substring.UnicodeScalarView) -> String {
        let end = text.lastIndex { !$0.properties.isWhitespace }.map { text.index(after: $0) } ?? text.startIndex
        return String(Substring(text[..<end].drop(while: \.properties.isWhitespace)))
    }
}
