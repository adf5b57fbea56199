import DyadFormats
import Foundation

/// Messages of a conversation, in their order.
public struct Conversation: Sendable, Equatable {
    /// The messages, at least one.
    public var messages: [ChatMessage]

    /// Templates that write the date get this one where results must not change from day to day (2026-01-01, noon).
    public static let date = Date(timeIntervalSince1970: 1_767_268_800)

    /// Creates one.
    public init(_ messages: [ChatMessage]) { self.messages = messages }

    /// Whether the last message is the assistant's; else an answer is wanted.
    public var isAnswered: Bool { messages.last?.role == "assistant" }

    /// Reads `messages`: objects with a string `role`, and whatever else the model's template knows.
    ///
    /// - Throws: ``DyadError``: `malformed`, naming the field.
    public init(_ row: JSONField) throws(DyadError) {
        let list = try row.member("messages")
        var messages: [ChatMessage] = []
        for field in try list.elements() {
            _ = try field.member("role").string()
            messages.append(ChatMessage(fields: try field.object()))
        }
        guard !messages.isEmpty else {
            throw list.failure(.malformed, found: "no message", expected: "at least one")
        }
        self.messages = messages
    }
}

extension ChatMessage {
    /// Who speaks: `system`, `user`, `assistant` or another name that the template knows.
    public var role: String { fields["role"]?.string ?? "" }
}

/// A conversation as a model sees it.
public struct ConversationTokens: Sendable, Equatable {
    /// The ids of all that the chat template wrote; behind a message that is not the assistant's also the beginning of an answer.
    public var ids: [Int32]
    /// Which of ``ids`` the assistant said, message by message, each with the token that ends the turn.
    public var answers: [Range<Int>]
    /// Whether the assistant spoke last; else an answer is wanted.
    public var isAnswered: Bool

    /// The same behind a constant prefix, which a conversation that begins with it drops, as a prompt does.
    public func dropping(prefix: [Int32]) -> ConversationTokens {
        guard !prefix.isEmpty, ids.count > prefix.count, ids.starts(with: prefix) else { return self }
        let answers = answers.map { range in
            max(range.lowerBound - prefix.count, 0)..<max(range.upperBound - prefix.count, 0)
        }
        return ConversationTokens(ids: Array(ids.dropFirst(prefix.count)), answers: answers, isAnswered: isAnswered)
    }
}

extension Tokenizer {
    /// The tokens of a conversation, by the model's own template; what the messages say becomes no special token.
    ///
    /// A message of the assistant counts as answer where the template writes the conversation from front to back: what it wrote up to
    /// there must be what it writes for the messages before.
    ///
    /// - Throws: ``DyadError``: as ``renderChat(_:addGenerationPrompt:variables:now:)``; `unsupported` where the last message is the
    ///   assistant's and the template writes another text in front of it.
    /// - Complexity: one rendering for each message of the assistant.
    public func tokens(of conversation: Conversation) throws(DyadError) -> ConversationTokens {
        let messages = conversation.messages
        func rendered(_ messages: some Sequence<ChatMessage>, asks: Bool) throws(DyadError) -> [Int32] {
            encode(try renderChat(Array(messages), addGenerationPrompt: asks, now: Conversation.date))
        }
        var result = ConversationTokens(
            ids: try rendered(messages, asks: !conversation.isAnswered), answers: [],
            isAnswered: conversation.isAnswered)
        for (index, message) in messages.enumerated() where index > 0 && message.role == "assistant" {
            let isLast = index == messages.count - 1
            let before = try rendered(messages[..<index], asks: true)
            let after = isLast ? result.ids : try rendered(messages[...index], asks: false)
            guard result.ids.starts(with: before), after.count > before.count, result.ids.starts(with: after) else {
                guard isLast else { continue }
                throw DyadError(
                    .unsupported, file: parts.chatTemplateFile ?? parts.file, subject: "chat template",
                    found: "another text in front of an answer than where one is asked for",
                    expected: "a template that writes conversations from front to back",
                    remedy: "Leave conversations that end with the assistant out for this model.")
            }
            let end = after[before.count...].firstIndex { eosIDs.contains($0) }.map { $0 + 1 } ?? after.count
            result.answers.append(before.count..<end)
        }
        return result
    }
}
