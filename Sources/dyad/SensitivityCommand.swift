import ArgumentParser
import DyadEvaluation
import DyadJobs
import DyadFormats
import DyadQuantization

struct SensitivityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sensitivity",
        abstract: "Measure which tensors would gain most from more bits.",
        discussion: """
            Calibrates as `dyad quantize` does, without a recipe's learning, then rounds each 8-bit activation (and each 4-bit weight) alone and measures \
            the KL divergence from the float model. The curves give growing shares of the most sensitive ones more bits, \
            on text that ranked nothing. `dyad quantize --max-16bit-sites` makes the program.
            """)

    @OptionGroup var settings: CalibrationOptions
    @Option(help: "Write the curves as an SVG figure.") var figure: String?
    @Flag(help: "Print the report as JSON.") var json = false

    func run() throws {
        let job = try settings.job(output: "sensitivity.dyad")
        let report = try job.sensitivities(progress: ProgressLine())
        // First, so that a figure that cannot be written does not lose the measurement.
        try Terminal.print(json ? report.json.text() : report.table)
        if let figure {
            try AtomicFile.write(figure, text: report.figure(title: "\(job.recipe.name), simulated, not recalibrated"))
        }
    }
}

/// What `quantize` and `sensitivity` share.
struct CalibrationOptions: ParsableArguments {
    @Argument(help: "The float model.") var model: String
    @Option(help: "A built-in recipe (see `dyad recipes`) or a .yaml file.") var recipe = Recipe.standard
    @Option(help: "`self` (the model writes its own), or a text or .jsonl file.") var calibration = "self"
    @Option(
        help: "File that keeps self-written text, and gives it to further runs with the same model, seed and lengths.")
    var keepText: String?
    @Option(help: "Calibration windows (default: as the recipe says, most 32).") var samples: Int?
    @Option(help: "Tokens of a calibration window (default: 512, or as many as the model was made for).")
    var sequenceLength: Int?
    @Option(help: "Token positions the program must hold (default: 1024, or as many as the model was made for).")
    var context: Int?
    @Option(help: "Seed of the rotations and of self-written text.") var seed: UInt64 = 0

    /// The job with these settings.
    func job(output: String) throws -> QuantizationJob {
        var job = QuantizationJob(model: model, output: output, recipe: try Recipe.named(recipe))
        job.calibration = calibration == "self" ? .selfWritten : .file(calibration)
        (job.samples, job.sequenceLength, job.context, job.seed) = (samples, sequenceLength, context, seed)
        job.keptText = keepText
        return job
    }
}
