import DyadCheckpoint
import DyadEvaluation
import DyadJobs
import DyadTargets
import DyadFormats
import DyadTensor
import DyadTokenizer
import DyadTransformer
import Foundation
import Testing

/// Compares with transformers on the same dequantised weights (scripts/fixtures/transformers_reference.py smollm2).
@Suite("SmolLM2 in float", .needsTorch, .needsSmolLM2)
struct SmolLM2Tests {
    struct Golden: Decodable {
        struct Position: Decodable {
            let position: Int
            let ids: [Int]
            let logits: [Float]
        }
        let firstIds: [Int32]
        let idsSha256: String
        let window: Int
        let windows: Int
        let perplexity: Double
        let windowMeanNll: [Double]
        let logitsWindow: Int
        let logits: [Position]

        init() throws {
            let file = repositoryRoot.appendingPathComponent("Tests/Fixtures/transformers/smollm2.json")
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            self = try decoder.decode(Golden.self, from: try Data(contentsOf: file))
        }
    }

    /// Hands on a model's logits and keeps the rows of some positions of one window.
    final class Spy: LanguageModel {
        let model: FloatModel
        let window: [Int32]
        let positions: Set<Int>
        var rows: [Int: [Float]] = [:]
        var name: String { model.name }
        var vocabularySize: Int { model.vocabularySize }

        init(_ model: FloatModel, window: [Int32], positions: Set<Int>) {
            (self.model, self.window, self.positions) = (model, window, positions)
        }

        func evaluate(window: [Int32], _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void) throws {
            try model.evaluate(window: window) { range, logits in
                for position in positions where window == self.window && range.contains(position) {
                    let first = (position - range.lowerBound) * vocabularySize
                    rows[position] = Array(logits[first..<first + vocabularySize])
                }
                try body(range, logits)
            }
        }
    }

    @Test("has transformers' perplexity on each of the first two windows of wiki.test.raw, and its logits")
    func windows() throws {
        let golden = try Golden()
        let decoder = try Decoder(checkpoint: try Checkpoint.open(smolLM2Path))
        let start = golden.logitsWindow * golden.window
        let spy = Spy(
            FloatModel(decoder, name: "float"), window: Array(golden.firstIds[start..<start + golden.window]),
            positions: Set(golden.logits.map(\.position)))
        let result = try Perplexity(context: golden.window).measure([spy], tokens: golden.firstIds)[0]
        #expect(result.windows == 2)
        for (found, expected) in zip(result.windowMeans, golden.windowMeanNll) {
            // 0.1 % of perplexity is 0.001 nats; what is found is a hundred times nearer.
            #expect(abs(found - expected) < 1e-5)
        }
        for golden in golden.logits {
            let row = try #require(spy.rows[golden.position])
            for (id, logit) in zip(golden.ids, golden.logits) { #expect(abs(row[id] - logit) < 2e-3) }
            #expect(row.firstIndex(of: row.max() ?? 0) == golden.ids[0])
        }
    }

    /// Minutes of work, so only on demand: DYAD_ACCURACY=1 (`make accuracy`).
    @Test(
        "has transformers' perplexity on 24 windows, tokenised by its own tokenizer",
        .enabled(if: ProcessInfo.processInfo.environment["DYAD_ACCURACY"] != nil, "DYAD_ACCURACY is not set"),
        .enabled(if: FileManager.default.fileExists(atPath: wikiTestPath), "no wiki.test.raw in the shared data"))
    func perplexity() throws {
        let golden = try Golden()
        let checkpoint = try Checkpoint.open(smolLM2Path)
        guard case .gguf(let file) = try checkpoint.tokenizerSource else {
            Issue.record("a GGUF file holds its tokenizer")
            return
        }
        let text = try String(contentsOfFile: wikiTestPath, encoding: .utf8)
        let tokens = try Tokenizer(gguf: file).encode(text, parseSpecial: false)
        let used = Array(tokens.prefix(golden.window * golden.windows))
        let json = "[" + used.map { "\($0)" }.joined(separator: ", ") + "]"
        #expect(Array(json.utf8).withUnsafeBytes { SHA256.hexDigest(of: $0) } == golden.idsSha256)
        let model = FloatModel(try Decoder(checkpoint: checkpoint), name: "float")
        let result = try Perplexity(context: golden.window).measure([model], tokens: used)[0]
        #expect(result.windows == golden.windows)
        #expect(abs(result.perplexity / golden.perplexity - 1) < 1e-3)
    }
}
