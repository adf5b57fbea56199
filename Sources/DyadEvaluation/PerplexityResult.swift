import DyadFormats
import Foundation

/// The outcome of ``Perplexity`` for one model.
public struct PerplexityResult: Sendable, Equatable {
    /// The model's name.
    public let model: String
    /// Tokens of a window.
    public let context: Int
    /// Mean negative log-likelihood of each window, in nats.
    public let windowMeans: [Double]
    /// Comparison with a reference on the same windows, if there was one.
    public internal(set) var comparison: Comparison?
    /// The same at the temperature that suits the model best, if asked for.
    public internal(set) var tempered: Tempered?

    /// Perplexity with logits divided by a temperature, the best of those tried.
    ///
    /// A model may gain perplexity by being less sure, without knowing more: instruction tuning makes models too sure of plain
    /// text, and rounding noise makes them less so. Compared each at its own best temperature, models differ in what they know.
    public struct Tempered: Sendable, Equatable {
        /// The temperature.
        public let temperature: Double
        /// exp(mean negative log-likelihood) there.
        public let perplexity: Double

        /// The lowest of the means over windows; nil without temperatures.
        static func best(of temperatures: [Float], windows: [[Double]]) -> Tempered? {
            guard !windows.isEmpty else { return nil }
            return temperatures.indices.map { index in
                Tempered(
                    temperature: Double(temperatures[index]), perplexity: exp(mean(windows.map { $0[index] })))
            }.min { $0.perplexity < $1.perplexity }
        }
    }

    /// Nearness to a reference.
    public struct Comparison: Sendable, Equatable {
        /// The reference's name.
        public let reference: String
        /// Mean negative log-likelihood of each window under the reference.
        public let windowMeans: [Double]
        /// Mean over positions of KL(reference ‖ model), in nats.
        public let meanKL: Double
        /// Its standard error over windows; nil for one window.
        public let klStandardError: Double?
        /// Share of positions where both find the same token likeliest.
        public let top1Agreement: Double
        /// The reference at its own best temperature, if asked for.
        public internal(set) var tempered: Tempered?
    }

    /// Creates a result from the windows' means.
    public init(model: String, context: Int, windowMeans: [Double], comparison: Comparison? = nil) {
        self.model = model
        self.context = context
        self.windowMeans = windowMeans
        self.comparison = comparison
    }

    init(model: String, context: Int, scores: [WindowScore], reference: (name: String, means: [Double])?) {
        self.model = model
        self.context = context
        windowMeans = scores.map(\.meanLoss)
        comparison = reference.map { reference in
            let divergences = scores.compactMap(\.meanDivergence)
            return Comparison(
                reference: reference.name, windowMeans: reference.means, meanKL: mean(divergences),
                klStandardError: standardError(divergences), top1Agreement: mean(scores.compactMap(\.agreement)))
        }
    }

    /// The reference's own result; nil without one.
    public var reference: PerplexityResult? {
        comparison.map { comparison in
            var result = PerplexityResult(
                model: comparison.reference, context: context, windowMeans: comparison.windowMeans)
            result.tempered = comparison.tempered
            return result
        }
    }

    /// The same by itself.
    public var withoutComparison: PerplexityResult {
        var result = self
        result.comparison = nil
        return result
    }

    /// The same, with its ratio taken to another float model on the same windows; KL and agreement stay.
    public func withRatio(to plain: PerplexityResult) -> PerplexityResult {
        var result = self
        result.comparison = comparison.map { comparison in
            Comparison(
                reference: plain.model, windowMeans: plain.windowMeans, meanKL: comparison.meanKL,
                klStandardError: comparison.klStandardError, top1Agreement: comparison.top1Agreement,
                tempered: plain.tempered)
        }
        return result
    }

    /// Number of windows.
    public var windows: Int { windowMeans.count }
    /// Tokens given to the model.
    public var tokens: Int { windows * context }
    /// Tokens scored: all but the first of each window.
    public var scoredTokens: Int { windows * (context - 1) }
    /// exp(mean negative log-likelihood).
    public var perplexity: Double { exp(mean(windowMeans)) }
}

extension PerplexityResult.Comparison {
    /// The reference's perplexity.
    public var perplexity: Double { exp(mean(windowMeans)) }
}

extension PerplexityResult {
    /// Perplexity divided by the reference's.
    public var ratio: Double? {
        comparison.map { perplexity / $0.perplexity }
    }

    /// Standard error of ``ratio``, paired over windows: the ratio times that of the mean difference of the windows'
    /// log-likelihoods (delta method). Nil without a reference or with one window.
    public var ratioStandardError: Double? {
        guard let comparison, let ratio else { return nil }
        return standardError(zip(windowMeans, comparison.windowMeans).map { $0 - $1 }).map { ratio * $0 }
    }

    /// The result for `--json`: `perplexity`, `tokens`, `scored_tokens`, `windows`, `context`, `window_mean_nll`, and with
    /// a reference `reference_perplexity`, `ratio`, `ratio_standard_error`, `mean_kl`, `mean_kl_standard_error`,
    /// `top1_agreement`; where temperatures were tried also `temperature`, `tempered_perplexity`, and with a reference
    /// `reference_temperature`, `reference_tempered_perplexity`.
    public func json() -> JSONValue {
        var object = JSONObject()
        object["model"] = .string(model)
        object["perplexity"] = .measured(perplexity)
        object["tokens"] = .integer(tokens)
        object["scored_tokens"] = .integer(scoredTokens)
        object["windows"] = .integer(windows)
        object["context"] = .integer(context)
        if let comparison {
            object["reference"] = .string(comparison.reference)
            object["reference_perplexity"] = .measured(comparison.perplexity)
            object["ratio"] = ratio.map { .measured($0) } ?? .null
            object["ratio_standard_error"] = ratioStandardError.map { .measured($0) } ?? .null
            object["mean_kl"] = .measured(comparison.meanKL)
            object["mean_kl_standard_error"] = comparison.klStandardError.map { .measured($0) } ?? .null
            object["top1_agreement"] = .measured(comparison.top1Agreement)
        }
        if let tempered {
            object["temperature"] = .measured(tempered.temperature)
            object["tempered_perplexity"] = .measured(tempered.perplexity)
        }
        if let tempered = comparison?.tempered {
            object["reference_temperature"] = .measured(tempered.temperature)
            object["reference_tempered_perplexity"] = .measured(tempered.perplexity)
        }
        object["window_mean_nll"] = .array(windowMeans.map { .measured($0) })
        return .object(object)
    }
}
