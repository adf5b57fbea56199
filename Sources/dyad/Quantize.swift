import ArgumentParser
import DyadEvaluation
import DyadFormats
import DyadQuantization
import DyadRuntime

struct Quantize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Quantise a model to a static integer-only program.",
        discussion: """
            MODEL is a folder in Hugging Face layout or a .gguf file. The scores in the report are measured on text that \
            calibrated nothing.
            """)

    @Argument(help: "The float model.") var model: String
    @Option(name: .shortAndLong, help: "The .dyad file to write.") var output: String
    @Option(help: "A built-in recipe (see `dyad recipes`) or a .yaml file.") var recipe = "static-w8a8"
    @Option(help: "`self` (the model writes its own), or a text or .jsonl file.") var calibration = "self"
    @Option(
        help: "File that keeps self-written text, and gives it to further runs with the same model, seed and lengths.")
    var keepText: String?
    @Option(help: "Calibration windows.") var samples = 32
    @Option(help: "Tokens of a calibration window (default: 512, or as many as the model was made for).")
    var sequenceLength: Int?
    @Option(help: "Token positions the program must hold (default: 1024, or as many as the model was made for).")
    var context: Int?
    @Option(help: "Seed of the rotations and of self-written text.") var seed: UInt64 = 0
    @Option(help: "Threads of the integer program's scoring (default: one a core).") var threads: Int?
    @Option(
        name: .customLong("run"),
        help: "Folder of a learning recipe's snapshots and log (default: OUTPUT with .run for .dyad).")
    var runDirectory: String?
    @Flag(help: "Continue the learning run that is there.") var resume = false
    @Flag(help: "Print the report as JSON.") var json = false

    func run() throws {
        var job = QuantizationJob(model: model, output: output, recipe: try Recipe.named(recipe))
        job.calibration = calibration == "self" ? .selfWritten : .file(calibration)
        (job.samples, job.sequenceLength, job.context) = (samples, sequenceLength, context)
        (job.seed, job.threads) = (seed, threads)
        job.keptText = keepText
        (job.runDirectory, job.resumes) = (runDirectory, resume)
        let report = try job.run(progress: ProgressLine())
        if json {
            try Terminal.print(report.json(peakResidentBytes: Benchmark.peakResidentBytes()).text())
        } else {
            try Terminal.print(report.table)
        }
    }
}
