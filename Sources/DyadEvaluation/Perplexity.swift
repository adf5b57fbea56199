import DyadFormats

/// Perplexity, and nearness to a reference model, on a text.
///
/// The tokens are cut into non-overlapping windows of `context` tokens; what remains at the end is left out (a text
/// shorter than one window is one window). Each window starts from an empty cache. Scored are tokens 2 ... n of each
/// window; KL divergence and top-1 agreement are taken at the positions that predict them.
public struct Perplexity: Sendable {
    /// Tokens of a window.
    public var context: Int
    /// At most so many tokens of the text; nil for all.
    public var maximumTokens: Int?
    /// A token at the beginning of every window, one of its `context` tokens and not scored; nil for none. Families that were
    /// trained with it (Gemma) lose much of their quality without.
    public var beginningOfText: Int32?
    /// Also score with logits divided by each of these, for ``PerplexityResult/tempered``; empty for plain perplexity alone.
    public var temperatures: [Float] = []

    /// Temperatures among which most models have their best.
    public static let usualTemperatures = stride(from: 80, through: 150, by: 5).map { Float($0) / 100 }

    /// Creates the protocol.
    public init(context: Int = 1024, maximumTokens: Int? = nil, beginningOfText: Int32? = nil) {
        (self.context, self.maximumTokens, self.beginningOfText) = (context, maximumTokens, beginningOfText)
    }

    /// Measures several models on the same windows, against one reference that runs only once.
    ///
    /// - Parameters:
    ///   - models: one result each, in this order.
    ///   - reference: usually the float model; nil for perplexity alone.
    ///   - tokens: the whole text, tokenised without special tokens.
    ///   - progress: called after every window with the share done, 0 ... 1.
    ///
    /// Throws `.usage` for a text or window of fewer than two tokens, `.mismatch` for ids outside a vocabulary or
    /// vocabularies that differ, `.failed` when a model's logits are not finite. Memory: one window of the reference's
    /// logits.
    public func measure(
        _ models: [any LanguageModel], reference: (any LanguageModel)? = nil, tokens: [Int32],
        progress: (Double) throws -> Void = { _ in }
    ) throws -> [PerplexityResult] {
        let windows = try cut(tokens)
        for model in models + (reference.map { [$0] } ?? []) {
            try check(model, tokens: windows.joined(), vocabulary: models.first?.vocabularySize)
        }
        var referenceMeans: [Double] = []
        var referenceTempered: [[Double]] = []
        var gathered = models.map { _ in [WindowScore]() }
        for (index, window) in windows.enumerated() {
            let answer = try reference.map { try ReferenceWindow($0, window) }
            if let answer {
                referenceMeans.append(mean(answer.losses))
                referenceTempered.append(answer.temperedMeans(temperatures))
            }
            for (number, model) in models.enumerated() {
                let score = try WindowScore(model, window, against: answer, temperatures: temperatures)
                guard score.meanLoss.isFinite, score.meanDivergence?.isFinite ?? true else {
                    throw DyadError(
                        .failed, subject: "\(model.name), window \(index + 1)", found: "logits that are not finite",
                        expected: "finite logits", remedy: "Check the model with `dyad verify` or in float32.")
                }
                gathered[number].append(score)
            }
            try progress(Double(index + 1) / Double(windows.count))
        }
        return zip(models, gathered).map { model, scores in
            var result = PerplexityResult(
                model: model.name, context: windows[0].count, scores: scores,
                reference: reference.map { ($0.name, referenceMeans) })
            result.tempered = .best(of: temperatures, windows: scores.map(\.temperedMeans))
            result.comparison?.tempered = .best(of: temperatures, windows: referenceTempered)
            return result
        }
    }

    /// The windows.
    private func cut(_ tokens: [Int32]) throws(DyadError) -> [[Int32]] {
        let usable = min(tokens.count, maximumTokens ?? tokens.count)
        let beginning = beginningOfText.map { [$0] } ?? []
        let length = min(context - beginning.count, usable)
        guard length + beginning.count >= 2, length >= 1 else {
            throw DyadError(
                .usage, subject: "perplexity", found: "\(usable) tokens of text, windows of \(context)",
                expected: "at least two tokens", remedy: "Give a longer text or a larger --context.")
        }
        return (0..<usable / length).map { beginning + tokens[$0 * length..<($0 + 1) * length] }
    }

    private func check(
        _ model: any LanguageModel, tokens: some Sequence<Int32>, vocabulary: Int?
    ) throws(DyadError) {
        let size = model.vocabularySize
        if let vocabulary, vocabulary != size {
            throw DyadError(
                .mismatch, subject: model.name, found: "a vocabulary of \(size)", expected: "\(vocabulary)",
                remedy: "Compare models of one vocabulary only.")
        }
        if let stray = tokens.first(where: { $0 < 0 || $0 >= size }) {
            throw DyadError(
                .mismatch, subject: model.name, found: "token id \(stray)", expected: "ids below \(size)",
                remedy: "Tokenise with the model's own tokenizer.")
        }
    }
}

func mean(_ values: some Collection<Double>) -> Double {
    values.reduce(0, +) / Double(values.count)
}

/// The standard error of the mean of independent values; nil for fewer than two.
func standardError(_ values: [Double]) -> Double? {
    guard values.count > 1 else { return nil }
    let centre = mean(values)
    let squares = values.reduce(0) { $0 + ($1 - centre) * ($1 - centre) }
    return (squares / Double(values.count - 1) / Double(values.count)).squareRoot()
}
