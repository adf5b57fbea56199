import DyadFormats
import DyadGraph
import Foundation

/// A static graph of an export, and its file.
struct ExportPiece {
    var file: String
    var shape: StaticShape
    var part: ProgramPart

    /// What a manifest says of it, with what its host gives and gets.
    func entry(_ interface: [(String, JSONValue)]) -> JSONValue {
        .object(
            JSONObject(
                [
                    ("file", .string(file)), ("tokens", .integer(shape.tokens)), ("context", .integer(shape.context)),
                    ("past", .integer(shape.past)), ("embeds", .bool(part.embeds)),
                    ("first_layer", .integer(part.layers.lowerBound)),
                    ("end_layer", .integer(part.layers.upperBound)), ("has_head", .bool(part.hasHead)),
                ] + interface))
    }

    /// The static graph as `target` takes it, and what a report says of it.
    func lowered(
        _ program: IntegerProgram, for target: ExportTarget
    ) throws(DyadError) -> (graph: StaticGraph, entry: ExportReport.Graph) {
        let (graph, rewrites) = try StaticLowering.lower(program, part: part, shape: shape, for: target).legalized(
            for: target)
        let entry = ExportReport.Graph(
            file: file, shape: shape, part: part, nodes: graph.nodes.count, encodings: try graph.encodingCount(),
            products: graph.products, rewrites: rewrites)
        return (graph, entry)
    }
}

extension ExportPlan {
    /// Prefill chunks, unless there are none, and single steps: of the whole program, or of its parts.
    func pieces(of program: IntegerProgram, ending: String) -> [ExportPiece] {
        let layers = layers ?? ProgramPart.layersThatFit(target.descriptor.largestPart, of: program.graph)
        let parts = ProgramPart.parts(of: program.graph, layers: layers)
        func pieces(_ name: String, _ tokens: Int) -> [ExportPiece] {
            parts.enumerated().map { index, part in
                ExportPiece(
                    file: parts.count == 1 ? "\(name).\(ending)" : "\(name)-\(index + 1).\(ending)",
                    shape: StaticShape(tokens: tokens, context: context, logits: .one), part: part)
            }
        }
        return (chunk.map { pieces("prefill", $0) } ?? []) + pieces("decode", 1)
    }

    /// Writes the folder of a format whose files stand alone; `write` returns the bytes of the file of a piece, and what the manifest says of it.
    func export(
        _ program: IntegerProgram, from source: ExportSource, to path: String, ending: String,
        write: (ExportPiece, StaticGraph) throws(DyadError) -> (bytes: Int, entry: JSONValue)
    ) throws(DyadError) -> ExportReport {
        let lock = try ExportManifest.begin(path)
        defer { withExtendedLifetime(lock) {} }
        var report = ExportReport(graphs: [], files: [])
        var entries: [JSONValue] = []
        var encodings = ExportEncodings()
        for piece in pieces(of: program, ending: ending) {
            let (graph, entry) = try piece.lowered(program, for: target)
            encodings.add(graph, file: piece.file)
            let written = try write(piece, graph)
            report.files.append((piece.file, written.bytes))
            report.graphs.append(entry)
            entries.append(written.entry)
        }
        // Core ML's scales are rounded to float16: its packages say themselves what they are.
        if target != .coreml { report.files.append(try encodings.write(to: path)) }
        report.files.append(try ExportManifest.write(entries, of: program, from: source, target: target, to: path))
        return report
    }
}

/// `manifest.json`: what the files of an export are, for a runner and for a comparison.
public struct ExportManifest {
    let target: ExportTarget
    let source: ExportSource
    let graphs: [ExportPiece]
    /// Tokens of the constant prefix.
    let prefixCount: Int
    private let path: String
    /// What the manifest says of each graph.
    private let entries: [JSONValue]

