import DyadFormats
import DyadTokenizer

/// A candidate as tokens, the boundary between context and continuation found as the harness finds it.
struct CandidateTokens: Equatable {
    /// Context and continuation.
    var tokens: [Int32]
    /// How many of them are context, at least 1.
    var contextCount: Int

    /// White space at the end of the context moves to the continuation, since tokenizers join it to the word that follows.
    /// The continuation's tokens are those that encoding both together has beyond the context's own count.
    ///
    /// - Parameters:
    ///   - encode: text to tokens, no special ones.
    ///   - start: stands in for an empty context, so that the first token has a prediction.
    ///
    /// Throws `.mismatch` where nothing remains to score, or nothing to predict it from.
    init(
        _ candidate: TaskRow.Candidate, start: Int32?, encode: (String) -> [Int32]
    ) throws(DyadError) {
        let scalars = candidate.context.unicodeScalars
        let end = scalars.lastIndex { !$0.properties.isWhitespace }.map { scalars.index(after: $0) }
        let context = String(scalars[..<(end ?? scalars.startIndex)])
        let whole = encode(candidate.context + " " + candidate.text)
        let own = encode(context)
        let prefix = own.isEmpty ? [start].compactMap { $0 } : []
        (tokens, contextCount) = (prefix + whole, prefix.count + own.count)
        guard contextCount > 0, contextCount < tokens.count else {
            throw DyadError(
                .mismatch, found: "\(contextCount) tokens of context, \(tokens.count) with “\(candidate.text)”",
                expected: "a context, and more tokens with the continuation than without it",
                remedy: "Use a tokenizer that knows the text's characters.")
        }
    }

    /// What the model is given: the last token predicts nothing that is scored.
    var tail: WindowTail { WindowTail(tokens: Array(tokens.dropLast()), start: contextCount - 1) }
}
