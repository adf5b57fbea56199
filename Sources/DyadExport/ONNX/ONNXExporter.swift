import DyadFormats
import DyadGraph
import Foundation
import SwiftProtobuf

/// ONNX with quantise and dequantise operators: a graph for prefill chunks and one for single steps, which share their weights.
public struct ONNXExporter: Exporter {
    /// The file with the weights.
    public static let weightFile = "weights.bin"

    /// For ``ExportTarget/onnxruntime`` or a Qualcomm chip.
    public var plan: ExportPlan

    /// Creates an exporter.
    public init(_ plan: ExportPlan) { self.plan = plan }

    /// See ``Exporter``. Peak memory: the embedding table at two bytes an element, and the graphs.
    public func export(
        _ program: IntegerProgram, from source: ExportSource, to path: String
    ) throws(DyadError) -> ExportReport {
        try write(plan.pieces(of: program, ending: "onnx"), of: program, from: source, to: path)
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
        let exporter = ONNXExporter(ExportPlan(target: target, context: shape.context, chunk: nil))
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
        let lock = try ExportManifest.begin(path)
        defer { withExtendedLifetime(lock) {} }
        var weights = WeightFile()
        var report = ExportReport(graphs: [], files: [])
        var models: [(file: String, bytes: Data)] = []
        var entries: [JSONValue] = []
        var encodings = ExportEncodings()
        for piece in pieces {
            let (graph, entry) = try piece.lowered(program, for: plan.target)
            encodings.add(graph, file: piece.file)
            let model = try ONNXWriter.model(
                of: graph, name: piece.file, weights: &weights, weightFile: Self.weightFile,
                observing: observing(graph),
                metadata: source.metadata(plan.target, piece.shape))
            models.append((piece.file, try Self.serialized(model, piece.file)))
            report.graphs.append(entry)
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
        report.files.append(try encodings.write(to: path))
        report.files.append(try ExportManifest.write(entries, of: program, from: source, target: plan.target, to: path))
        return report
    }

    /// The binary that ONNX Runtime's compiler has put into the one node of a model: what QNN's own tools read. Memory: three times its size.
    ///
    /// - Throws: ``DyadError`` `missing`, or `malformed` for a model without one.
    public static func contextBinary(of path: String) throws(DyadError) -> [UInt8] {
        let file = try FileBytes(path)
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
