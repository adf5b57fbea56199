import DyadFormats
import DyadGraph

/// `encodings.json`: every encoding of a folder's graphs, for people, and for tools that take encodings beside a graph.
///
/// `weights` has by name the type and a scale for each row (axis 0, zero point 0), `graphs` by file and name the type, scale and zero
/// point of everything else.
struct ExportEncodings {
    static let file = "encodings.json"

    private var graphs = JSONObject()
    private var weights = JSONObject()

    /// Adds what a graph has, as it is written. Graphs that share weights give them once.
    mutating func add(_ graph: StaticGraph, file: String) {
        var own = JSONObject()
        for value in graph.values {
            switch value.type {
            case .quantized(let type, let encoding):
                own.append(
                    value.name,
                    .object(
                        JSONObject([
                            ("type", .string(type.rawValue)), ("scale", .measured(Double(encoding.scale))),
                            ("zero_point", .integer(Int(encoding.zeroPoint))),
                        ])))
            case .perRow(let type, let scales):
                weights.append(
                    value.name,
                    .object(
                        JSONObject([
                            ("type", .string(type.rawValue)), ("axis", .integer(0)),
                            ("scales", .array(scales.map { .measured(Double($0)) })),
                        ])))
            case .float, .index, .condition: break
            }
        }
        graphs.append(file, .object(own))
    }

    private var json: JSONValue {
        .object(JSONObject([("graphs", .object(graphs)), ("weights", .object(weights))]))
    }

    /// Writes the file.
    func write(to folder: String) throws(DyadError) -> (name: String, bytes: Int) {
        let text = json.text() + "\n"
        try AtomicFile.write("\(folder)/\(Self.file)", text: text)
        return (Self.file, text.utf8.count)
    }

    /// Throws at the first tensor of a folder's file that says something else.
    func check(_ folder: String) throws(DyadError) {
        let path = "\(folder)/\(Self.file)"
        let found = try JSONValue.read(path).object ?? JSONObject()
        func compare(_ expected: JSONObject, _ found: JSONObject?) throws(DyadError) {
            for (name, value) in expected.members where found?[name] != value {
                throw DyadError(
                    .mismatch, file: path, subject: name, found: found?[name]?.text() ?? "no encoding",
                    expected: value.text(),
                    remedy: "The exported folder is not what this program says: export it again.")
            }
        }
        for (file, tensors) in graphs.members {
            try compare(tensors.object ?? JSONObject(), found["graphs"]?.object?[file]?.object)
        }
        try compare(weights, found["weights"]?.object)
    }
}
