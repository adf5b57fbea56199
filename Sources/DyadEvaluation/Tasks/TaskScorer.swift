import DyadFormats
import DyadTokenizer

/// Scores a task's rows with a model: the log-likelihood of each candidate behind its context.
///
/// Zero-shot, without special tokens and without a chat template.
public struct TaskScorer {
    /// The model.
    public let model: any LanguageModel
    /// Tokens that the model takes at once.
    public let maximumTokens: Int
    private let encode: (String) -> [Int32]
    private let start: Int32?

    /// Creates a scorer with the model's own tokenizer.
    public init(_ model: any LanguageModel, tokenizer: Tokenizer, maximumTokens: Int) {
        self.init(model, maximumTokens: maximumTokens, start: tokenizer.bosID ?? tokenizer.eosIDs.first) {
            tokenizer.encode($0, parseSpecial: false)
        }
    }

    init(
        _ model: any LanguageModel, maximumTokens: Int, start: Int32? = nil, encode: @escaping (String) -> [Int32]
    ) {
        (self.model, self.maximumTokens, self.start, self.encode) = (model, maximumTokens, start, encode)
    }

    /// Scores all rows; `progress` is told how many are done.
    ///
    /// All rows are tokenised and checked first. Throws `.mismatch` for a candidate longer than the model takes or a token
    /// outside its vocabulary, `.failed` for logits that are not finite. Cost: one pass over each row's tokens, a context
    /// that candidates share counting once where the model can (``LanguageModel/evaluate(tails:_:)``).
    public func score(
        _ task: TaskDefinition, _ rows: [TaskRow], progress: (Int) throws -> Void = { _ in }
    ) throws -> TaskResult {
        let tokens = try rows.enumerated().map { try tokenized($1, subject: "\(task.name), row \($0 + 1)") }
        var outcomes: [TaskResult.Outcome] = []
        for (index, row) in rows.enumerated() {
            let scores = try scores(tokens[index], subject: "\(model.name), \(task.name), row \(index + 1)")
            outcomes.append(TaskResult.Outcome(row, scores, task.judgement))
            try progress(index + 1)
        }
        return TaskResult(task: task.name, judgement: task.judgement, outcomes: outcomes)
    }

    private func tokenized(_ row: TaskRow, subject: String) throws(DyadError) -> [CandidateTokens] {
        var result: [CandidateTokens] = []
        for candidate in row.candidates {
            do {
                result.append(try CandidateTokens(candidate, start: start, encode: encode))
            } catch {
                var error = error
                error.subject = subject
                throw error
            }
            let tokens = result[result.count - 1].tokens
            guard tokens.count - 1 <= maximumTokens else {
                throw DyadError(
                    .mismatch, subject: subject, found: "\(tokens.count - 1) tokens",
                    expected: "at most \(maximumTokens), the model's context",
                    remedy: "Quantise with a larger --context: a shortened row would be another task.")
            }
            if let stray = tokens.first(where: { $0 < 0 || $0 >= model.vocabularySize }) {
                throw DyadError(
                    .mismatch, subject: subject, found: "token id \(stray)",
                    expected: "ids below \(model.vocabularySize)", remedy: "Tokenise with the model's own tokenizer.")
            }
        }
        return result
    }

    private func scores(_ candidates: [CandidateTokens], subject: String) throws -> [CandidateScore] {
        var scores = candidates.map { _ in CandidateScore() }
        let vocabulary = model.vocabularySize
        try model.evaluate(tails: candidates.map(\.tail)) { index, range, logits in
            for (row, position) in zip(logitRows(logits, vocabulary), range) {
                let token = Int(candidates[index].tokens[position + 1])
                scores[index].logLikelihood -= row.negativeLogLikelihood(of: token)
                if row.argmax != token { scores[index].isGreedy = false }
            }
        }
        guard scores.allSatisfy(\.logLikelihood.isFinite) else {
            throw DyadError(
                .failed, subject: subject, found: "logits that are not finite", expected: "finite logits",
                remedy: "Check the model with `dyad verify` or in float32.")
        }
        return scores
    }
}

/// What a model thinks of a candidate.
struct CandidateScore: Equatable {
    /// Σ log p(token | what stands before it), in nats.
    var logLikelihood = 0.0
    /// Whether every token is the likeliest at its place.
    var isGreedy = true
}
