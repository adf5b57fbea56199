import DyadCheckpoint
import DyadEvaluation
import DyadFormats
import DyadTensor
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
        let first_ids: [Int32]
        let window: Int
        let window_mean_nll: [Double]
        let logits_window: Int
        let logits: [Position]
    }

    @Test("has transformers' perplexity on each of the first two windows of wiki.test.raw, and its logits")
    func windows() throws {
        let data = try Data(
            contentsOf: repositoryRoot.appendingPathComponent("Tests/Fixtures/transformers/smollm2.json"))
        let golden = try JSONDecoder().decode(Golden.self, from: data)
        let decoder = try Decoder(checkpoint: try Checkpoint.open(smolLM2Path))
        let model = FloatModel(decoder, name: "float")
        let result = try Perplexity(context: golden.window).measure([model], tokens: golden.first_ids)[0]
        #expect(result.windows == 2)
        for (found, expected) in zip(result.windowMeans, golden.window_mean_nll) {
            // 0.1 % of perplexity is 0.001 nats; what is found is a hundred times nearer.
            #expect(abs(found - expected) < 1e-5)
        }
        let start = golden.logits_window * golden.window
        let window = Array(golden.first_ids[start..<start + golden.window])
        try model.evaluate(window: window) { range, rows in
            for golden in golden.logits where range.contains(golden.position) {
                let first = (golden.position - range.lowerBound) * model.vocabularySize
                let row = Array(rows[first..<first + model.vocabularySize])
                for (id, logit) in zip(golden.ids, golden.logits) { #expect(abs(row[id] - logit) < 2e-3) }
                #expect(row.firstIndex(of: row.max() ?? 0) == golden.ids[0])
            }
        }
    }
}
