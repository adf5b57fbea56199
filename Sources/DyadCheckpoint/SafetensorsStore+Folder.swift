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
        let names = try Self.shardNames(root)
        var shards: [SafetensorsFile] = []
        for (name, tensor) in names {
            guard FileKind(folder + "/" + name) != .nothing else {
                throw DyadError(
                    .missing, file: folder + "/" + name, found: "no such file",
                    expected: "a shard of the weights: model.safetensors.index.json says that \(tensor) is in it",
                    remedy: "Download it into this folder, from the revision of the other files.")
            }
            shards.append(try SafetensorsFile(path: folder + "/" + name))
        }
        let shardOf = try Self.shards(of: shards)
        for (tensor, field) in try root.member("weight_map").members() where shardOf[tensor] == nil {
            throw DyadError(
                .mismatch, file: folder + "/" + (try field.string()), subject: tensor, found: "no tensor of this name",
                expected: "it here, as model.safetensors.index.json says",
                remedy: "Download the index and the shards again, from one revision.")
        }
        self.init(documents: [config, index], shards: shards, shardOf: shardOf)
    }

    /// The shards that the index names, in the order in which transformers reads them, each with a tensor that should be in it.
    private static func shardNames(_ root: JSONField) throws(DyadError) -> [(name: String, tensor: String)] {
        var tensors: [String: String] = [:]
        let map = try root.member("weight_map")
        for (tensor, field) in try map.members() {
            let shard = try field.string()
            guard !shard.isEmpty, !shard.contains("/"), shard != "..", shard.hasSuffix(".safetensors") else {
                throw field.failure(
                    .malformed, found: "\"\(shard)\"", expected: "the name of a .safetensors file in the same folder")
            }
            if tensors[shard] == nil { tensors[shard] = tensor }
        }
        guard !tensors.isEmpty else {
            throw map.failure(
                .malformed, found: "no tensor", expected: "the tensors of the model, each with its shard",
                remedy: "Download the index again.")
        }
        return tensors.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.map { ($0.key, $0.value) }
    }

    /// Where each tensor is. All that the shards hold counts, as in transformers: the index only says which files to open.
    private static func shards(of files: [SafetensorsFile]) throws(DyadError) -> [String: Int] {
        var shardOf: [String: Int] = [:]
        for (number, file) in files.enumerated() {
            for name in file.names {
                guard let other = shardOf.updateValue(number, forKey: name) else { continue }
                let (first, second) = (try files[other].tensor(name), try file.tensor(name))
                guard first.type == second.type, first.shape == second.shape, try first.hasSameBytes(as: second) else {
                    throw DyadError(
                        .mismatch, file: file.file.path, subject: name,
                        found: "other values than in \(files[other].file.path)", expected: "a tensor in one shard",
                        remedy: "Keep the shards of one revision, and remove the others from the index.")
                }
            }
        }
        return shardOf
    }
}
