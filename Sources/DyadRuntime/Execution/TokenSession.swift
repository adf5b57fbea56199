import DyadFormats

/// What ``Generator`` writes with: something that holds the tokens of a conversation and says what may follow them.
///
/// An integer program's ``Session`` is one; the float model that it was made from can be another, so that both answer
/// the same prompt in the same way.
public protocol TokenSession: AnyObject {
    /// The constant prefix in front of every sequence; a prompt that begins with it drops it.
    var prefixTokens: [Int32] { get }
    /// Tokens that still fit.
    var remainingTokens: Int { get }
    /// Forgets all tokens.
    func reset()
    /// Forgets all but the first `count` tokens.
    func truncate(to count: Int)
    /// Appends `tokens` and returns the logits behind the last, `[vocabulary]` at scale 2⁻¹⁶.
    func extend(_ tokens: [Int32]) throws(DyadError) -> [Int32]
}

extension Session: TokenSession {
    /// The tokens of the program's constant prefix.
    public var prefixTokens: [Int32] { runtime.prefixTokens }
}

extension DyadError {
    /// There is nothing to run.
    /// - Parameter prefix: tokens of the constant prefix that were given and dropped; a prompt of these alone is empty, too.
    public static func emptyPrompt(prefix: Int = 0) -> DyadError {
        DyadError(
            .usage, subject: "prompt",
            found: prefix == 0 ? "no token" : "only the \(prefix) tokens of the program's prefix",
            expected: "at least one token" + (prefix == 0 ? "" : " more"), remedy: "Give a longer prompt.")
    }
}
