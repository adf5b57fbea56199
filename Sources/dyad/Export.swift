import ArgumentParser
import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a program for an NPU tool chain.",
        discussion: """
            Writes a folder: prefill.onnx and decode.onnx (quantise-dequantise form), which share weights.bin, and \
            manifest.json with their inputs and outputs. Every tensor has an encoding, and none is invented: an operation \
            that the target cannot execute is refused by name.
            qnn also compiles both graphs for the chip (onnxruntime-qnn; scripts/npu) and reads back for which chip they are.
            """)

    @Argument(help: "The .dyad file.") var program: String
    @Option(name: .shortAndLong, help: "The folder to write.") var output: String
    @Option(help: "onnx or qnn.") var format = Format.onnx
    @Option(help: "onnxruntime, sm8650 (Snapdragon 8 Gen 3) or sm8750 (Snapdragon 8 Elite).") var target =
        ExportTarget.onnxruntime
    @Option(help: "Tokens that a step can see, at most as many as the program holds.") var context: Int?
    @Option(help: "Tokens of a prefill chunk; 0 writes the single step only.") var chunk = 128
    @Flag(help: "Print one JSON document.") var json = false

    enum Format: String, CaseIterable, ExpressibleByArgument { case onnx, qnn }

    func run() throws {
        let loaded = try IntegerProgram.load(program)
        let capacity = loaded.graph.maximumContext - loaded.graph.prefixTokens.count
        let context = context ?? capacity
        let exporter = ONNXExporter(
            target: target, context: context, chunk: chunk == 0 ? nil : min(chunk, context))
        guard format == .onnx || target.isHTP else {
            throw DyadError(
                .usage, subject: "--target", found: target.rawValue, expected: "sm8650 or sm8750 for the format qnn",
                remedy: "Name the chip.")
        }
        let report = try exporter.export(loaded, from: try ExportSource(path: program), to: output)
        let binaries =
            format == .qnn ? try ContextBinary.compile(report, in: output, for: target) { Terminal.note($0) } : []
        guard !json else {
            var object = report.json().object ?? JSONObject()
            object["context_binaries"] = .array(
                binaries.map {
                    .object(
                        JSONObject([
                            ("file", .string($0.file)), ("bytes", .integer($0.bytes)), ("chip", .string($0.chip)),
                            ("seconds", .measured($0.seconds)),
                        ]))
                })
            return try Terminal.print(JSONValue.object(object).text())
        }
        for graph in report.graphs {
            try Terminal.print(
                "\(graph.file): \(graph.shape.tokens) tokens of \(graph.shape.context), \(graph.nodes) operations, "
                    + "\(graph.encodings) encodings")
            for rewrite in graph.rewrites { try Terminal.print("  \(rewrite)") }
        }
        for binary in binaries {
            try Terminal.print("\(output)/\(binary.file): \(binary.bytes) bytes, \(binary.chip)")
        }
        for file in report.files { try Terminal.print("\(output)/\(file.name): \(file.bytes) bytes") }
    }
}

extension ExportTarget: ExpressibleByArgument {}
