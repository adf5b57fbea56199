import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

@Suite struct RoundTripTests {
    /// Ids decoded one by one.
    static func streamed(_ tokenizer: Tokenizer, _ ids: [Int32], skipSpecial: Bool = false) -> [String] {
        var decoder = StreamingDecoder(tokenizer, skipSpecial: skipSpecial)
        return ids.map { decoder.append($0) } + [decoder.finish()]
    }

    @Test func byteLevelDecodesToWhatWasEncoded() throws {
        let tokenizer = try smallByteLevel()
        var random = Seeded(state: 1)
        for length in 0..<200 {
            let text = random.text(length)
            #expect(bytes(tokenizer.decode(tokenizer.encode(text, parseSpecial: false))) == bytes(text))
        }
    }

    @Test(.enabled(if: Place.exists(Place.smolLM2), "no SmolLM2 under .deps/models"))
    func smolLM2DecodesToWhatWasEncoded() throws {
        let tokenizer = try Real.smolLM2.get()
        // The vocabulary lacks 21 bytes, eight of which occur in UTF-8; Hugging Face's tokenizers drop them, too.
        let known = Set((UInt8(0)...255).filter { tokenizer.id(ofToken: ByteAlphabet.string(of: $0)) != nil })
        #expect(known.count == 235)
        var random = Seeded(state: 2)
        for length in 0..<200 {
            let scalars = random.text(length).unicodeScalars
            let text = String(
                String.UnicodeScalarView(scalars.filter { UTF8.encode($0)?.allSatisfy(known.contains) ?? false }))
            let ids = tokenizer.encode(text, parseSpecial: false)
            #expect(bytes(tokenizer.decode(ids)) == bytes(text))
            #expect(bytes(Self.streamed(tokenizer, ids).joined()) == bytes(text))
        }
    }

    @Test(.enabled(if: Place.exists(Place.tokenizers), "no ../shared/data/tokenizers"))
    func sentencePieceDecodesToWhatWasEncoded() throws {
        let tokenizer = try Real.gguf("llama-spm")
        var random = Seeded(state: 3)
        for length in 0..<200 {
            // SentencePiece writes spaces as U+2581, so that a text with one comes back with a space.
            let text = String(random.text(length).unicodeScalars.filter { $0 != "\u{2581}" })
            let ids = tokenizer.encode(text, parseSpecial: false)
            #expect(bytes(tokenizer.decode(ids)) == bytes(text))
            #expect(bytes(Self.streamed(tokenizer, ids).joined()) == bytes(text))
        }
    }

    @Test func streamedTextIsTheDecodedTextForAnyIds() throws {
        let tokenizer = try smallByteLevel()
        var random = Seeded(state: 4)
        for _ in 0..<500 {
            // Any bytes, mostly no UTF-8, with ids that do not exist.
            let ids = (0..<20).map { _ in Int32.random(in: -3..<270, using: &random) }
            let pieces = Self.streamed(tokenizer, ids)
            #expect(bytes(pieces.joined()) == bytes(tokenizer.decode(ids)))
        }
    }

    @Test func streamingHoldsBackHalfCharactersOnly() throws {
        let tokenizer = try smallByteLevel()
        let ids = tokenizer.encode("aé€👍z")
        let pieces = Self.streamed(tokenizer, ids)
        #expect(pieces == ["a", "", "é", "", "", "€", "", "", "", "👍", "z", ""])
        #expect(!pieces.joined().unicodeScalars.contains("\u{fffd}"))
        var decoder = StreamingDecoder(tokenizer)
        #expect(decoder.append(ids[1]) == "")
        #expect(decoder.finish() == "\u{fffd}")
    }

    @Test(.enabled(if: Place.exists(Place.tokenizers), "no ../shared/data/tokenizers"))
    func llamasFirstSpaceIsDroppedOnceInStreams() throws {
        let tokenizer = try Real.gguf("llama-spm")
        let ids = tokenizer.encode("Hello world", addSpecial: true)
        #expect(ids == [1, 15043, 3186])
        #expect(Self.streamed(tokenizer, ids, skipSpecial: true) == ["", "Hello", " world", ""])
        #expect(tokenizer.decode(ids) == "<s> Hello world")
    }

    @Test func specialTokensInTextAreTextUnlessParsed() throws {
        let tokenizer = try smallByteLevel()
        let end = try #require(tokenizer.id(ofToken: "<end>"))
        #expect(tokenizer.encode("aa<end>").last == end)
        let plain = tokenizer.encode("aa<end>", parseSpecial: false)
        #expect(!plain.contains(end))
        #expect(tokenizer.decode(plain) == "aa<end>")
        #expect(tokenizer.decode([end], skipSpecial: true) == "")
        #expect(tokenizer.isSpecial(end) && !tokenizer.isSpecial(0))
    }

    @Test func documentsReadBackToTheSameTokenizer() throws {
        var tokenizers = [try smallByteLevel()]
        if Place.exists(Place.smolLM2) { tokenizers.append(try Real.smolLM2.get()) }
        if Place.exists(Place.tokenizers) {
            tokenizers += [try Real.neox.get(), try Real.gguf("llama-spm"), try Real.gguf("phi-3")]
        }
        var random = Seeded(state: 5)
        let texts = (0..<20).map { _ in random.text(50) } + ["Hello  world 123", "<s>a</s> <|endoftext|>"]
        for tokenizer in tokenizers {
            let text = tokenizer.json().text()
            let copy = try Tokenizer(document: JSONValue.parse(text), file: "copy")
            #expect(copy.json().text() == text)
            #expect(copy.vocabularySize == tokenizer.vocabularySize)
            #expect(copy.bosID == tokenizer.bosID && copy.eosIDs == tokenizer.eosIDs)
            #expect(copy.chatTemplateSource == tokenizer.chatTemplateSource)
            for text in texts {
                let ids = tokenizer.encode(text, addSpecial: true)
                #expect(copy.encode(text, addSpecial: true) == ids)
                #expect(bytes(copy.decode(ids)) == bytes(tokenizer.decode(ids)))
            }
        }
    }
}
