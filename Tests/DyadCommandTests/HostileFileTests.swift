import Foundation
import Testing

/// Damaged files through the command line: exit code 65 within a second, no crash. The libraries' own tests say more
/// about each; here a few of every kind stand for all.
@Suite("Hostile files", .serialized)
struct HostileFileTests {
    /// Refused, and without a long search first: half a minute is for the start of a process on a busy machine.
    private func expectRefused(_ outcome: Command.Outcome, sourceLocation: SourceLocation = #_sourceLocation) {
        expectFailure(outcome, 65, sourceLocation: sourceLocation)
        #expect(outcome.seconds < 30, sourceLocation: sourceLocation)
    }

    @Test(
        ".dyad files",
        arguments: [
            "empty", "truncated_in_data", "bit_flip_in_header", "graph_deep", "cyclic", "absurd_width", "scale_nan",
            "no_graph", "weight_scale_infinite",
        ])
    func programs(name: String) throws {
        let path = Place.tests + "DyadGraphTests/Fixtures/hostile/\(name).dyad"
        try #require(exists(path))
        expectRefused(try dyad("benchmark", path))
        expectRefused(try dyad("generate", path, "--prompt", "a"))
    }

    @Test(
        "tokenizers",
        arguments: [
            "truncated.json", "deep.json", "huge_id.json", "merge_cyclic.json", "not_utf8.json", "unigram.json",
        ])
    func tokenizers(name: String) throws {
        let folder = try Place.folder()
        try TinyModel.write(to: folder)
        let fixture = Place.tests + "DyadTokenizerTests/Fixtures/hostile/" + name
        try FileManager.default.removeItem(atPath: folder + "/tokenizer.json")
        try FileManager.default.copyItem(atPath: fixture, toPath: folder + "/tokenizer.json")
        try write("text", to: folder + "/text.txt")
        expectRefused(try dyad("tokenize", folder, "--file", folder + "/text.txt"))
    }

    @Test(
        "checkpoints",
        arguments: [
            "config_not_json", "config_layers_huge", "config_nan", "weights_cut", "tensor_missing", "tensor_too_wide",
            "index_leaves_the_folder", "not_gguf.gguf", "layers_huge.gguf", "rope_factors_zero.gguf",
        ])
    func checkpoints(name: String) throws {
        let path = Place.tests + "DyadCheckpointTests/Fixtures/hostile/" + name
        try #require(exists(path))
        let output = try Place.folder() + "/a.dyad"
        expectRefused(try dyad("quantize", path, "-o", output, "--json"))
        #expect(!exists(output))
    }

    @Test("a configuration far larger than any: refused for its size, before it is parsed")
    func largeConfiguration() throws {
        let folder = try Place.folder()
        try TinyModel.write(to: folder)
        let numbers = String(repeating: "0,", count: 5 << 20)
        try write("{\"x\": [\(numbers)0]}", to: folder + "/config.json")
        let outcome = try dyad("inspect", folder)
        expectFailure(outcome, 65, naming: "config.json", "bytes", "4194304")
    }

    @Test("GGUF and safetensors files that are none")
    func containers() throws {
        let folder = try Place.folder()
        for name in ["a.gguf", "a.safetensors", "a.dyad"] {
            try write("This is not what its name says, but text of some length.", to: folder + "/" + name)
            expectFailure(try dyad("inspect", folder + "/" + name), 65, naming: name)
        }
    }
}
