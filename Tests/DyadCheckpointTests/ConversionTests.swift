import DyadCheckpoint
import DyadFormats
import Foundation
import Testing

private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path
private let shared = ProcessInfo.processInfo.environment["DYAD_SHARED"] ?? root + "/../shared"
private let model = shared + "/data/models/stories260K.bin"
private let python = root + "/.deps/python/bin/python"

@Suite(
    .enabled(
        if: FileKind(model) == .file && FileKind(python) == .file,
        "needs stories260K.bin in ../shared and Python in .deps"))
struct ConversionTests {
    @Test func llama2cBecomesACheckpointWithRotaryRowsInHalfSplitOrder() throws {
        try withFolder { folder in
            let process = Process()
            process.executableURL = URL(fileURLWithPath: python)
            process.arguments = [
                root + "/scripts/convert_llama2c.py", model, shared + "/data/models/tok512.bin", folder + "/stories",
            ]
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)

            let checkpoint = try Checkpoint.open(folder + "/stories")
            let configuration = checkpoint.configuration
            #expect(configuration.hiddenSize == 64 && configuration.layerCount == 5)
            #expect(configuration.vocabularySize == 512 && configuration.tieWordEmbeddings)
            guard case .folder(let place) = try checkpoint.tokenizerSource else {
                Issue.record("the folder has a tokenizer")
                return
            }
            #expect(try JSONValue.read(place + "/tokenizer.json")["model"]?["vocab"]?.object?.count == 512)

            // llama2.c: a header of 7 integers, the embedding, all input norms, then wq, layer by layer.
            let mapped = try FileBytes(model)
            func stored(_ offset: Int, _ count: Int) -> [Float] {
                withExtendedLifetime(mapped) {
                    (offset..<offset + count).map {
                        mapped.bytes.loadUnaligned(fromByteOffset: 28 + 4 * $0, as: Float.self)
                    }
                }
            }
            #expect(try checkpoint.floats("model.embed_tokens.weight") == stored(0, 512 * 64))
            let layer = 3
            let start = 512 * 64 + 5 * 64 + layer * 64 * 64
            let query = try checkpoint.floats("model.layers.\(layer).self_attn.q_proj.weight")
            for row in 0..<64 {
                let (head, side, pair) = (row / 8, row % 8 / 4, row % 4)
                let source = head * 8 + 2 * pair + side
                #expect(Array(query[row * 64..<row * 64 + 64]) == stored(start + source * 64, 64))
            }
        }
    }
}
