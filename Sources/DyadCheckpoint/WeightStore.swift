import DyadFormats

/// Where the tensors of a checkpoint are; addressed by canonical names.
protocol WeightStore: Sendable {
    /// The file that holds (or should hold) a tensor, for errors.
    func file(of name: String) -> String
    /// The shape of a tensor, outermost dimension first; nil if it is not there. Throws if its elements are no floats.
    func shape(of name: String) throws(DyadError) -> [Int]?
    /// The elements in the canonical layout.
    func floats(_ name: String) throws(DyadError) -> [Float]
    /// Where the elements are, if they are plain floats in the canonical layout.
    func view(_ name: String) throws(DyadError) -> TensorView?
    /// The names of all tensors, as the files have them.
    var names: [String] { get }
    /// What the files call a tensor; nil if they cannot have it.
    func storedName(of name: String) -> String?
    /// The file with a tensor of ``names``, for errors.
    func fileOfStored(_ name: String) -> String
    /// Whether a tensor of ``names`` belongs to what the configuration describes. Others are left out, as the
    /// reference leaves them out.
    func isPartOfModel(_ name: String) -> Bool
    /// The layer of a tensor of ``names``.
    func layer(of storedName: String) -> Int?
    /// Whether a tensor of ``names`` consists of zeros. Reads it.
    func isZero(_ storedName: String) throws(DyadError) -> Bool
    /// A text with the names of config.json's fields, in the words of the model's own configuration.
    func field(_ text: String) -> String
    /// Adds everything that determines the model's function to a digest.
    func digest(into digest: inout SHA256) throws(DyadError)
}

/// One or more safetensors files.
struct SafetensorsStore: WeightStore {
    /// `config.json`, then the index if there is one.
    let documents: [FileBytes]
    /// In the order of their names.
    let shards: [SafetensorsFile]
    /// Index into ``shards`` by tensor name.
    let shardOf: [String: Int]

    func file(of name: String) -> String {
        let document = documents.last?.path ?? ""
        return shardOf[name].map { shards[$0].file.path }
            ?? (shards.count == 1 ? shards[0].file.path : document)
    }

    private func find(_ name: String) throws(DyadError) -> TensorView? {
        guard let shard = shardOf[name] else { return nil }
        let view = try shards[shard].tensor(name)
        guard GGUFTensorType(view.type) != nil else {
            throw DyadError(
                .unsupported, file: shards[shard].file.path, subject: name,
                found: "elements of type \(view.type.rawValue)", expected: "F64, F32, F16 or BF16",
                remedy: "Dyad starts from float checkpoints: use the one that is not quantised.")
        }
        return view
    }

    func shape(of name: String) throws(DyadError) -> [Int]? { try find(name)?.shape }

    func floats(_ name: String) throws(DyadError) -> [Float] { try find(name)?.floats() ?? [] }

    func view(_ name: String) throws(DyadError) -> TensorView? {
        guard let view = try find(name), view.type != .float64 else { return nil }
        return view
    }

    var names: [String] { shards.flatMap { $0.names } }

    func storedName(of name: String) -> String? { name }

    func fileOfStored(_ name: String) -> String { file(of: name) }

    func isPartOfModel(_ name: String) -> Bool {
        // The last is a buffer that old files keep, worked out from the configuration; a head beside tied embeddings
        // is the embedding (Agreement).
        (name.hasPrefix("model.") || name.hasPrefix("lm_head.")) && name != "lm_head.weight"
            && !name.hasSuffix("rotary_emb.inv_freq")
    }

    func layer(of storedName: String) -> Int? { Agreement.layer(of: storedName) }

    func isZero(_ storedName: String) throws(DyadError) -> Bool { try floats(storedName).allSatisfy { $0 == 0 } }

    func field(_ text: String) -> String { text }

    func digest(into digest: inout SHA256) throws(DyadError) {
        for document in documents {
            digest.update("\(document.count)\n")
            withExtendedLifetime(document) { digest.update(document.bytes) }
        }
        for shard in shards {
            digest.update("\(shard.file.count)\n")
            try shard.file.digest(into: &digest)
        }
    }
}

