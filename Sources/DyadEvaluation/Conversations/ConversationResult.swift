import DyadFormats
import Foundation

/// How a model does on the answers of conversations, teacher-forced.
public struct ConversationResult: Sendable, Equatable {
    /// The model's name.
    public let model: String
    /// Tokens scored: what the assistant says, with the tokens that end its turns.
    public let tokens: Int
    /// Conversations.
    public let count: Int
    /// exp(mean negative log-likelihood) of the tokens.
    public let perplexity: Double
    /// Nearness to a reference on the same tokens, if there was one.
    public let comparison: Comparison?

    /// Nearness to a reference.
    public struct Comparison: Sendable, Equatable {
        /// The reference's name.
        public let reference: String
        /// The reference's perplexity of the tokens.
        public let perplexity: Double
        /// Mean over the tokens of KL(reference ‖ model), in nats.
        public let meanKL: Double
        /// Its standard error, conversations being independent of each other; nil for one.
        public let klStandardError: Double?
        /// Share of the tokens where both find the same one likeliest.
        public let top1Agreement: Double
    }

    init(_ model: String, _ scores: [WindowScore], reference: (name: String, losses: [Double])?) {
        func total(_ value: (WindowScore) -> Double) -> Double {
            scores.reduce(0) { $0 + value($1) * Double($1.count) }
        }
        let tokens = scores.reduce(0) { $0 + $1.count }
        (self.model, self.tokens, count) = (model, tokens, scores.count)
        perplexity = exp(total(\.meanLoss) / Double(tokens))
        comparison = reference.map { reference in
            let mean = total { $0.meanDivergence ?? 0 } / Double(tokens)
            // Of a ratio of sums: deviations weighted with the answers' lengths.
            let squares = scores.reduce(0) { sum, score in
                let deviation = ((score.meanDivergence ?? 0) - mean) * Double(score.count)
                return sum + deviation * deviation
            }
            let factor = Double(scores.count) / Double(max(scores.count - 1, 1))
            return Comparison(
                reference: reference.name,
                perplexity: exp(
                    zip(scores, reference.losses).reduce(0) { $0 + $1.1 * Double($1.0.count) } / Double(tokens)),
                meanKL: mean,
                klStandardError: scores.count > 1 ? (squares * factor).squareRoot() / Double(tokens) : nil,
                top1Agreement: total { $0.agreement ?? 0 } / Double(tokens))
        }
    }

    /// For `--json`: `perplexity`, `tokens`, `count`, and with a reference `reference`, `reference_perplexity`, `mean_kl`,
    /// `mean_kl_standard_error`, `top1_agreement`.
    public func json() -> JSONValue {
        var object = JSONObject([
            ("perplexity", .measured(perplexity)), ("tokens", .integer(tokens)), ("count", .integer(count)),
        ])
        if let comparison {
            object["reference"] = .string(comparison.reference)
            object["reference_perplexity"] = .measured(comparison.perplexity)
            object["mean_kl"] = .measured(comparison.meanKL)
            object["mean_kl_standard_error"] = comparison.klStandardError.map { .measured($0) } ?? .null
            object["top1_agreement"] = .measured(comparison.top1Agreement)
        }
        return .object(object)
    }
}

/// How far a model writes, greedily, what a reference does.
public struct AnswerAgreement: Sendable, Equatable {
    /// One answer.
    struct Answer: Sendable, Equatable {
        /// Tokens of the reference's answer, its end among them.
        var length: Int
        /// Tokens from the first on that the model writes as well.
        var common: Int
        /// By how many nats the reference finds its first token likelier than the next best.
        var firstMargin: Double
    }

    /// Answers compared.
    var answers: [Answer] = []
    /// Most tokens of an answer.
    let maximumTokens: Int

    /// Answers compared.
    public var count: Int { answers.count }
    /// Share of answers whose first token is the reference's.
    public var firstTokenAgreement: Double { share(answers) { $0.common > 0 } }
    /// Mean of the tokens that an answer begins with as the reference's.
    public var meanCommonTokens: Double { share(answers) { $0.common } }
    /// Answers that are the reference's, to their end or to the last token that was asked for.
    public var equal: Int { answers.count { $0.common == $0.length } }

    /// First tokens by how sure the reference is of them.
    public struct Margin: Sendable, Equatable {
        /// From so many nats on.
        public let least: Double
        /// Below so many; nil for no bound.
        public let most: Double?
        /// Answers.
        public let count: Int
        /// Those whose first token is the reference's.
        public let equal: Int
    }

    /// First tokens by the reference's margin: under half a nat, under one, and above.
    public var margins: [Margin] {
        zip([0, 0.5, 1], [0.5, 1, nil]).map { least, most in
            let part = answers.filter { $0.firstMargin >= least && $0.firstMargin < most ?? .infinity }
            return Margin(least: least, most: most, count: part.count, equal: part.count { $0.common > 0 })
        }
    }

    private func share(_ answers: [Answer], _ value: (Answer) -> Bool) -> Double {
        share(answers) { value($0) ? 1 : 0 }
    }

    private func share(_ answers: [Answer], _ value: (Answer) -> Int) -> Double {
        answers.isEmpty ? 0 : Double(answers.reduce(0) { $0 + value($1) }) / Double(answers.count)
    }

    /// For `--json`: `count`, `first_token_agreement`, `mean_common_tokens`, `equal`, `answer_tokens`, and `first_tokens`: for each
    /// range of the reference's margin `least_margin`, `most_margin` (or null), `count`, `equal`.
    public func json() -> JSONValue {
        .object(
            JSONObject([
                ("count", .integer(count)), ("first_token_agreement", .measured(firstTokenAgreement)),
                ("mean_common_tokens", .measured(meanCommonTokens)), ("equal", .integer(equal)),
                ("answer_tokens", .integer(maximumTokens)),
                (
                    "first_tokens",
                    .array(
                        margins.map { margin in
                            .object(
                                JSONObject([
                                    ("least_margin", .measured(margin.least)),
                                    ("most_margin", margin.most.map { .measured($0) } ?? .null),
                                    ("count", .integer(margin.count)), ("equal", .integer(margin.equal)),
                                ]))
                        })
                ),
            ]))
    }
}