    /// Reads the manifest of a folder.
    ///
    /// - Throws: ``DyadError`` `missing`, or `malformed` for one that `dyad export` did not write.
    init(of folder: String) throws(DyadError) {
        let path = "\(folder)/manifest.json"
        let document = try JSONValue.read(path).object ?? JSONObject()
        let malformed = DyadError(
            .malformed, file: path,
            found: "no target, source or graphs, or a graph without file, tokens, context or part",
            expected: "the manifest that dyad export writes", remedy: "Export the program again.")
        guard let target = document["target"]?.string.flatMap(ExportTarget.init(rawValue:)),
            let name = document["source"]?.string, let sha256 = document["source_sha256"]?.string,
            let entries = document["graphs"]?.array, let prefix = document["prefix_tokens"]?.array
        else { throw malformed }
        prefixCount = prefix.count
        (self.target, source) = (target, ExportSource(name: name, sha256: sha256))
        var graphs: [ExportPiece] = []
        for entry in entries {
            guard let object = entry.object, let file = object["file"]?.string, !file.contains("/"),
                let tokens = object["tokens"]?.integer, let context = object["context"]?.integer,
                let first = object["first_layer"]?.integer, let end = object["end_layer"]?.integer, first <= end,
                let embeds = object["embeds"]?.bool, let hasHead = object["has_head"]?.bool
            else { throw malformed }
            graphs.append(
                ExportPiece(
                    file: file, shape: StaticShape(tokens: tokens, context: context, logits: .one),
                    part: ProgramPart(embeds: embeds, layers: first..<end, hasHead: hasHead)))
        }
        (self.graphs, self.path, self.entries) = (graphs, path, entries)
    }

    /// An input or output of a graph.
    struct Port {
        var name: String
        var shape: [Int]
        /// `bool`, `f32` or an integer type.
        var type: String
        var encoding: Encoding

        var byteCount: Int { shape.reduce(width, *) }
        private var width: Int { type == "bool" ? 1 : IntegerType(rawValue: type).map { $0.bitWidth / 8 } ?? 4 }

        /// The real values of raw integers.
        func reals(_ bytes: [UInt8]) -> [Float] {
            let integers =
                IntegerType(rawValue: type).map { type in
                    StaticGraph.Value(name: name, shape: shape, type: .quantized(type, encoding)).integers(bytes)
                } ?? []
            return integers.map { Float($0 - encoding.zeroPoint) * encoding.scale }
        }
    }

    /// What the host of graph `index` gives and gets.
    func interface(at index: Int) throws(DyadError) -> (inputs: [Port], outputs: [Port]) {
        func ports(_ key: String) throws(DyadError) -> [Port] {
            var ports: [Port] = []
            for entry in entries[index].object?[key]?.array ?? [] {
                let shape = entry.object?["shape"]?.array?.compactMap(\.integer) ?? []
                guard let object = entry.object, let name = object["name"]?.string, let type = object["type"]?.string,
                    shape.count == object["shape"]?.array?.count, shape.allSatisfy({ (0..<1 << 24).contains($0) }),
                    shape.reduce(1.0, { $0 * Double($1) }) < 0x1p30
                else {
                    throw DyadError(
                        .malformed, file: path, subject: graphs[index].file,
                        found: "\(key) without name, shape or type",
                        expected: "what dyad export writes", remedy: "Export the program again.")
                }
                let zeroPoint = object["zero_point"]?.integer.flatMap(Int32.init(exactly:)) ?? 0
                ports.append(
                    Port(
                        name: name, shape: shape, type: type,
                        encoding: Encoding(scale: Float(object["scale"]?.double ?? 1), zeroPoint: zeroPoint)))
            }
            return ports
        }
        return (try ports("inputs"), try ports("outputs"))
    }

    /// Checks that the graphs are a whole program, prefill chunks and single steps or the latter alone.
    func checkExtent(of program: IntegerProgram) throws(DyadError) {
        let parts = Dictionary(grouping: graphs) { $0.shape.tokens == 1 }
        for (isStep, pieces) in [(true, parts[true] ?? []), (false, parts[false] ?? [])] where isStep || !pieces.isEmpty
        {
            var end = 0
            for piece in pieces where piece.part.layers.lowerBound == end { end = piece.part.layers.upperBound }
            guard pieces.first?.part.embeds == true, pieces.last?.part.hasHead == true, end == program.graph.layerCount
            else {
                throw mismatch(isStep ? "single steps" : "prefill chunks", "layers up to \(end)")
            }
        }
    }

    /// Checks what the manifest says of the inputs and outputs of graph `index`.
    func check(_ entry: JSONValue, at index: Int) throws(DyadError) {
        guard entries[index] == entry else {
            throw mismatch(graphs[index].file, "other shapes, types or encodings")
        }
    }