/// A GGUF file.
struct GGUFStore: WeightStore {
    let gguf: GGUFFile
    /// Heads of the tensors whose rows are interleaved, by canonical name's ending; empty where none are.
    let interleavedHeads: [String: Int]

    init(_ gguf: GGUFFile, _ configuration: DecoderConfiguration) throws(DyadError) {
        self.gguf = gguf
        let (queries, keys) = (configuration.headCount, configuration.keyValueHeadCount)
        interleavedHeads =
            try Family(gguf: gguf).interleavedInGGUF
            ? ["q_proj.weight": queries, "q_proj.bias": queries, "k_proj.weight": keys, "k_proj.bias": keys] : [:]
    }

    private func heads(_ name: String) -> Int? {
        interleavedHeads.isEmpty ? nil : interleavedHeads[name.split(separator: ".").suffix(2).joined(separator: ".")]
    }

    private func find(_ name: String) throws(DyadError) -> GGUFTensor? {
        guard let stored = Family.ggufName(of: name), gguf.contains(stored) else { return nil }
        return try gguf.tensor(stored)
    }

    func file(of name: String) -> String { gguf.path(of: Family.ggufName(of: name) ?? "") }

    func shape(of name: String) throws(DyadError) -> [Int]? { try find(name)?.shape }

    func floats(_ name: String) throws(DyadError) -> [Float] {
        guard let tensor = try find(name) else { return [] }
        let floats = try tensor.floats()
        guard let heads = heads(name), let rows = tensor.shape.first else { return floats }
        return halfSplit(floats, rows: rows, heads: heads)
    }

    func view(_ name: String) throws(DyadError) -> TensorView? {
        guard heads(name) == nil, let tensor = try find(name), let type = tensor.type.elementType, type != .float64
        else { return nil }
        return TensorView(name: name, type: type, shape: tensor.shape, file: tensor.file, range: tensor.range)
    }

    var names: [String] { gguf.names }

    func storedName(of name: String) -> String? { Family.ggufName(of: name) }

    func fileOfStored(_ name: String) -> String { gguf.path(of: name) }

    func isPartOfModel(_ name: String) -> Bool {
        // Read with the rotation, and a buffer of old files.
        name != "rope_freqs.weight" && !name.contains("attn_rot_embd")
    }

    func layer(of storedName: String) -> Int? {
        guard storedName.hasPrefix("blk.") else { return nil }
        return storedName.dropFirst(4).split(separator: ".").first.flatMap { Int($0) }
    }

    func isZero(_ storedName: String) throws(DyadError) -> Bool {
        try gguf.tensor(storedName).floats().allSatisfy { $0 == 0 }
    }

    func field(_ text: String) -> String {
        let names = [
            ("vocab_size", "vocab_size"), ("num_hidden_layers", "block_count"), ("hidden_size", "embedding_length"),
            ("num_attention_heads", "attention.head_count"), ("num_key_value_heads", "attention.head_count_kv"),
            ("head_dim", "attention.key_length"), ("intermediate_size", "feed_forward_length"),
        ]
        return names.reduce(text) { $0.replacing($1.0, with: $1.1) }
    }

    func digest(into digest: inout SHA256) throws(DyadError) {
        for part in gguf.parts {
            digest.update("\(part.count)\n")
            try part.digest(into: &digest)
        }
    }
}

/// Undoes the row order of q and k in llama-type GGUF files. There the two elements of a rotary pair are neighbours
/// (row 2j + s of a head); canonically they are half a head apart (row s·d/2 + j).
/// - Precondition: `rows` is a multiple of `2 * heads`.
func halfSplit(_ elements: [Float], rows: Int, heads: Int) -> [Float] {
    let columns = elements.count / max(rows, 1)
    let (dimension, half) = (rows / heads, rows / heads / 2)
    return [Float](unsafeUninitializedCapacity: elements.count) { output, filled in
        guard let target = output.baseAddress else { return }
        elements.withUnsafeBufferPointer { source in
            guard let source = source.baseAddress else { return }
            for head in 0..<heads {
                for side in 0..<2 {
                    for pair in 0..<half {
                        let to = head * dimension + side * half + pair
                        let from = head * dimension + 2 * pair + side
                        (target + to * columns).initialize(from: source + from * columns, count: columns)
                    }
                }
            }
        }
        filled = elements.count
    }
}
