import DyadFormats
import Foundation

/// The outcome of a task for one model.
public struct TaskResult: Sendable, Equatable {
    /// The task's name.
    public let task: String
    /// Rows scored.
    public let count: Int
    /// Share of rows answered rightly: the candidate with the largest sum of log-likelihoods, or the greedy match.
    public let accuracy: Double
    /// Share of rows whose answer has the largest log-likelihood per byte of text; nil where there is nothing to choose from.
    public let accuracyNorm: Double?
    /// exp of the mean negative log-likelihood of the words to guess; nil where candidates are chosen from.
    public let perplexity: Double?

    /// Standard error of ``accuracy``, √(p·(1 − p)/(n − 1)): that of the mean of n draws. Nil for one row.
    public var standardError: Double? { Self.standardError(accuracy, count) }
    /// Standard error of ``accuracyNorm``.
    public var accuracyNormStandardError: Double? { accuracyNorm.flatMap { Self.standardError($0, count) } }

    private static func standardError(_ share: Double, _ count: Int) -> Double? {
        count > 1 ? (share * (1 - share) / Double(count - 1)).squareRoot() : nil
    }

    /// The result for `--json`: `accuracy`, `accuracy_norm`, `standard_error`, `accuracy_norm_standard_error`, `count`, and
    /// `perplexity` where a word is guessed. What is not defined is null.
    public func json() -> JSONValue {
        func value(_ number: Double?) -> JSONValue { number.map { .measured($0) } ?? .null }
        var object = JSONObject([
            ("accuracy", .measured(accuracy)), ("accuracy_norm", value(accuracyNorm)),
            ("standard_error", value(standardError)),
            ("accuracy_norm_standard_error", value(accuracyNormStandardError)), ("count", .integer(count)),
        ])
        if let perplexity { object["perplexity"] = .measured(perplexity) }
        return .object(object)
    }
}

extension TaskResult {
    /// How one row went.
    struct Outcome: Equatable {
        var isRight: Bool
        var isRightPerByte: Bool
        /// Of the answer.
        var logLikelihood: Double

        /// Of equal scores the first wins.
        init(_ row: TaskRow, _ scores: [CandidateScore], _ judgement: TaskDefinition.Judgement) {
            let sums = scores.map(\.logLikelihood)
            let perByte = zip(sums, row.candidates).map { $0 / Double($1.text.utf8.count) }
            logLikelihood = sums[row.answer]
            isRightPerByte = perByte.firstIndex(of: perByte.max() ?? 0) == row.answer
            switch judgement {
            case .likeliestCandidate: isRight = sums.firstIndex(of: sums.max() ?? 0) == row.answer
            case .greedyMatch: isRight = scores[row.answer].isGreedy
            }
        }
    }

    init(task: String, judgement: TaskDefinition.Judgement, outcomes: [Outcome]) {
        func share(_ isRight: (Outcome) -> Bool) -> Double {
            Double(outcomes.count(where: isRight)) / Double(outcomes.count)
        }
        self.task = task
        count = outcomes.count
        accuracy = share(\.isRight)
        let isChoice = judgement == .likeliestCandidate
        accuracyNorm = isChoice ? share(\.isRightPerByte) : nil
        perplexity = isChoice ? nil : exp(-mean(outcomes.map(\.logLikelihood)))
    }
}
