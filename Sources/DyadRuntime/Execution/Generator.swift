import DyadFormats
import DyadGraph
import DyadTokenizer

/// Writes text with a session: prompt in, tokens out one by one until a stop token or a limit.
///
/// A generator keeps what is in the session's cache: a prompt that continues the last conversation (the next turn of a
/// chat) computes only what is new.
public final class Generator {
    /// How to generate.
    public struct Options: Sendable {
        /// The most tokens to write.
        public var maximumTokens: Int
        /// How the next token is chosen.
        public var sampling: SamplingOptions
        /// Ids that end the text; nil takes the tokenizer's own.
        public var stopIDs: Set<Int32>?

        /// Creates options.
        public init(
            maximumTokens: Int = 256, sampling: SamplingOptions = SamplingOptions(), stopIDs: Set<Int32>? = nil
        ) {
            self.maximumTokens = maximumTokens
            self.sampling = sampling
            self.stopIDs = stopIDs
        }

        /// Refuses what no generation can keep to; ``Sampler/init(_:)`` checks the sampling.
        public func check() throws(DyadError) {
            guard maximumTokens >= 0 else {
                throw DyadError(
                    .usage, subject: "max-tokens", found: "\(maximumTokens)", expected: "0 or more",
                    remedy: "Choose a larger number.")
            }
        }
    }

    /// Why the text ended.
    public enum FinishReason: String, Sendable {
        /// A stop token came, or the receiver of the text wanted no more.
        case stop
        /// As many tokens as allowed, or as the context holds.
        case length
    }

    /// What was written.
    public struct Result: Sendable {
        /// The text, special tokens left out.
        public let text: String
        /// The ids written, without the stop token.
        public let tokenIDs: [Int32]
        /// Why it ended.
        public let finishReason: FinishReason
        /// Whether the context is full: nothing can follow. The context is never shifted.
        public let isContextFull: Bool
        /// Tokens of the prompt, the program's prefix not counted.
        public let promptTokens: Int
        /// Tokens of the prompt that were still in the cache.
        public let reusedTokens: Int
    }

    /// What runs.
    public let session: any TokenSession
    private let tokenizer: Tokenizer
    /// The tokens in the session's cache.
    private var cached: [Int32] = []

    /// Takes over `session`, which is emptied: let nothing else use it.
    public init(session: any TokenSession, tokenizer: Tokenizer) {
        self.session = session
        self.tokenizer = tokenizer
        session.reset()
    }

    /// Continues `prompt`.
    ///
    /// - Parameters:
    ///   - prompt: ids of the whole text or conversation so far; the program's prefix in front of it is dropped.
    ///   - options: limits and sampling.
    ///   - receive: is given every new piece of text, never half a character; false ends the text.
    /// - Throws: ``DyadError``: (usage) for a bad option, an empty prompt or an id outside the vocabulary; (failed) where the
    ///   prompt does not fit the context.
    public func generate(
        _ prompt: [Int32], options: Options = Options(), receive: (String) throws(DyadError) -> Bool = { _ in true }
    ) throws(DyadError) -> Result {
        try options.check()
        var sampler = try Sampler(options.sampling)
        let prefix = session.prefixTokens
        let dropped = prompt.starts(with: prefix) ? prefix.count : 0
        let prompt = Array(prompt.dropFirst(dropped))
        guard !prompt.isEmpty else { throw .emptyPrompt(prefix: dropped) }
        let stopIDs = options.stopIDs ?? Set(tokenizer.eosIDs)
        let reused = reuse(prompt)
        var logits = try append(Array(prompt[reused...]))

        var decoder = StreamingDecoder(tokenizer, skipSpecial: true)
        var (text, written): (String, [Int32]) = ("", [])
        var (reason, isContextFull) = (FinishReason.length, false)
        while written.count < options.maximumTokens {
            let token = sampler.next(logits, history: cached)
            if stopIDs.contains(token) {
                reason = .stop
                break
            }
            written.append(token)
            let piece = decoder.append(token)
            text += piece
            if !piece.isEmpty, !(try receive(piece)) {
                reason = .stop
                break
            }
            guard session.remainingTokens > 0 else {
                isContextFull = true
                break
            }
            if written.count < options.maximumTokens { logits = try append([token]) }
        }
        let rest = decoder.finish()
        text += rest
        if !rest.isEmpty { _ = try receive(rest) }
        return Result(
            text: text, tokenIDs: written, finishReason: reason, isContextFull: isContextFull,
            promptTokens: prompt.count, reusedTokens: reused)
    }

    /// Cuts the cache back to what it has in common with `prompt`, whose last token must be computed again for its logits.
    private func reuse(_ prompt: [Int32]) -> Int {
        let common = zip(cached, prompt.dropLast()).prefix { $0 == $1 }.count
        session.truncate(to: common)
        cached.removeSubrange(common...)
        return common
    }

    private func append(_ tokens: [Int32]) throws(DyadError) -> [Int32] {
        let logits = try session.extend(tokens)
        cached += tokens
        return logits
    }
}
