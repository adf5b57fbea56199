import DyadFormats
import Foundation
import Testing

private let shared =
    ProcessInfo.processInfo.environment["DYAD_SHARED"]
    ?? URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path + "/../shared"
private let tokenizers = shared + "/data/tokenizers"

@Suite(.enabled(if: FileKind(tokenizers) == .folder, "needs ../shared/data/tokenizers"))
struct RealFileTests {
    @Test(arguments: [("gpt-2", 50257), ("gpt-neox", 50432), ("llama-spm", 32000), ("phi-3", 32064)])
    func vocabulariesOfRealModelsAreRead(name: String, expected: Int) throws {
        let file = try GGUFFile(path: "\(tokenizers)/gguf_vocab/ggml-vocab-\(name).gguf")
        let tokens = try #require(try file.array("tokenizer.ggml.tokens")).strings()
        #expect(tokens.count == expected && Set(tokens.map { ExactString($0) }).count == expected)
        #expect(try file.array("tokenizer.ggml.token_type")?.integers().count == expected)
        #expect(file.names.isEmpty)
    }

    @Test func aTokenizerOfMegabytesIsParsedAndWrittenWithoutLossInWellUnderASecond() throws {
        let path = tokenizers + "/smollm2/tokenizer.from_hypertensor.json"
        let start = ContinuousClock.now
        let value = try JSONValue.read(path)
        #expect(ContinuousClock.now - start < .seconds(10))
        #expect(value["model"]?["vocab"]?.object?.count == 49152)
        #expect(try JSONValue.parse(value.text()) == value)
    }
}