    private func mismatch(_ subject: String, _ found: String) -> DyadError {
        DyadError(
            .mismatch, file: path, subject: subject, found: found, expected: "the program's",
            remedy: "The exported folder is not what this program says: export it again.")
    }

    /// Makes the folder of an export, without the manifest that an earlier one may have left: files of both must not pass for one.
    /// Nor may those of two at a time: the lock is to be held until the manifest is written.
    static func begin(_ path: String) throws(DyadError) -> FolderLock {
        try makeFolder(path)
        let lock = try FolderLock(path)
        for file in ["manifest.json", ExportEncodings.file, CompiledFiles.file] { unlink("\(path)/\(file)") }
        return lock
    }

    /// Gives a finished file its name.
    ///
    /// - Throws: ``DyadError`` `cannotWrite`.
    public static func rename(_ partial: String, to path: String) throws(DyadError) {
        guard Foundation.rename(partial, path) == 0 else {
            throw DyadError(
                .cannotWrite, file: path, found: String(cString: strerror(errno)), expected: "to be renamed",
                remedy: "Name a folder where you may write.")
        }
    }

    /// Makes a folder, and those above it.
    ///
    /// - Throws: ``DyadError`` `cannotWrite`.
    public static func makeFolder(_ path: String) throws(DyadError) {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw DyadError(
                .cannotWrite, file: path, found: error.localizedDescription, expected: "a folder that can be made",
                remedy: "Name a folder where you may write.")
        }
    }

    /// Writes the manifest; the last file of an export.
    static func write(
        _ entries: [JSONValue], of program: IntegerProgram, from source: ExportSource, target: ExportTarget,
        to path: String
    ) throws(DyadError) -> (name: String, bytes: Int) {
        let manifest = JSONValue.object(
            JSONObject([
                ("source", .string(source.name)), ("source_sha256", .string(source.sha256)),
                ("target", .string(target.rawValue)), ("vocabulary_size", .integer(program.graph.vocabularySize)),
                ("prefix_tokens", .array(program.graph.prefixTokens.map { .integer(Int($0)) })),
                ("graphs", .array(entries)),
            ])
        ).text()
        try AtomicFile.write("\(path)/manifest.json", text: manifest + "\n")
        return ("manifest.json", manifest.utf8.count + 1)
    }

    /// The inputs and outputs of a graph, for a runner.
    static func entry(_ graph: StaticGraph, _ piece: ExportPiece) -> JSONValue {
        func entries(_ ids: [Int]) -> JSONValue {
            .array(
                ids.map { id in
                    let value = graph.values[id]
                    var object = JSONObject([
                        ("name", .string(value.name)), ("shape", .array(value.shape.map(JSONValue.integer))),
                    ])
                    switch value.type {
                    case .quantized(let type, let encoding):
                        object["type"] = .string(type.rawValue)
                        object["scale"] = .measured(Double(encoding.scale))
                        object["zero_point"] = .integer(Int(encoding.zeroPoint))
                    case .index: object["type"] = .string("i32")
                    case .condition: object["type"] = .string("bool")
                    case .perRow, .float: object["type"] = .string("f32")
                    }
                    return .object(object)
                })
        }
        return piece.entry([("inputs", entries(graph.inputs)), ("outputs", entries(graph.outputs))])
    }
}

extension ExportSource {
    /// What a written graph says of itself.
    func metadata(_ target: ExportTarget, _ shape: StaticShape) -> [(String, String)] {
        [
            ("dyad.source", name), ("dyad.source_sha256", sha256), ("dyad.target", target.rawValue),
            ("dyad.tokens", String(shape.tokens)), ("dyad.context", String(shape.context)),
        ]
    }
}

extension ExportManifest {
    /// Compares an exported folder, of whatever format, with what `program` exports to.
    ///
    /// - Returns: the number of tensors with an encoding that were compared.
    /// - Throws: ``DyadError`` `mismatch` naming the file and the tensor.
    public static func check(_ folder: String, against program: IntegerProgram) throws(DyadError) -> Int {
        let manifest = try ExportManifest(of: folder)
        try manifest.checkExtent(of: program)
        try CompiledFiles.check(folder)
        return try manifest.target.descriptor.checker(folder, manifest, program)
    }
}
