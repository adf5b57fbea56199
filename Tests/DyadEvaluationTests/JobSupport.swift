import DyadFormats
import DyadTensor
import DyadTransformer
import Foundation
import Testing

/// Calls `body` with a new folder, whose name has a space, and removes it.
func withFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "dyad jobs \(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}

extension URL {
    /// The path as the file system has it.
    var plainPath: String { path(percentEncoded: false) }
}

/// Puts a tiny model of transformers' own making (32 tokens, 2 layers), and a tokenizer for it, into `folder`.
func makeTinyCheckpoint(_ fixture: String = "llama-gqa-untied", in folder: URL) throws -> String {
    let model = folder.appending(path: "model")
    try FileManager.default.copyItem(
        at: repositoryRoot.appending(path: "Tests/Fixtures/transformers").appending(path: fixture), to: model)
    let tokens = ["<unk>", "<s>", "</s>", "Ġ", "Ċ"] + "abcdefghijklmnopqrstuvwxyz.".map(String.init)
    var vocabulary = JSONObject()
    for (id, token) in tokens.enumerated() { vocabulary.append(token, .integer(id)) }
    let special: [JSONValue] = tokens.prefix(3).enumerated().map { id, token in
        ["id": .integer(id), "content": .string(token), "special": true]
    }
    let tokenizer: JSONValue = [
        "added_tokens": .array(special), "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false],
        "decoder": ["type": "ByteLevel"],
        "model": ["type": "BPE", "vocab": .object(vocabulary), "merges": .array([])],
    ]
    let configuration: JSONValue = ["bos_token": "<s>", "eos_token": "</s>"]
    try Data(tokenizer.text().utf8).write(to: model.appending(path: "tokenizer.json"))
    try Data(configuration.text().utf8).write(to: model.appending(path: "tokenizer_config.json"))
    return model.plainPath
}

/// The likeliest continuation of `prompt`, token by token.
func greedyTokens(_ decoder: Decoder, prompt: [Int32], count: Int) throws -> [Int32] {
    let cache = try KeyValueCache(decoder: decoder, batch: 1, capacity: prompt.count + count)
    var written: [Int32] = []
    var input = prompt
    while written.count < count {
        let logits = try withNoGrad { try decoder.forward([input], cache: cache) }
        let row = try logits.narrow(1, start: input.count - 1, length: 1).toArray(Float.self)
        let best = try #require(row.indices.max { row[$0] < row[$1] })
        written.append(Int32(best))
        input = [Int32(best)]
    }
    return written
}
