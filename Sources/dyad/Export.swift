import ArgumentParser
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
            """)

    @Argument(help: "The .dyad file.") var program: String
    @Option(name: .shortAndLong, help: "The folder to write.") var output: String
    @Option(help: "onnx.") var format = Format.onnx
    @Option(help: "onnxruntime, sm8650 (Snapdragon 8 Gen 3) or sm8750 (Snapdragon 8 Elite).") var target =
        ExportTarget.onnxruntime
    @Option(help: "Tokens that a step can see, at most as many as the program holds.") var context: Int?
    @Option(help: "Tokens of a prefill chunk; 0 writes the single step only.") var chunk = 128
    @Flag(help: "Print one JSON document.") var json = false

    enum Format: String, CaseIterable, ExpressibleByArgument { case onnx }

    func run() throws {
        let loaded = try IntegerProgram.load(program)
        let capacity = loaded.graph.maximumContext - loaded.graph.prefixTokens.count
        let context = context ?? capacity
        let exporter = ONNXExporter(
            target: target, context: context, chunk: chunk == 0 ? nil : min(chunk, context))
        let report = try exporter.export(loaded, from: try ExportSource(path: program), to: output)
        guard !json else { return try Terminal.print(report.json().text()) }
        for graph in report.graphs {
            try Terminal.print(
                "\(graph.file): \(graph.shape.tokens) tokens of \(graph.shape.context), \(graph.nodes) operations, "
                    + "\(graph.encodings) encodings")
            for rewrite in graph.rewrites { try Terminal.print("  \(rewrite)") }
        }
        for file in report.files { try Terminal.print("\(output)/\(file.name): \(file.bytes) bytes") }
    }
}

extension ExportTarget: ExpressibleByArgument {}
