import DyadFormats
import Foundation
import Testing

@testable import DyadEvaluation

/// Scores by hand: every character is a token, and the model's probabilities are powers of ½.
@Suite("Tasks")
struct TaskTests {
    private static let alphabet: [Character: Int32] = [" ": 0, "a": 1, "b": 2, "q": 3, "é": 4]
    private static func encode(_ text: String) -> [Int32] { text.compactMap { alphabet[$0] } }
    private static func logits(_ halvings: [Float]) -> [Float] { halvings.map { -$0 * Float(log(2.0)) } }

    /// p(space) = ½, p(a) = ¼, p(b) = ⅛, p(q) = p(é) = 1⁄16, whatever stood before.
    private let constant = FakeModel(name: "constant", vocabularySize: 5) { _ in logits([1, 2, 3, 4, 4]) }
    private let choice = TaskDefinition.all.first { $0.judgement == .likeliestCandidate }
    private let word = TaskDefinition.all.first { $0.judgement == .greedyMatch }

    private func scorer(_ model: FakeModel, start: Int32? = nil, maximumTokens: Int = 100) -> TaskScorer {
        TaskScorer(model, maximumTokens: maximumTokens, start: start, encode: Self.encode)
    }

    @Test("the likeliest candidate is the answer, by its sum and by its sum a byte; the error is √(p(1−p)/(n−1))")
    func choices() throws {
        // With the space in front: a is 3 halvings, bb 7, aaaa 9; a byte 3, 3½ and 2¼. So a wins by sum, aaaa a byte.
        let rows = [0, 0, 0, 2, 1].map { TaskRow(context: "qa", choices: ["a", "bb", "aaaa"], answer: $0) }
        var done: [Int] = []
        let result = try scorer(constant).score(try #require(choice), rows) { done.append($0) }
        #expect(done == [1, 2, 3, 4, 5])
        #expect(result.count == 5)
        #expect(result.accuracy == 0.6 && result.accuracyNorm == 0.2 && result.perplexity == nil)
        #expect(abs(try #require(result.standardError) - 0.06.squareRoot()) < 1e-12)
        #expect(abs(try #require(result.accuracyNormStandardError) - 0.2) < 1e-12)
        let json = result.json()
        #expect(json["accuracy"]?.double == 0.6 && json["accuracy_norm"]?.double == 0.2)
        #expect(json["count"]?.integer == 5 && json["standard_error"]?.double != nil && json["perplexity"] == nil)
    }

    @Test("lengths are bytes of UTF-8 without the joining space; of equal scores the first wins; one row has no error")
    func lengths() throws {
        // é is 5 halvings in 2 bytes, a 3 in 1: a byte é wins, a character a would.
        let row = TaskRow(context: "q", choices: ["é", "a", "a"], answer: 0)
        let result = try scorer(constant).score(try #require(choice), [row])
        #expect(result.accuracy == 0 && result.accuracyNorm == 1 && result.standardError == nil)
        #expect(result.json()["standard_error"]?.isNull == true)
        let tie = TaskRow(context: "q", choices: ["a", "a"], answer: 1)
        #expect(try scorer(constant).score(try #require(choice), [tie]).accuracy == 0)
    }

    @Test("only the continuation is scored, and what stood before it counts")
    func continuation() throws {
        // After an a somewhere in the context, b is nearly sure; without one, it is nearly impossible.
        let model = FakeModel(name: "recall", vocabularySize: 5) { seen in
            Self.logits(seen.contains(1) ? [1, 9, 1, 9, 9] : [1, 9, 9, 1, 9])
        }
        let row = TaskRow(
            candidates: [.init(context: "qqq", text: "b"), .init(context: "bba", text: "b")], answer: 1)
        #expect(try scorer(model).score(try #require(choice), [row]).accuracy == 1)
    }

    @Test("a word is right where each of its tokens is the likeliest; its perplexity is that of whole words")
    func words() throws {
        // After a space a has ½ and b ¼, else the space has ½: “ a” is greedy with 2 halvings, “ b” is not, with 3.
        let model = FakeModel(name: "bigram", vocabularySize: 5) { seen in
            Self.logits(seen.last == 0 ? [3, 1, 2, 4, 4] : [1, 2, 3, 4, 4])
        }
        let rows = ["a", "b"].map { TaskRow(context: "q", choices: [$0], answer: 0) }
        let result = try scorer(model).score(try #require(word), rows)
        #expect(result.accuracy == 0.5 && result.accuracyNorm == nil && result.standardError == 0.5)
        #expect(abs(try #require(result.perplexity) - pow(2, 2.5)) < 1e-5)
        #expect(result.json()["accuracy_norm"]?.isNull == true && result.json()["perplexity"]?.double != nil)
    }

    @Test("the context's own tokens are those of the context without its white space at the end")
    func boundary() throws {
        // A tokenizer that joins a space to the word behind it: 9 for a lone space, 10 and more for words.
        func encode(_ text: String) -> [Int32] {
            text.matches(of: #/ ?[^ ]+| /#).map { $0.output == " " ? 9 : 10 + Int32($0.output.count) }
        }
        func tokens(_ context: String, start: Int32? = nil) throws -> CandidateTokens {
            try CandidateTokens(.init(context: context, text: "cd"), start: start, encode: encode)
        }
        let plain = try tokens("ab")
        #expect(plain.tokens == [12, 13] && plain.contextCount == 1)
        #expect(plain.tail == WindowTail(tokens: [12], start: 0))
        let spaced = try tokens("ab ")
        #expect(spaced.tokens == [12, 9, 13] && spaced.contextCount == 1)
        let empty = try tokens("", start: 1)
        #expect(empty.tokens == [1, 13] && empty.contextCount == 1)
        #expect(throws: DyadError.self) { try tokens("") }
        #expect(throws: DyadError.self) {
            try CandidateTokens(.init(context: "ab", text: "c"), start: 1) { _ in [7] }
        }
    }

    @Test("rows that a model cannot score are refused, naming the row")
    func refusals() throws {
        let rows = [
            TaskRow(context: "q", choices: ["a", "b"], answer: 0),
            TaskRow(context: "qqqq", choices: ["a", "bbb"], answer: 0),
        ]
        let task = try #require(choice)
        // q + space + a, of which the last predicts nothing: two tokens. The other needs seven.
        #expect(try scorer(constant, maximumTokens: 7).score(task, rows).count == 2)
        let tooLong = #expect(throws: DyadError.self) { try scorer(constant, maximumTokens: 6).score(task, rows) }
        #expect(tooLong?.reason == .mismatch && tooLong?.subject == "\(task.name), row 2")
        let small = FakeModel(name: "small", vocabularySize: 3) { _ in [0, 0, 0] }
        let stray = #expect(throws: DyadError.self) { try scorer(small).score(task, rows) }
        #expect(stray?.reason == .mismatch && stray?.found == "token id 3")
        let broken = FakeModel(name: "broken", vocabularySize: 5) { _ in [0, 0, 0, 0, .nan] }
        let notFinite = #expect(throws: DyadError.self) { try scorer(broken).score(task, rows) }
        #expect(notFinite?.reason == .failed && notFinite?.subject?.contains("broken") == true)
    }
}
