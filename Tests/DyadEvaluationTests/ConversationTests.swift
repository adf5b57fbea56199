import DyadCheckpoint
import DyadEvaluation
import DyadFormats
import DyadTokenizer
import Foundation
import Testing

@Suite(
    "Conversations", .enabled(if: FileManager.default.fileExists(atPath: smolLM2Path), "no SmolLM2 under .deps/models"))
struct ConversationTests {
    private func scorer(prefix: [Int32] = [], maximumTokens: Int = 64) throws -> ConversationScorer {
        let answered = Conversation([
            ChatMessage(role: "user", content: "Hi!"), ChatMessage(role: "assistant", content: "Hello there, friend."),
        ])
        let asking = Conversation([ChatMessage(role: "user", content: "What is the name of the capital of France?")])
        return try ConversationScorer(
            [("line 1", answered), ("line 2", asking), ("line 3", answered)],
            tokenizer: Checkpoint.open(smolLM2Path).tokenizer(),
            prefix: prefix, maximumTokens: maximumTokens, answerTokens: 4)
    }

    /// Logits that follow from the tokens so far and a seed.
    private func model(_ seed: Int, spread: Double = 8) -> FakeModel {
        FakeModel(vocabularySize: 49152) { seen in
            var noise = Noise(seen.reduce(seed) { ($0 &* 31 &+ Int($1)) & 0xFFFFFF })
            return noise.row(49152, spread: spread)
        }
    }

    @Test("score what the assistant says and nothing else")
    func scores() throws {
        let (scorer, one, other) = (try scorer(), model(1), model(2))
        let conversation = scorer.conversations[0], answer = try #require(conversation.answers.first)
        var (loss, divergence) = (0.0, 0.0)
        for place in answer {
            let (a, b) = (
                logSoftmax(one.logits(conversation.ids[..<place])), logSoftmax(other.logits(conversation.ids[..<place]))
            )
            loss -= a[Int(conversation.ids[place])]
            divergence += zip(b, a).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
        }
        let result = try #require(try scorer.score([one, other], reference: other))
        #expect(result[0].count == 2 && result[0].tokens == 2 * answer.count)
        #expect(abs(log(result[0].perplexity) - loss / Double(answer.count)) < 1e-5)
        let comparison = try #require(result[0].comparison)
        #expect(abs(comparison.meanKL - divergence / Double(answer.count)) < 1e-4)
        #expect(comparison.klStandardError ?? 1 < 1e-9)
        #expect(result[1].comparison?.meanKL ?? 1 < 1e-6 && result[1].comparison?.top1Agreement == 1)
        #expect(result[1].perplexity == comparison.perplexity)
    }

    @Test("compare greedy answers up to where they part")
    func answers() throws {
        let scorer = try scorer(), prompt = scorer.prompts[0]
        #expect(scorer.prompts.count == 1)
        let one = model(3)
        var text = prompt
        for _ in 0..<4 {
            let row = one.logits(text[...])
            text.append(Int32(row.firstIndex(of: row.max() ?? 0) ?? 0))
        }
        var written = text.dropFirst(prompt.count).map { (token: $0, margin: Float(0.7)) }
        let same = try scorer.compare(one, with: [written], maximumTokens: 4)
        #expect(same.equal == 1 && same.meanCommonTokens == 4 && same.firstTokenAgreement == 1)
        #expect(same.margins.map(\.count) == [0, 1, 0])
        written[2].token += 1
        let parted = try scorer.compare(one, with: [written], maximumTokens: 4)
        #expect(parted.equal == 0 && parted.meanCommonTokens == 2)
        written[0].token += 1
        let other = try scorer.compare(one, with: [written], maximumTokens: 4)
        #expect(other.firstTokenAgreement == 0 && other.meanCommonTokens == 0)
    }

    @Test("that are too long are refused by line")
    func tooLong() throws {
        let error = #expect(throws: DyadError.self) { try scorer(maximumTokens: 16) }
        #expect(error?.reason == .mismatch && error?.subject?.contains("line 1") == true)
    }
}
