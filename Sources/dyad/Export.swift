import ArgumentParser
import DyadExport
import DyadJobs

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
    @Option(help: "onnx, qnn, litert, coreml or gguf.") var format = ExportFormat.onnx
    @Option(
        help: """
            onnx: onnxruntime (the default) or a chip; qnn needs one: sm8650 (Snapdragon 8 Gen 3) or sm8750 (Snapdragon 8 Elite); \
            litert: litert (the default) or ethos-u85-256.
            """) var target: ExportTarget?
    @Option(help: "Tokens that a step can see (default, and at most: as many as the program holds).") var context: Int?
    @Option(help: "Tokens of a prefill chunk; 0 writes the single step only.") var chunk = 128
    @Option(
        help:
            "Write parts of at most so many layers (default: as many as a file of the target can hold, at most 2 GiB).")
    var split: Int?
    @Option(help: "gguf: a GGUF file of the same model.") var template: String?
    @Flag(help: "Print one JSON document.") var json = false

    func run() throws {
        var job = ExportJob(program: program, output: output, format: format)
        (job.target, job.context, job.chunk) = (target, context, chunk)
        (job.split, job.template) = (split, template)
        let result = try job.run { Terminal.note($0) }
        try Terminal.print(json ? result.json().text() : result.table)
    }
}

extension ExportTarget: ExpressibleByArgument {}
extension ExportFormat: ExpressibleByArgument {}
