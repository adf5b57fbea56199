import DyadFormats
import DyadTokenizer
import Foundation

/// The fixed parts of a model's conversations as token ids: what its chat template writes around requests and answers.
///
/// With them a model writes whole conversations by itself: given everything up to the user's turn it writes the request,
/// given what follows the request it writes the answer (Magpie, Xu et al. 2024, arXiv 2406.08464).
public struct ConversationScript: Equatable, Sendable {
    /// What stands before the first request, system message included.
    public var opening: [Int32]
    /// What stands between a request and its answer.
    public var afterRequest: [Int32]
    /// What stands between an answer and the next request.
    public var afterAnswer: [Int32]
    /// Tokens with which the model ends a turn.
    public var ends: Set<Int32>

    /// Creates one from its parts.
    public init(opening: [Int32], afterRequest: [Int32], afterAnswer: [Int32], ends: Set<Int32>) {
        (self.opening, self.afterRequest, self.afterAnswer) = (opening, afterRequest, afterAnswer)
        self.ends = ends
    }

    /// Stand where the contents do; no template writes them.
    private static let marks = ["dyad:request", "dyad:answer", "dyad:next"]
    /// The parts of the tokenizer's own template; nil for a model without one, or whose template does not write a plain
    /// conversation of user and assistant from front to back.
    public init?(tokenizer: Tokenizer) {
        let messages = zip(["user", "assistant", "user"], Self.marks).map { ChatMessage(role: $0, content: $1) }
        guard tokenizer.chatTemplateSource != nil,
            let text = try? tokenizer.renderChat(messages, now: Conversation.date).text
        else { return nil }
        var (parts, rest): ([[Int32]], Substring) = ([], text[...])
        for mark in Self.marks {
            guard let place = rest.range(of: mark) else { return nil }
            parts.append(tokenizer.encode(String(rest[..<place.lowerBound]), parseSpecial: true))
            rest = rest[place.upperBound...]
        }
        // Of the two places behind a request the last counts: there the template expects an answer to be written.
        let afterRequest = tokenizer.encode(String(rest), parseSpecial: true)
        guard !parts[0].isEmpty, !afterRequest.isEmpty, !parts[2].isEmpty else { return nil }
        let ends = [afterRequest[0], parts[2][0]].filter(tokenizer.isSpecial) + tokenizer.eosIDs
        self.init(opening: parts[0], afterRequest: afterRequest, afterAnswer: parts[2], ends: Set(ends))
    }
}

/// Says of one sequence which tokens the script gives and which the model writes.
struct ConversationWriter {
    private let script: ConversationScript
    private var given: ArraySlice<Int32>
    private var isAnswering = false
    /// Tokens that the model has written of its turn.
    private var written = 0

    /// Most tokens of a turn; a small model does not always find its end.
    static let longestRequest = 96, longestAnswer = 224

    init(_ script: ConversationScript) {
        self.script = script
        given = script.opening[...]
    }

    /// The next token, nil where the model writes it; `last` is the one before.
    mutating func next(after last: Int32?) -> Int32? {
        if let token = given.popFirst() { return token }
        if written > 0, let last {
            let isEnd = script.ends.contains(last)
            if isEnd || written >= (isAnswering ? Self.longestAnswer : Self.longestRequest) {
                let text = isAnswering ? script.afterAnswer : script.afterRequest
                given = text.dropFirst(isEnd && last == text.first ? 1 : 0)
                (isAnswering, written) = (!isAnswering, 0)
                if let token = given.popFirst() { return token }
            }
        }
        written += 1
        return nil
    }
}
