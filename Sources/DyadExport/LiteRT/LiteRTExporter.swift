import DyadFormats
import DyadGraph

/// LiteRT models: one for prefill chunks and one for single steps.
public struct LiteRTExporter: Exporter {
    /// For ``ExportTarget/litert`` or ``ExportTarget/ethosU85``.
    public var plan: ExportPlan

    /// Creates an exporter.
    public init(_ plan: ExportPlan) { self.plan = plan }

    /// See ``Exporter``. Peak memory: the weights twice, the embedding table at two bytes an element.
    public func export(
        _ program: IntegerProgram, from source: ExportSource, to path: String
    ) throws(DyadError) -> ExportReport {
        try plan.export(program, from: source, to: path, ending: "tflite") { (piece, graph) throws(DyadError) in
            let bytes = try LiteRTWriter.file(
                of: graph, named: piece.file, metadata: source.metadata(plan.target, piece.shape)
            ).bytes
            try Self.write(bytes, to: "\(path)/\(piece.file)")
            return (bytes.count, ExportManifest.entry(graph, piece))
        }
    }

    /// As ``ONNXExporter/writeObserved(_:of:shape:target:observing:to:)``, into `graph.tflite`.
    public static func writeObserved(
        _ part: ProgramPart, of program: IntegerProgram, shape: StaticShape, target: ExportTarget, observing: Bool,
        to path: String
    ) throws(DyadError) -> StaticGraph {
        try ExportManifest.makeFolder(path)
        var graph = try StaticGraph.lowered(program, part: part, shape: shape, for: target)
        let names = Set(program.graph.tensors.map(\.name))
        let seen = graph.nodes.map(\.output).filter { observing && names.contains(graph.values[$0].name) }
        graph.outputs += seen.filter { !graph.outputs.contains($0) }
        try write(
            LiteRTWriter.file(of: graph, named: "graph.tflite", metadata: []).bytes, to: "\(path)/graph.tflite")
        return graph
    }

    private static func write(_ bytes: [UInt8], to path: String) throws(DyadError) {
        try AtomicFile.write(path, expectedBytes: bytes.count) { (sink) throws(DyadError) in try sink.write(bytes) }
    }
}

extension LiteRTExporter {
    /// As ``ExportManifest/check(_:against:)``: the files must be, byte for byte, what the program exports to.
    static func check(_ folder: String, _ manifest: ExportManifest, against program: IntegerProgram) throws(DyadError)
        -> Int
    {
        var count = 0
        var encodings = ExportEncodings()
        for (index, piece) in manifest.graphs.enumerated() {
            let (graph, entry) = try piece.lowered(program, for: manifest.target)
            try manifest.check(ExportManifest.entry(graph, piece), at: index)
            encodings.add(graph, file: piece.file)
            let expected = try LiteRTWriter.file(
                of: graph, named: piece.file, metadata: manifest.source.metadata(manifest.target, piece.shape))
            let path = "\(folder)/\(piece.file)"
            let found = try FileBytes(path)
            try withExtendedLifetime(found) { () throws(DyadError) in try compare(expected, found.bytes, path) }
            count += entry.encodings
        }
        try encodings.check(folder)
        return count
    }

    private static func compare(
        _ expected: FlatBufferWriter, _ found: UnsafeRawBufferPointer, _ path: String
    ) throws(DyadError) {
        let place = zip(expected.bytes, found).enumerated().first { $1.0 != $1.1 }?.offset
        guard place != nil || expected.bytes.count != found.count else { return }
        let name = place.flatMap { place in expected.regions.first { $0.range.contains(place) }?.name }
        throw DyadError(
            .mismatch, file: path, subject: name?.subject ?? "layout",
            found: place.map { "another \(name?.part ?? "byte") (byte \($0))" } ?? "\(found.count) bytes",
            expected: place == nil ? "\(expected.bytes.count)" : "the program's",
            remedy: "The exported file is not what this program says: export it again.")
    }
}
