import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTestSupport
import DyadTokenizer
import Testing

@Suite struct GeneratorTests {
    private let tokenizer: Tokenizer
    private let runtime: Runtime

    init() throws {
        // One token a byte, and an end.
        var (vocabulary, merges) = (JSONObject(), [JSONValue]())
        for byte in 33...126 { _ = vocabulary.append(String(UnicodeScalar(UInt8(byte))), .integer(byte - 33)) }
        merges = []
        _ = vocabulary.append("<end>", .integer(94))
        let json: JSONValue = [
            "model": ["type": "BPE", "vocab": .object(vocabulary), "merges": .array(merges)],
            "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true],
            "decoder": ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true],
            "added_tokens": [
                [
                    "id": 94, "content": "<end>", "special": true, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false,
                ]
            ],
        ]
        tokenizer = try Tokenizer(json: json, configuration: ["eos_token": "<end>"], file: "test")
        var shape = DecoderShape()
        shape.vocabulary = 95
        shape.maximumContext = 40
        shape.prefix = 1
        shape.attention = .late16
        runtime = try Runtime(program: shape.program(seed: 9), options: .init(threads: 1))
    }

    private func generator() throws -> Generator {
        Generator(session: try runtime.makeSession(), tokenizer: tokenizer)
    }

    @Test func greedyTextIsWhatStepByStepDecodingGives() throws {
        let prompt = tokenizer.encode("Hello")
        let session = try runtime.makeSession()
        var (logits, expected) = (try session.prefill(prompt), [Int32]())
        for _ in 0..<10 {
            expected.append(Sampler.greedy(logits))
            logits = try session.decode(expected[expected.count - 1])
        }
        var pieces = ""
        let result = try generator().generate(prompt, options: .init(maximumTokens: 10, stopIDs: [])) { piece in
            pieces += piece
            return true
        }
        #expect(result.tokenIDs == expected)
        #expect(result.finishReason == .length && !result.isContextFull)
        #expect(result.text == tokenizer.decode(expected, skipSpecial: true))
        #expect(pieces == result.text)
        #expect(result.promptTokens == 5)
    }

    @Test func aStopTokenEndsTheTextAndIsNotPartOfIt() throws {
        let prompt = tokenizer.encode("Hello")
        let all = try generator().generate(prompt, options: .init(maximumTokens: 10, stopIDs: [])).tokenIDs
        let stop = all[4]
        let result = try generator().generate(prompt, options: .init(maximumTokens: 10, stopIDs: [stop]))
        #expect(result.tokenIDs == Array(all.prefix { $0 != stop }))
        #expect(result.finishReason == .stop)
    }

    @Test func theContextsEndEndsTheText() throws {
        let result = try generator().generate(
            tokenizer.encode("Hello"), options: .init(maximumTokens: 1000, stopIDs: []))
        #expect(result.finishReason == .length && result.isContextFull)
        // 40 positions, one of them the prefix, five the prompt; the last token written needs no position.
        #expect(result.tokenIDs.count == 40 - 1 - 5 + 1)
    }

    @Test func theNextTurnReusesTheCacheAndGivesTheSameBits() throws {
        let generator = try generator()
        let options = Generator.Options(maximumTokens: 4, stopIDs: [])
        let first = try generator.generate(tokenizer.encode("Hello"), options: options)
        let conversation = tokenizer.encode("Hello") + first.tokenIDs + tokenizer.encode("more")
        let second = try generator.generate(conversation, options: options)
        #expect(second.reusedTokens == 5 + 3)
        #expect(second.tokenIDs == (try self.generator().generate(conversation, options: options).tokenIDs))
        // A different conversation keeps only what is common.
        let other = try generator.generate(tokenizer.encode("Helium"), options: options)
        #expect(other.reusedTokens == 3)
        #expect(
            other.tokenIDs == (try self.generator().generate(tokenizer.encode("Helium"), options: options).tokenIDs))
    }

    @Test func theReceiverCanEndTheText() throws {
        let result = try generator().generate(tokenizer.encode("Hello"), options: .init(stopIDs: [])) { _ in false }
        #expect(result.finishReason == .stop)
        #expect(result.tokenIDs.count == 1)
    }

    @Test func aPromptOfThePrefixAloneIsNamedAsThat() throws {
        let generator = try generator()
        let prefix = generator.session.prefixTokens
        #expect(prefix.count == 1)
        for (prompt, found) in [(prefix, "only the 1 tokens of the program's prefix"), ([], "no token")] {
            let error = #expect(throws: DyadError.self) { try generator.generate(prompt) }
            #expect(error?.reason == .usage && error?.found == found)
        }
        // What failed left the conversation as it was.
        #expect(try generator.generate(tokenizer.encode("Hello"), options: .init(maximumTokens: 1)).promptTokens == 5)
    }

    @Test func aPromptThatDoesNotFitIsAnError() throws {
        let error = #expect(throws: DyadError.self) {
            try generator().generate([Int32](repeating: 5, count: 40))
        }
        #expect(error?.reason == .failed)
    }
}
