import DyadFormats
import DyadGraph
import Foundation
import SwiftProtobuf

/// ONNX with quantise and dequantise operators: a graph for prefill chunks and one for single steps, which share their weights.
public struct ONNXExporter: Exporter {
    /// The file with the weights.
    public static let weightFile = "weights.bin"

    /// What the graphs must run on.
    public var target: ExportTarget
    /// Tokens that a step can see.
    public var context: Int
    /// Tokens of a prefill chunk; nil for none.
    public var chunk: Int?

    /// Creates an exporter.
    public init(target: ExportTarget, context: Int, chunk: Int?) {
        self.target = target
        self.context = context
        self.chunk = chunk
    }

    /// A static graph and its file.
    struct Piece {
        var file: String
        var shape: StaticShape
        var part: ProgramPart
    }

    /// See ``Exporter``. Peak memory: the embedding table at two bytes an element, and the graphs.
    public func export(
        _ program: IntegerProgram, from source: ExportSource, to path: String
    ) throws(DyadError) -> ExportReport {
        var pieces: [Piece] = []
        let whole = ProgramPart.whole(of: program.graph)
        if let chunk {
            pieces.append(
                Piece(
                    file: "prefill.onnx", shape: StaticShape(tokens: chunk, context: context, logits: .one), part: whole
                ))
        }
        pieces.append(
            Piece(file: "decode.onnx", shape: StaticShape(tokens: 1, context: context, logits: .one), part: whole))
        return try write(pieces, of: program, from: source, to: path)
    }

    /// Writes one graph for a comparison: every tensor of the integer graph in it becomes an output.
    ///
    /// - Returns: the graph as written; `graph.outputs` holds the observed values too.
    /// - Throws: as ``export(_:from:to:)``.
    public static func writeObserved(
        _ part: ProgramPart, of program: IntegerProgram, shape: StaticShape, target: ExportTarget, observing: Bool,
        to path: String
    ) throws(DyadError) -> StaticGraph {
        let names = Set(program.graph.tensors.map(\.name))
        var written = StaticGraph()
        let piece = Piece(file: "graph.onnx", shape: shape, part: part)
        let exporter = ONNXExporter(target: target, context: shape.context, chunk: nil)
        _ = try exporter.write([piece], of: program, from: ExportSource(name: "", sha256: ""), to: path) { graph in
            let seen = graph.nodes.map(\.output).filter { observing && names.contains(graph.values[$0].name) }
            written = graph
            written.outputs += seen.filter { !graph.outputs.contains($0) }
            return seen
        }
        return written
    }

    /// Writes pieces that share one weight file.
    func write(
        _ pieces: [Piece], of program: IntegerProgram, from source: ExportSource, to path: String,
        observing: (StaticGraph) -> [Int] = { _ in [] }
    ) throws(DyadError) -> ExportReport {
        try Self.makeFolder(path)
        var weights = WeightFile()
        var report = ExportReport(graphs: [], files: [])
        var models: [(file: String, bytes: Data)] = []
        var entries: [JSONValue] = []
        for piece in pieces {
            let lowered = try StaticLowering.lower(program, part: piece.part, shape: piece.shape)
            let (graph, rewrites) = try lowered.legalized(for: target)
            let model = try ONNXWriter.model(
                of: graph, name: piece.file, weights: &weights, weightFile: Self.weightFile,
                observing: observing(graph),
                metadata: [
                    ("dyad.source", source.name), ("dyad.source_sha256", source.sha256),
                    ("dyad.target", target.rawValue), ("dyad.tokens", String(piece.shape.tokens)),
                    ("dyad.context", String(piece.shape.context)),
                ])
            models.append((piece.file, try Self.serialized(model, piece.file)))
            report.graphs.append(
                ExportReport.Graph(
                    file: piece.file, shape: piece.shape, part: piece.part, nodes: graph.nodes.count,
                    encodings: try graph.encodingCount(), rewrites: rewrites))
            entries.append(Self.manifest(of: graph, piece))
        }
        try weights.write(to: "\(path)/\(Self.weightFile)")
        report.files.append((Self.weightFile, weights.count))
        for (file, bytes) in models {
            try AtomicFile.write("\(path)/\(file)", expectedBytes: bytes.count) { (sink) throws(DyadError) in
                try sink.write([UInt8](bytes))
            }
            report.files.append((file, bytes.count))
        }
        let manifest = JSONValue.object(
            JSONObject([
                ("source", .string(source.name)), ("source_sha256", .string(source.sha256)),
                ("target", .string(target.rawValue)), ("vocabulary_size", .integer(program.graph.vocabularySize)),
                ("prefix_tokens", .array(program.graph.prefixTokens.map { .integer(Int($0)) })),
                ("graphs", .array(entries)),
            ])
        ).text()
        try AtomicFile.write("\(path)/manifest.json", text: manifest + "\n")
        report.files.append(("manifest.json", manifest.utf8.count + 1))
        return report
    }

    private static func makeFolder(_ path: String) throws(DyadError) {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw DyadError(
                .cannotWrite, file: path, found: error.localizedDescription, expected: "a folder that can be made",
                remedy: "Name a folder where you may write.")
        }
    }

    private static func serialized(_ model: ONNXModel, _ file: String) throws(DyadError) -> Data {
        do {
            return try model.serializedData()
        } catch {
            throw DyadError(
                .failed, file: file, found: "\(error)", expected: "a graph of less than 2 GiB",
                remedy: "Export fewer layers in one graph.")
        }
    }

    /// The inputs and outputs of a graph, for a runner.
    private static func manifest(of graph: StaticGraph, _ piece: Piece) -> JSONValue {
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
        return .object(
            JSONObject([
                ("file", .string(piece.file)), ("tokens", .integer(piece.shape.tokens)),
                ("context", .integer(piece.shape.context)), ("past", .integer(piece.shape.past)),
                ("inputs", entries(graph.inputs)), ("outputs", entries(graph.outputs)),
            ]))
    }
}
