import DyadFormats
import DyadRuntime
import DyadTokenizer
import DyadTransformer

/// Scores models on conversations that end with the assistant, and compares what they answer to those that do not.
public struct ConversationScorer {
    /// Conversations, as the models' own tokenizer reads them, without the constant prefix.
    public let conversations: [ConversationTokens]

    /// Reads conversations in the models' own template.
    ///
    /// - Parameters:
    ///   - conversations: with the place that errors name.
    ///   - prefix: the models' constant prefix, which a conversation that begins with it drops.
    ///   - maximumTokens: what the models take at once behind the prefix; for `answerTokens` of an answer there must be room.
    /// - Throws: ``DyadError``: `mismatch` for a conversation that is too long, and as ``Tokenizer/tokens(of:)``.
    public init(
        _ conversations: [(place: String, conversation: Conversation)], tokenizer: Tokenizer, prefix: [Int32],
        maximumTokens: Int, answerTokens: Int
    ) throws(DyadError) {
        var all: [ConversationTokens] = []
        for (place, conversation) in conversations {
            do throws(DyadError) {
                let tokens = try tokenizer.tokens(of: conversation).dropping(prefix: prefix)
                let room = conversation.isAnswered ? 0 : answerTokens
                guard !tokens.ids.isEmpty else { throw .emptyPrompt() }
                guard room <= maximumTokens - tokens.ids.count else {
                    throw DyadError(
                        .mismatch,
                        found: "\(tokens.ids.count) tokens" + (room > 0 ? " and an answer of \(room)" : ""),
                        expected: "at most \(maximumTokens), the model's context",
                        remedy: "Quantise with a larger --context, or leave the conversation out.")
                }
                guard !conversation.isAnswered || !tokens.answers.isEmpty else {
                    throw DyadError(
                        .mismatch, found: "no message in front of the assistant's", expected: "a request",
                        remedy: "Leave the conversation out.")
                }
                all.append(tokens)
            } catch {
                var error = error
                error.subject = [place, error.subject].compactMap { $0 }.joined(separator: ", ")
                throw error
            }
        }
        self.conversations = all
    }

    /// Teacher-forced: every conversation that ends with the assistant runs once in the reference and once in each model; all that the
    /// assistant says in it counts.
    ///
    /// The other conversations are left out; nil where there is none.
    public func score(
        _ models: [any LanguageModel], reference: (any LanguageModel)?,
        progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws -> [ConversationResult]? {
        let answered = conversations.filter(\.isAnswered)
        guard !answered.isEmpty else { return nil }
        var losses: [Double] = []
        var scores = models.map { _ in [WindowScore]() }
        for (index, conversation) in answered.enumerated() {
            let window = try reference.map { try ReferenceWindow($0, conversation.ids) }
            if let window { losses.append(window.meanLoss(of: conversation.answers)) }
            for (number, model) in models.enumerated() {
                let score = try WindowScore(model, conversation.ids, tokens: conversation.answers, against: window)
                guard score.meanLoss.isFinite, score.meanDivergence?.isFinite ?? true else {
                    throw DyadError(
                        .failed, subject: "\(model.name), conversation \(index + 1)",
                        found: "logits that are not finite", expected: "finite logits",
                        remedy: "Check the model with `dyad verify` or in float32.")
                }
                scores[number].append(score)
            }
            try progress(index + 1, answered.count)
        }
        return zip(models, scores).map { model, scores in
            ConversationResult(model.name, scores, reference: reference.map { ($0.name, losses) })
        }
    }

    /// Conversations that end with a question.
    public var prompts: [[Int32]] { conversations.filter { !$0.isAnswered }.map(\.ids) }

    /// Compares what `model` answers greedily with the reference's answers.
    ///
    /// The model is given the reference's answer and says at each place what it would write: up to the first difference that is what it
    /// writes by itself, at the cost of one pass.
    ///
    /// - Parameter written: for each of ``prompts`` the reference's tokens, and by how many nats each was likelier than the next best.
    public func compare(
        _ model: any LanguageModel, with written: [[(token: Int32, margin: Float)]],
        maximumTokens: Int, progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws -> AnswerAgreement {
        var result = AnswerAgreement(maximumTokens: maximumTokens)
        let (vocabulary, prompts) = (model.vocabularySize, prompts)
        for (index, (prompt, answer)) in zip(prompts, written).enumerated() {
            let tokens = answer.map(\.token)
            var common = tokens.count
            let tail = WindowTail(tokens: prompt + tokens.dropLast(), start: prompt.count - 1)
            try model.evaluate(tails: [tail]) { _, range, logits in
                for (row, position) in zip(logitRows(logits, vocabulary), range) {
                    let place = position - tail.start
                    if row.argmax != Int(tokens[place]) { common = min(common, place) }
                }
            }
            result.answers.append(
                AnswerAgreement.Answer(
                    length: tokens.count, common: common, firstMargin: Double(answer.first?.margin ?? 0)))
            try progress(index + 1, prompts.count)
        }
        return result
    }
}
