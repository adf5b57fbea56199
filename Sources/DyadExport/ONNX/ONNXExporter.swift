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
    /// Layers of one file, for models too large for one session; nil for all.
    public var layers: Int?

    /// Creates an exporter.
    public init(target: ExportTarget, context: Int, chunk: Int?, layers: Int? = nil) {
        self.target = target
        self.layers = layers
        self.context = context
        self.chunk = chunk
    }

    /// See ``Exporter``. Peak memory: the embedding table at two bytes an element, and the graphs.
    public func export(
        _ program: IntegerProgram, from source: ExportSource, to path: String
    ) throws(DyadError) -> ExportReport {
        let pieces = ExportPiece.steps(of: program, context: context, chunk: chunk, layers: layers, ending: "onnx")
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
        let piece = ExportPiece(file: "graph.onnx", shape: shape, part: part)
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
        _ pieces: [ExportPiece], of program: IntegerProgram, from source: ExportSource, to path: String,
        observing: (StaticGraph) -> [Int] = { _ in [] }
    ) throws(DyadError) -> ExportReport {
        try ExportManifest.makeFolder(path)
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
                metadata: source.metadata(target, piece.shape))
            models.append((piece.file, try Self.serialized(model, piece.file)))
            report.graphs.append(
                ExportReport.Graph(
                    file: piece.file, shape: piece.shape, part: piece.part, nodes: graph.nodes.count,
                    encodings: try graph.encodingCount(), rewrites: rewrites))
            entries.append(ExportManifest.entry(graph, piece))
        }
        try weights.write(to: "\(path)/\(Self.weightFile)")
        report.files.append((Self.weightFile, weights.count))
        for (file, bytes) in models {
            try AtomicFile.write("\(path)/\(file)", expectedBytes: bytes.count) { (sink) throws(DyadError) in
                try sink.write([UInt8](bytes))
            }
            report.files.append((file, bytes.count))
        }
        report.files.append(try ExportManifest.write(entries, of: program, from: source, target: target, to: path))
        return report
    }

    /// The binary that ONNX Runtime's compiler has put into the one node of a model: what QNN's own tools read. Memory: three times its size.
    ///
    /// - Throws: ``DyadError`` `missing`, or `malformed` for a model without one.
    public static func contextBinary(of path: String) throws(DyadError) -> [UInt8] {
        let file = try MappedFile(path)
        let bytes = withExtendedLifetime(file) { Data(file.bytes) }
        guard let model = try? ONNXModel(serializedBytes: bytes),
            let node = model.graph.node.first(where: { $0.opType == "EPContext" }),
            let binary = node.attribute.first(where: { $0.name == "ep_cache_context" }), !binary.s.isEmpty
        else {
            throw DyadError(
                .malformed, file: path, subject: "EPContext", found: "no node with a context binary",
                expected: "what dyad export --format qnn compiles", remedy: "Export the program again.")
        }
        return Array(binary.s)
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
}
