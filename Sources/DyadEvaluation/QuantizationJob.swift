import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadQuantization
import DyadRuntime
import DyadTensor
import DyadTokenizer
import DyadTransformer
import Foundation

/// `dyad quantize` as a function: checkpoint in, `.dyad` file out, scored on text that calibrated nothing.
public struct QuantizationJob {
    /// Where the calibration text comes from.
    public enum Calibration: Equatable, Sendable {
        /// The float model writes it: nothing to download, no licence to mind.
        case selfWritten
        /// Plain text, or `.jsonl` with a `text` field on every line.
        case file(String)
    }

    public var model: String
    public var output: String
    public var recipe: Recipe
    public var calibration = Calibration.selfWritten
    /// Calibration windows and their length in tokens.
    public var samples = 32
    public var sequenceLength = 512
    public var seed: UInt64 = 0
    /// Token positions that the program must hold, prefix not counted.
    public var context = Quantizer.longestNarrowContext
    public var threads: Int?

    /// Creates a job with the default settings.
    public init(model: String, output: String, recipe: Recipe) {
        (self.model, self.output, self.recipe) = (model, output, recipe)
    }

    /// What a job reports; the keys of its JSON are DESIGN.md's.
    public struct Report: Sendable {
        public var output: String
        public var seconds: Double
        public var bytes: Int
        public var float: PerplexityResult
        public var folded: PerplexityResult
        public var simulated: PerplexityResult
        public var integer: PerplexityResult

        /// The report as a JSON object.
        public func json(peakResidentBytes: Int) -> JSONValue {
            var object = JSONObject()
            object["output"] = .string(output)
            object["seconds"] = .number(seconds)
            object["peak_resident_bytes"] = .integer(peakResidentBytes)
            object["bytes"] = .integer(bytes)
            object["float_perplexity"] = .number(float.perplexity)
            object["folded_perplexity"] = .number(folded.perplexity)
            object["simulated_perplexity"] = .number(simulated.perplexity)
            object["integer_perplexity"] = .number(integer.perplexity)
            object["held_out_tokens"] = .integer(integer.tokens)
            object["mean_kl"] = .number(integer.comparison?.meanKL ?? 0)
            object["top1_agreement"] = .number(integer.comparison?.top1Agreement ?? 1)
            object["simulated_mean_kl"] = .number(simulated.comparison?.meanKL ?? 0)
            object["simulated_top1_agreement"] = .number(simulated.comparison?.top1Agreement ?? 1)
            return .object(object)
        }
    }

    /// Runs the job. Nothing stands under the output's name before the file is complete.
    public func run(progress: ProgressReporter? = nil) throws -> Report {
        let start = ContinuousClock.now
        try checkOutput()
        let most = 1 << 20
        guard 2...most ~= context, 1...most ~= samples, 2...most ~= sequenceLength else {
            throw DyadError(
                .usage, subject: "quantize",
                found: "context \(context), \(samples) samples of \(sequenceLength) tokens",
                expected: "at least 2, 1 and 2, and each at most \(most)",
                remedy: "Correct --context, --samples or --sequence-length.")
        }
        let checkpoint = try Checkpoint.open(model)
        let tokenizer = try checkpoint.tokenizer()
        let original = try Decoder(checkpoint: checkpoint)
        let text = try calibrationText(checkpoint, tokenizer, progress)

        let quantizer = Quantizer(recipe: recipe, seed: seed, context: context, progress: progress)
        let output = try quantizer.quantize(original, tokenizer: tokenizer, text: text)
        var program = output.program
        try program.validate()

        let scores = try scores(original, output.folded, program, text, progress)
        program.provenance = try provenance(checkpoint, text, scores)
        try program.write(to: self.output)
        let bytes = try MappedFile(self.output).count
        return Report(
            output: self.output, seconds: (ContinuousClock.now - start).seconds, bytes: bytes, float: scores[0],
            folded: scores[1], simulated: scores[2], integer: scores[3])
    }

    /// Finds out before hours of work that the output cannot be written.
    private func checkOutput() throws(DyadError) {
        let folder = URL(filePath: output).deletingLastPathComponent().path(percentEncoded: false)
        guard FileManager.default.isWritableFile(atPath: folder.isEmpty ? "." : folder) else {
            throw DyadError(
                .cannotWrite, file: output, found: "a folder that is missing or not writable",
                expected: "a folder to write to", remedy: "Create it, or choose another --output.")
        }
    }

    private func calibrationText(
        _ checkpoint: Checkpoint, _ tokenizer: Tokenizer, _ progress: ProgressReporter?
    ) throws -> CalibrationText {
        switch calibration {
        case .file(let path):
            return try CalibrationText(file: path, tokenizer: tokenizer, samples: samples, length: sequenceLength)
        case .selfWritten:
            let writer = try Decoder(checkpoint: checkpoint, dtype: .bfloat16)
            return try CalibrationText(
                writtenBy: writer, firstToken: tokenizer.bosID, samples: samples, length: sequenceLength, seed: seed,
                progress: progress)
        }
    }

    private func scores(
        _ original: Decoder, _ folded: Decoder, _ program: IntegerProgram, _ text: CalibrationText,
        _ progress: ProgressReporter?
    ) throws -> [PerplexityResult] {
        let windows = text.heldOut.map { Array($0.prefix(context)) }
        let reference = FloatModel(original, name: "float")
        var options = Runtime.Options()
        if let threads { options.threads = threads }
        let models: [any LanguageModel] = [
            FloatModel(folded, name: "folded"), SimulatedModel(program, name: "simulated"),
            try IntegerModel(program, name: "integer", options: options),
        ]
        let results = try Perplexity(context: windows[0].count).measure(
            models, reference: reference, tokens: Array(windows.joined())
        ) { share in
            progress?.update(
                phase: "score", completed: Int((share * Double(windows.count)).rounded()), total: windows.count)
        }
        guard let comparison = results[0].comparison else { return [results[0]] + results }
        return [PerplexityResult(model: "float", context: results[0].context, windowMeans: comparison.windowMeans)]
            + results
    }

    /// What made the file; nothing in it differs between two equal runs.
    private func provenance(
        _ checkpoint: Checkpoint, _ text: CalibrationText, _ scores: [PerplexityResult]
    ) throws -> JSONValue {
        var object = JSONObject()
        object["dyad"] = .string(dyadVersion)
        object["model"] = .string(URL(filePath: model).lastPathComponent)
        object["model_sha256"] = .string(try checkpoint.fingerprint())
        object["recipe"] = .string(recipe.name)
        object["seed"] = .integer(Int(truncatingIfNeeded: seed))
        object["calibration"] = .string(calibration == .selfWritten ? "self-written" : "file")
        object["calibration_sha256"] = .string(text.fingerprint)
        object["calibration_windows"] = .integer(text.calibration.count)
        object["calibration_window_tokens"] = .integer(text.calibration.first?.count ?? 0)
        object["held_out_tokens"] = .integer(scores[0].tokens)
        for score in scores { object["\(score.model)_perplexity"] = .number(score.perplexity) }
        return .object(object)
    }
}

/// The version that files and `dyad --version` carry.
public let dyadVersion = "0.1.0"

extension Duration {
    /// As a number of seconds.
    public var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

extension Checkpoint {
    /// The tokenizer that belongs to the checkpoint.
    public func tokenizer() throws(DyadError) -> Tokenizer {
        switch try tokenizerSource {
        case .gguf(let file): return try Tokenizer(gguf: file)
        case .json(let path, _, _): return try Tokenizer(folder: (path as NSString).deletingLastPathComponent)
        }
    }
}
