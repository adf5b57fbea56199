import DyadFormats

extension SafetensorsStore {
    /// Opens the weights of a folder in Hugging Face's layout: `model.safetensors`, or the shards that
    /// `model.safetensors.index.json` names.
    /// - Throws: ``DyadError``: `missing` or `malformed` naming the file; `mismatch` when the index is wrong.
    init(folder: String, config: FileBytes) throws(DyadError) {
        let single = folder + "/model.safetensors"
        let indexPath = folder + "/model.safetensors.index.json"
        if FileKind(single) == .file {
            let file = try SafetensorsFile(path: single)
            self.init(
                documents: [config], shards: [file],
                shardOf: Dictionary(file.names.map { ($0, 0) }) { first, _ in first })
            return
        }
        guard FileKind(indexPath) == .file else {
            throw DyadError(
                .missing, file: folder, found: "neither model.safetensors nor model.safetensors.index.json",
                expected: "the weights in safetensors format",
                remedy: "Download them; convert pytorch_model.bin with transformers' save_pretrained.")
        }
        let index = try FileBytes(indexPath, limit: JSONValue.fileLimit)
        let document = try JSONValue.parse(index.bytes, file: indexPath)
        let root = withExtendedLifetime(index) { JSONField(document, file: indexPath) }
        var fileOf: [(tensor: String, shard: String)] = []
        for (name, field) in try root.member("weight_map").members() {
            let shard = try field.string()
            guard !shard.isEmpty, !shard.contains("/"), shard != "..", shard.hasSuffix(".safetensors") else {
                throw field.failure(
                    .malformed, found: "\"\(shard)\"", expected: "the name of a .safetensors file in the same folder")
            }
            fileOf.append((name, shard))
        }
        let names = Set(fileOf.map { $0.shard }).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        var shards: [SafetensorsFile] = []
        for name in names { shards.append(try SafetensorsFile(path: folder + "/" + name)) }
        let numbers = Dictionary(names.enumerated().map { ($0.element, $0.offset) }) { first, _ in first }
        var shardOf: [String: Int] = [:]
        for (tensor, shard) in fileOf {
            guard let number = numbers[shard], shards[number].contains(tensor) else {
                throw DyadError(
                    .mismatch, file: folder + "/" + shard, subject: tensor, found: "no tensor of this name",
                    expected: "it here, as model.safetensors.index.json says",
                    remedy: "Download the index and the shards again, from one revision.")
            }
            shardOf[tensor] = number
        }
        self.init(documents: [config, index], shards: shards, shardOf: shardOf)
    }
}
