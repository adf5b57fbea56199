import DyadCheckpoint
import DyadEvaluation
import DyadFormats
import DyadGraph

/// `dyad inspect`: what a file holds, tensor by tensor, and its bytes by type.
public struct Inspection: Sendable {
    /// One tensor or constant.
    public struct Entry: Sendable {
        /// The tensor's name.
        public var name: String
        /// Its element type.
        public var type: String
        /// Its extents.
        public var shape: [Int]
        /// Its size in the file.
        public var bytes: Int
    }

    /// `checkpoint`, `gguf`, `safetensors` or `dyad`.
    public var kind: String
    /// Facts about the whole, in order.
    public var facts: [(name: String, value: JSONValue)]
    /// All tensors, in the file's order.
    public var entries: [Entry]

    /// Reads a folder in Hugging Face layout, a `.gguf`, `.safetensors` or `.dyad` file.
    public init(_ path: String) throws(DyadError) {
        if path.hasSuffix(".dyad") {
            self = try Self(program: path)
        } else if path.hasSuffix(".gguf") {
            let file = try GGUFFile(path: path)
            let facts: [(String, JSONValue)] = [
                ("architecture", try file.string("general.architecture").map { .string($0) } ?? .null),
                ("metadata_keys", .integer(file.metadata.count)),
            ]
            var entries: [Entry] = []
            for name in file.names {
                let tensor = try file.tensor(name)
                entries.append(
                    Entry(name: name, type: tensor.type.name, shape: tensor.shape, bytes: tensor.range.count))
            }
            self.init(kind: "gguf", facts: facts, entries: entries)
        } else if path.hasSuffix(".safetensors") {
            let file = try SafetensorsFile(path: path)
            let facts: [(String, JSONValue)] = file.metadata.sorted {
                $0.key.utf8.lexicographicallyPrecedes($1.key.utf8)
            }.map { ($0.key, .string(String($0.value.unicodeScalars.prefix(200)))) }
            var entries: [Entry] = []
            for name in file.names {
                let tensor = try file.tensor(name)
                entries.append(
                    Entry(name: name, type: "\(tensor.type)", shape: tensor.shape, bytes: tensor.range.count))
            }
            self.init(kind: "safetensors", facts: facts, entries: entries)
        } else {
            self = try Self(checkpoint: path)
        }
    }

    private init(kind: String, facts: [(String, JSONValue)], entries: [Entry]) {
        (self.kind, self.entries) = (kind, entries)
        self.facts = facts.map { (name: $0.0, value: $0.1) }
    }

    private init(checkpoint path: String) throws(DyadError) {
        let checkpoint = try Checkpoint.open(path)
        let configuration = checkpoint.configuration
        kind = "checkpoint"
        facts = [
            ("family", .string(configuration.family)), ("layers", .integer(configuration.layerCount)),
            ("hidden_size", .integer(configuration.hiddenSize)), ("heads", .integer(configuration.headCount)),
            ("key_value_heads", .integer(configuration.keyValueHeadCount)),
            ("vocabulary_size", .integer(configuration.vocabularySize)),
            ("fingerprint", .string(try checkpoint.fingerprint())),
        ]
        entries = []
        for name in checkpoint.tensorNames {
            let view = try checkpoint.view(name)
            entries.append(
                Entry(
                    name: name, type: view.map { "\($0.type)" } ?? "quantised", shape: try checkpoint.shape(of: name),
                    bytes: view?.range.count ?? 0))
        }
    }

    private init(program path: String) throws(DyadError) {
        let program = try IntegerProgram.load(path)
        let graph = program.graph
        kind = "dyad"
        var counts: [String: Int] = [:]
        for tensor in graph.tensors { counts[tensor.type.rawValue, default: 0] += 1 }
        facts = [
            ("operations", .integer(graph.operations.count)), ("maximum_context", .integer(graph.maximumContext)),
            ("prefix_tokens", .array(graph.prefixTokens.map { .integer(Int($0)) })),
            (
                "activation_tensors",
                .object(JSONObject(counts.sorted { $0.key < $1.key }.map { ($0.key, .integer($0.value)) }))
            ),
            ("configuration", program.configuration), ("provenance", program.provenance),
        ]
        entries = graph.constants.map { constant in
            Entry(
                name: constant.name, type: constant.type?.rawValue ?? "f32", shape: constant.shape,
                bytes: program.constants[constant.name]?.count ?? 0)
        }
    }

    /// Bytes by type, largest first.
    public var bytesByType: [(type: String, bytes: Int)] {
        var sums: [String: Int] = [:]
        for entry in entries { sums[entry.type, default: 0] += entry.bytes }
        return sums.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.map { ($0.key, $0.value) }
    }

    /// For `--json`.
    public func json() -> JSONValue {
        .object(
            JSONObject([
                ("kind", .string(kind)), ("facts", .object(JSONObject(facts.map { ($0.name, $0.value) }))),
                ("bytes_by_type", .object(JSONObject(bytesByType.map { ($0.type, .integer($0.bytes)) }))),
                (
                    "tensors",
                    .array(
                        entries.map { entry in
                            .object(
                                JSONObject([
                                    ("name", .string(entry.name)), ("type", .string(entry.type)),
                                    ("shape", .array(entry.shape.map { .integer($0) })),
                                    ("bytes", .integer(entry.bytes)),
                                ]))
                        })
                ),
            ]))
    }

    /// For people.
    public var table: String {
        var lines = [kind]
        lines += facts.map { "\($0.name): \($0.value.string ?? $0.value.text())" }
        lines += entries.map { "\($0.type)\t\($0.shape)\t\($0.bytes)\t\($0.name)" }
        lines += bytesByType.map { "\($0.bytes) bytes of \($0.type)" }
        return lines.joined(separator: "\n")
    }
}
