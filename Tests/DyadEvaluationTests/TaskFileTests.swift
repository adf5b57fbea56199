import DyadEvaluation
import DyadJobs
import DyadTargets
import DyadFormats
import Foundation
import Testing

/// How rows of the data sets become texts, and what is said of rows that are none.
@Suite("Task files")
struct TaskFileTests {
    /// Writes `content` as the file of a task and reads it.
    private func read(_ name: String, _ content: Data, limit: Int? = nil) throws -> [TaskRow] {
        try withFolder { folder in
            let task = try #require(try TaskDefinition.list(name).first)
            let file = folder.appending(path: task.file)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try content.write(to: file)
            return try task.rows(in: folder.plainPath, limit: limit)
        }
    }

    private func read(_ name: String, _ content: String, limit: Int? = nil) throws -> [TaskRow] {
        try read(name, Data(content.utf8), limit: limit)
    }

    private func row(_ context: String, _ texts: [String], _ answer: Int) -> TaskRow {
        TaskRow(candidates: texts.map { .init(context: context, text: $0) }, answer: answer)
    }

    @Test("each task's row becomes the harness' prompt and continuations")
    func prompts() throws {
        let hellaswag = #"{"ind": 0, "query": "Jump: A boy runs. He", "choices": ["a", "b", "c", "d"], "gold": 3}"#
        #expect(try read("hellaswag", hellaswag) == [row("Jump: A boy runs. He", ["a", "b", "c", "d"], 3)])
        #expect(try read("openbookqa", hellaswag) == [row("Jump: A boy runs. He", ["a", "b", "c", "d"], 3)])
        let arc = #"{"question": "Why?", "choices": ["so", "é", "no"], "gold": 1}"#
        for name in ["arc_easy", "arc_challenge"] {
            #expect(try read(name, arc) == [row("Question: Why?\nAnswer:", ["so", "é", "no"], 1)])
        }
        let piqa = #"{"goal": "dresser", "sol1": "pin ", "sol2": "wood", "label": 1}"#
        #expect(try read("piqa", piqa) == [row("Question: dresser\nAnswer:", ["pin ", "wood"], 1)])
        let winogrande = #"{"sentence": "Ann beat Eve, so _ won. ", "option1": "Ann", "option2": "Eve", "answer": "2"}"#
        #expect(
            try read("winogrande", winogrande) == [
                TaskRow(
                    candidates: [
                        .init(context: "Ann beat Eve, so Ann", text: "won."),
                        .init(context: "Ann beat Eve, so Eve", text: "won."),
                    ], answer: 1)
            ])
        let lambada = #"{"text": "He saw\n\n the sign", "context": "", "continuation": ""}"#
        #expect(try read("lambada_openai", lambada) == [row("He saw\n\n the", ["sign"], 0)])
    }

    @Test("the first rows are taken; empty lines and line ends of either kind do not matter")
    func limits() throws {
        let lines = (0..<5).map { #"{"query": "q\#($0)", "choices": ["a", "b"], "gold": 0}"# }
        for separator in ["\n", "\r\n", "\n\n"] {
            let content = lines.joined(separator: separator) + separator
            #expect(try read("hellaswag", content).count == 5)
            #expect(try read("hellaswag", content, limit: 2).map(\.candidates[0].context) == ["q0", "q1"])
            #expect(try read("hellaswag", content, limit: 9).count == 5)
        }
        // What lies behind the limit is not looked at.
        #expect(try read("hellaswag", lines[0] + "\nnonsense", limit: 1).count == 1)
        let error = #expect(throws: DyadError.self) { try read("hellaswag", lines[0], limit: 0) }
        #expect(error?.reason == .usage && error?.subject == "--limit")
    }

    @Test(
        "a row that breaks the form is malformed, by file, line and field",
        arguments: [
            ("hellaswag", #"{"choices": ["a", "b"], "gold": 0}"#, "line 2, query"),
            ("hellaswag", #"{"query": 7, "choices": ["a", "b"], "gold": 0}"#, "line 2, query"),
            ("hellaswag", #"{"query": "q", "choices": "ab", "gold": 0}"#, "line 2, choices"),
            ("hellaswag", #"{"query": "q", "choices": ["a"], "gold": 0}"#, "line 2, choices"),
            ("hellaswag", #"{"query": "q", "choices": ["a", ""], "gold": 0}"#, "line 2, choices[1]"),
            ("hellaswag", #"{"query": "q", "choices": ["a", null], "gold": 0}"#, "line 2, choices[1]"),
            ("hellaswag", #"{"query": "q", "choices": ["a", "b"], "gold": 2}"#, "line 2, gold"),
            ("hellaswag", #"{"query": "q", "choices": ["a", "b"], "gold": -1}"#, "line 2, gold"),
            ("hellaswag", #"{"query": "q", "choices": ["a", "b"], "gold": "0"}"#, "line 2, gold"),
            ("hellaswag", #"["query"]"#, "line 2, document"),
            ("hellaswag", #"{"query": "q""#, "line 2"),
            ("arc_easy", #"{"query": "q", "choices": ["a", "b"], "gold": 0}"#, "line 2, question"),
            ("piqa", #"{"goal": "g", "sol1": "a", "sol2": "b", "label": 2}"#, "line 2, label"),
            ("piqa", #"{"goal": "g", "sol1": "a", "label": 0}"#, "line 2, sol2"),
            (
                "winogrande", #"{"sentence": "no blank", "option1": "a", "option2": "b", "answer": "1"}"#,
                "line 2, sentence"
            ),
            (
                "winogrande", #"{"sentence": "end _ ", "option1": "a", "option2": "b", "answer": "1"}"#,
                "line 2, sentence"
            ),
            ("winogrande", #"{"sentence": "a _ b", "option1": "a", "option2": "b", "answer": ""}"#, "line 2, answer"),
            ("winogrande", #"{"sentence": "a _ b", "option1": "a", "option2": "b", "answer": 1}"#, "line 2, answer"),
            ("lambada_openai", #"{"text": "word"}"#, "line 2, text"),
            ("lambada_openai", #"{"text": "word "}"#, "line 2, text"),
        ])
    func hostile(task: String, line: String, place: String) throws {
        let error = #expect(throws: DyadError.self) { try read(task, "\n" + line) }
        #expect(error?.reason == .malformed)
        #expect(error?.subject?.hasPrefix(place) == true, "\(error?.subject ?? "")")
        #expect(error?.file?.hasSuffix(".jsonl") == true)
    }

    @Test("bytes that are no UTF-8 and files without rows are malformed, a file that is not there is missing")
    func files() throws {
        let bytes = Data(#"{"text": "a b"}"#.utf8) + Data([0x0a, 0xff, 0xfe])
        let notText = #expect(throws: DyadError.self) { try read("lambada_openai", bytes) }
        #expect(notText?.reason == .malformed && notText?.subject == "line 2")
        for content in ["", "\n\n \r\n"] {
            let error = #expect(throws: DyadError.self) { try read("piqa", content) }
            #expect(error?.reason == .malformed && error?.found == "no row")
        }
        let missing = #expect(throws: DyadError.self) {
            try TaskDefinition.list("piqa")[0].rows(in: "/nowhere/at all")
        }
        #expect(missing?.reason == .missing && missing?.file == "/nowhere/at all/piqa/validation.jsonl")
        #expect(missing?.remedy.contains("--data") == true)
    }

    @Test("a list names tasks, each once; an unknown name lists the known ones")
    func lists() throws {
        #expect(try TaskDefinition.list("piqa, arc_easy,piqa").map(\.name) == ["piqa", "arc_easy"])
        for wrong in ["", "piqa,", "mmlu", "PIQA"] {
            let error = #expect(throws: DyadError.self) { try TaskDefinition.list(wrong) }
            #expect(error?.reason == .usage)
            for task in TaskDefinition.all { #expect(error?.expected.contains(task.name) == true) }
        }
    }

    @Test("every row of the shared data is read", .enabled(if: exists(sharedFolder + "/data"), "no ../shared/data"))
    func sharedData() throws {
        let counts = [
            "arc_challenge": 1172, "arc_easy": 2376, "hellaswag": 10042, "lambada_openai": 5153, "openbookqa": 500,
            "piqa": 1838, "winogrande": 1267,
        ]
        for task in TaskDefinition.all where exists(sharedFolder + "/data/" + task.file) {
            #expect(try task.rows(in: sharedFolder + "/data").count == counts[task.name], "\(task.name)")
        }
    }
}
