import DyadFormats
import DyadGraph

/// LiteRT models: one for prefill chunks and one for single steps.
public struct LiteRTExporter: Exporter {
    /// ``ExportTarget/litert`` or ``ExportTarget/ethosU85``.
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

    /// See ``Exporter``. Peak memory: the weights twice, the embedding table at two bytes an element.
    public func export(
        _ program: IntegerProgram, from source: ExportSource, to path: String
    ) throws(DyadError) -> ExportReport {
        try ExportManifest.makeFolder(path)
        var report = ExportReport(graphs: [], files: [])
        var entries: [JSONValue] = []
        for piece in ExportPiece.steps(of: program, context: context, chunk: chunk, layers: layers, ending: "tflite") {
            let lowered = try StaticLowering.lower(program, part: piece.part, shape: piece.shape)
            let (graph, rewrites) = try lowered.legalized(for: target)
            let encodings = try graph.encodingCount()
            let bytes = try LiteRTWriter.file(
                of: graph, named: piece.file, metadata: source.metadata(target, piece.shape)
            ).bytes
            try Self.write(bytes, to: "\(path)/\(piece.file)")
            report.files.append((piece.file, bytes.count))
            report.graphs.append(
                ExportReport.Graph(
                    file: piece.file, shape: piece.shape, part: piece.part, nodes: graph.nodes.count,
                    encodings: encodings, rewrites: rewrites))
            entries.append(ExportManifest.entry(graph, piece))
        }
        report.files.append(try ExportManifest.write(entries, of: program, from: source, target: target, to: path))
        return report
    }

    /// As ``ONNXExporter/writeObserved(_:of:shape:target:observing:to:)``, into `graph.tflite`.
    public static func writeObserved(
        _ part: ProgramPart, of program: IntegerProgram, shape: StaticShape, target: ExportTarget, observing: Bool,
        to path: String
    ) throws(DyadError) -> StaticGraph {
        try ExportManifest.makeFolder(path)
        var (graph, _) = try StaticLowering.lower(program, part: part, shape: shape).legalized(for: target)
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
    /// As ``ONNXExporter/check(_:against:)``: the files must be, byte for byte, what the program exports to.
    public static func check(_ folder: String, against program: IntegerProgram) throws(DyadError) -> Int {
        let manifest = try ExportManifest(of: folder)
        var count = 0
        for piece in manifest.graphs {
            let lowered = try StaticLowering.lower(program, part: piece.part, shape: piece.shape)
            let (graph, _) = try lowered.legalized(for: manifest.target)
            let expected = try LiteRTWriter.file(
                of: graph, named: piece.file, metadata: manifest.source.metadata(manifest.target, piece.shape))
            let path = "\(folder)/\(piece.file)"
            let found = try MappedFile(path)
            try withExtendedLifetime(found) { () throws(DyadError) in try compare(expected, found.bytes, path) }
            count += try graph.encodingCount()
        }
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

extension ExportManifest {
    /// Compares an exported folder, of whatever format, with what `program` exports to.
    ///
    /// - Returns: the number of tensors with an encoding that were compared.
    /// - Throws: ``DyadError`` `mismatch` naming the file and the tensor.
    public static func check(_ folder: String, against program: IntegerProgram) throws(DyadError) -> Int {
        let manifest = try ExportManifest(of: folder)
        return switch manifest.target {
        case .litert, .ethosU85: try LiteRTExporter.check(folder, against: program)
        case .coreml: try CoreMLExporter.check(folder, manifest, against: program)
        case .onnxruntime, .sm8650, .sm8750: try ONNXExporter.check(folder, against: program)
        }
    }
}
