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

    func file(of name: String) -> String { gguf.file.path }

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

    func digest(into digest: inout SHA256) throws(DyadError) {
        digest.update("\(gguf.file.count)\n")
        try gguf.file.digest(into: &digest)
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
