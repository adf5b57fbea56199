import ArgumentParser
import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a program for an NPU tool chain.",
        discussion: """
            Writes a folder: a graph for prefill chunks, one for single steps, and manifest.json with their inputs and \
            outputs. Every tensor has an encoding, and none is invented: an operation that the target cannot execute is \
            refused by name.
            onnx: prefill.onnx and decode.onnx (quantise-dequantise form), which share weights.bin.
            qnn: these, compiled for the chip (onnxruntime-qnn; scripts/npu); which chip they are for is read back.
            litert: prefill.tflite and decode.tflite; with --target ethos-u85-256 also compiled by vela (scripts/npu).
            coreml: prefill.mlpackage and decode.mlpackage, which keep their keys and values in states (iOS 18).
            gguf: one file instead, the weights for llama.cpp, of a program whose rotations are folded; --template names a \
            GGUF file of the same model, for its settings and its tokenizer.
            """)

    @Argument(help: "The .dyad file.") var program: String
    @Option(name: .shortAndLong, help: "The folder to write; for gguf the file.") var output: String
    @Option(help: "onnx, qnn, litert, coreml or gguf.") var format = Format.onnx
    @Option(
        help: """
            onnx: onnxruntime (the default) or a chip; qnn: sm8650 (Snapdragon 8 Gen 3) or sm8750 (Snapdragon 8 Elite); \
            litert: litert (the default) or ethos-u85-256.
            """) var target: ExportTarget?
    @Option(help: "Tokens that a step can see, at most as many as the program holds.") var context: Int?
    @Option(help: "Tokens of a prefill chunk; 0 writes the single step only.") var chunk = 128
    @Option(
        help:
            "Write parts of at most so many layers (default: as many as a file of the target can hold, at most 2 GiB).")
    var split: Int?
    @Option(help: "gguf: a GGUF file of the same model.") var template: String?
    @Flag(help: "Print one JSON document.") var json = false

    enum Format: String, CaseIterable, ExpressibleByArgument {
        case onnx, qnn, litert, coreml, gguf

        /// What it can be written for; the first is the default.
        var targets: [ExportTarget] {
            switch self {
            case .onnx: [.onnxruntime, .sm8650, .sm8750]
            case .qnn: [.sm8650, .sm8750]
            case .litert: [.litert, .ethosU85]
            case .coreml: [.coreml]
            case .gguf: []
            }
        }
    }

    func run() throws {
        let loaded = try IntegerProgram.load(program)
        try loaded.validate()
        guard format != .gguf else { return try exportGGUF(loaded) }
        let capacity = loaded.graph.maximumContext - loaded.graph.prefixTokens.count
        let context = context ?? capacity
        let target = target ?? format.targets[0]
        guard self.target != nil || format != .qnn, format.targets.contains(target) else {
            throw DyadError(
                .usage, subject: "--target", found: self.target?.rawValue ?? "none",
                expected:
                    "\(format.targets.map(\.rawValue).joined(separator: " or ")) for the format \(format.rawValue)",
                remedy: "Name one of them.")
        }
        guard split ?? 1 >= 1 else {
            throw DyadError(
                .usage, subject: "--split", found: "\(split ?? 1)", expected: "at least 1",
                remedy: "Leave the option out for one part.")
        }
        let chunk = chunk == 0 ? nil : min(chunk, context)
        let plan = ExportPlan(target: target, context: context, chunk: chunk, layers: split)
        let exporter: any Exporter =
            switch target {
            case .litert, .ethosU85: LiteRTExporter(plan)
            case .coreml: CoreMLExporter(plan)
            case .onnxruntime, .sm8650, .sm8750: ONNXExporter(plan)
            }
        let report = try exporter.export(loaded, from: try ExportSource(path: program), to: output)
        var binaries: [ContextBinary] = [], compiled: [EthosBinary] = []
        do {
            if format == .qnn {
                binaries = try ContextBinary.compile(report, in: output, for: target) { Terminal.note($0) }
            }
            if target == .ethosU85 {
                compiled = try EthosBinary.compile(report, in: output, for: target) { Terminal.note($0) }
            }
        } catch {
            guard error.reason == .missing else { throw error }
            // The folder is whole without them.
            Terminal.note("not compiled: \(error)")
        }
        try show(report, binaries, compiled)
    }

    private func exportGGUF(_ loaded: IntegerProgram) throws {
        guard let template else {
            throw DyadError(
                .usage, subject: "--template", found: "none", expected: "a GGUF file of the same model",
                remedy: "Name the file that was quantised, or any GGUF of that model.")
        }
        let report = try GGUFExporter(template: template).export(
            loaded, from: try ExportSource(path: program), to: output)
        if !loaded.graph.prefixTokens.isEmpty, loaded.graph.constants.contains(where: { $0.type == .i4 }) {
            Terminal.note(
                "llama.cpp computes the prefix with the 4-bit weights, whose errors its large activations do not bear: expect a "
                    + "perplexity several times as high (page Exporting, GGUF). At 8 bit nothing is lost.")
        }
        guard !json else { return try Terminal.print(report.json().text()) }
        for file in report.files { try Terminal.print("\(output): \(file.bytes) bytes") }
    }

    private func show(_ report: ExportReport, _ binaries: [ContextBinary], _ compiled: [EthosBinary]) throws {
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
            object["ethos_binaries"] = .array(
                compiled.map {
                    .object(
                        JSONObject([
                            ("file", .string($0.file)), ("bytes", .integer($0.bytes)),
                            ("npu_operators", .integer($0.npuOperators)),
                            ("cpu_operators", .integer($0.cpuOperators)),
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
        for binary in compiled {
            try Terminal.print(
                "\(output)/\(binary.file): \(binary.bytes) bytes, \(binary.npuOperators) operators on the Ethos-U, "
                    + "\(binary.cpuOperators) on the CPU")
        }
        for file in report.files { try Terminal.print("\(output)/\(file.name): \(file.bytes) bytes") }
    }
}

extension ExportTarget: ExpressibleByArgument {}
