import DyadFormats
import Testing

@testable import DyadTokenizer

@Suite struct ConversationTests {
    private let messages = [
        ChatMessage(role: "system", content: "Be brief."), ChatMessage(role: "user", content: "Hi!"),
        ChatMessage(role: "assistant", content: "Hello <|im_end|> there."), ChatMessage(role: "user", content: "And?"),
        ChatMessage(role: "assistant", content: "Nothing."),
    ]

    @Test(.enabled(if: Place.exists(Place.smolLM2), "no SmolLM2 under .deps/models"))
    func answersAreWhatTheAssistantSaysWithTheEndOfEachTurn() throws {
        let tokenizer = try Real.smolLM2.get()
        let tokens = try tokenizer.tokens(of: Conversation(messages))
        #expect(tokens.ids == tokenizer.encode(try tokenizer.renderChat(messages, addGenerationPrompt: false)))
        // What the message spells is text: the turn does not end there.
        #expect(
            tokens.answers.map { tokenizer.decode(Array(tokens.ids[$0])) } == [
                "Hello <|im_end|> there.<|im_end|>", "Nothing.<|im_end|>",
            ])
        #expect(tokens.answers.allSatisfy { tokenizer.eosIDs.contains(tokens.ids[$0.upperBound - 1]) })

        let asking = try tokenizer.tokens(of: Conversation(Array(messages.dropLast())))
        #expect(asking.ids == tokenizer.encode(try tokenizer.renderChat(Array(messages.dropLast()))))
        #expect(asking.answers == Array(tokens.answers.prefix(1)))

        let first = Array(tokens.ids.prefix(1))
        let dropped = tokens.dropping(prefix: first)
        #expect(dropped.ids == Array(tokens.ids.dropFirst()))
        #expect(dropped.answers.map { Array(dropped.ids[$0]) } == tokens.answers.map { Array(tokens.ids[$0]) })
        #expect(tokens.dropping(prefix: [first[0] + 1]) == tokens)
    }

    @Test(arguments: [
        (#"{}"#, "messages"), (#"{"messages": []}"#, "messages"), (#"{"messages": [{"content": "a"}]}"#, "role"),
        (#"{"messages": ["a"]}"#, "messages[0]"), (#"{"messages": {"role": "user"}}"#, "messages"),
        (#"{"messages": [{"role": 3}]}"#, "role"),
    ])
    func whatIsNoConversationIsRefusedByField(text: String, field: String) throws {
        let value = try JSONValue.parse(text, file: "x.jsonl")
        let error = #expect(throws: DyadError.self) { try Conversation(JSONField(value, file: "x.jsonl")) }
        #expect(error?.reason == .malformed && error?.subject?.contains(field) == true)
    }
}
