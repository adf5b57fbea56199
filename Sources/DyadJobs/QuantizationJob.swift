import DyadCheckpoint
import DyadEvaluation
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

    /// The checkpoint: a folder, a `.gguf` file or a cached hub id.
    public var model: String
    /// The `.dyad` file.
    public var output: String
    /// What is done to the model.
    public var recipe: Recipe
    /// Where the calibration text comes from.
    public var calibration = Calibration.selfWritten
    /// A file that keeps self-written text for further runs with the same model, seed and lengths; nil for none.
    public var keptText: String?
    /// Calibration windows; nil: as many as the recipe says.
    public var samples: Int?
    /// Tokens of a calibration window; nil: 512, or as many as the model was made for.
    public var sequenceLength: Int?
    /// Seed of the rotations and of self-written text.
    public var seed: UInt64 = 0
    /// Token positions that the program must hold, prefix not counted; nil: 1024, or as many as the model was made for.
    public var context: Int?
    /// The folder of the learning run; nil: the output's name with `.run` for its ending.
    public var runDirectory: String?
    /// Whether to continue the learning run that is there.
    public var resumes = false
    /// Seconds between the learning run's snapshots; 0 for one after every step.
    public var snapshotSeconds = 240.0
    /// Threads of the integer program's scoring; nil takes one a core.
    public var threads: Int?
    /// Held-out windows that score the result; nil takes all.
    public var scoreWindows: Int?
    /// A text whose end scores the result, in a file as for ``Calibration/file(_:)``; nil takes the end of the calibration text.
    public var scoreText: String?

    /// Creates a job with the default settings.
    public init(model: String, output: String, recipe: Recipe) {
        (self.model, self.output, self.recipe) = (model, output, recipe)
    }

    /// What a job reports.
    public struct Report: Sendable {
        /// The `.dyad` file.
        public var output: String
        /// Wall-clock time of the job.
        public var seconds: Double
        /// Size of the file.
        public var bytes: Int
        /// The float model, without a prefix.
        public var float: PerplexityResult
        /// The float model after every transform, with the prefix.
        public var folded: PerplexityResult
        /// The float model with what was learnt added to it, a control (``Quantizer/Output/exposed()``), by itself and without
        /// a comparison; nil where nothing was.
        public var exposed: PerplexityResult?
        /// The program in float with quantise–dequantise at every tensor.
        public var simulated: PerplexityResult
        /// The program on integers.
        public var integer: PerplexityResult

        /// The report as a JSON object.
        public func json(peakResidentBytes: Int) -> JSONValue {
            var object = JSONObject()
            object["output"] = .string(output)
            object["seconds"] = .measured(seconds)
            object["peak_resident_bytes"] = .integer(peakResidentBytes)
            object["bytes"] = .integer(bytes)
            object["float_perplexity"] = .measured(float.perplexity)
            object["folded_perplexity"] = .measured(folded.perplexity)
            if let exposed { object["exposed_perplexity"] = .measured(exposed.perplexity) }
            if let tempered = exposed?.tempered {
                object["exposed_tempered_perplexity"] = .measured(tempered.perplexity)
            }
            if let tempered = folded.tempered { object["folded_tempered_perplexity"] = .measured(tempered.perplexity) }
            object["simulated_perplexity"] = .measured(simulated.perplexity)
            object["integer_perplexity"] = .measured(integer.perplexity)
            object["held_out_tokens"] = .integer(integer.tokens)
            object["mean_kl"] = .measured(integer.comparison?.meanKL ?? 0)
            object["top1_agreement"] = .measured(integer.comparison?.top1Agreement ?? 1)
            object["simulated_mean_kl"] = .measured(simulated.comparison?.meanKL ?? 0)
            object["simulated_top1_agreement"] = .measured(simulated.comparison?.top1Agreement ?? 1)
            return .object(object)
        }
    }

    /// Runs the job. Nothing stands under the output's name before the file is complete.
    public func run(progress: ProgressReporter? = nil) throws -> Report {
        let start = ContinuousClock.now
        let claim = try claimOutput()
        defer { withExtendedLifetime(claim) {} }
        let checkpoint = try Checkpoint.open(model)
        let (context, sequenceLength) = try lengths(for: checkpoint.configuration)
        let tokenizer = try checkpoint.tokenizer()
        let text = try calibrationText(checkpoint, tokenizer, length: sequenceLength, progress)

        var heldOut = text.heldOut
        if let scoreText {
            heldOut = try CalibrationText(file: scoreText, tokenizer: tokenizer, samples: 1, length: sequenceLength)
                .heldOut
        }

        var run: RunDirectory?
        if !recipe.learning.isEmpty || recipe.allocation != nil {
            run = try RunDirectory(
                runDirectory ?? String(self.output.dropLast(".dyad".count)) + ".run",
                settings: try settings(checkpoint, text, context), resumes: resumes)
            run?.interval = snapshotSeconds
        }
        let quantizer = Quantizer(recipe: recipe, seed: seed, context: context, run: run, progress: progress)
        let output = try quantizer.quantize(
            Decoder(checkpoint: checkpoint), tokenizer: tokenizer, text: text)
        var program = output.program
        try program.validate()

        let scores = try scores(checkpoint, output, program, heldOut, context: context, progress)
        program.provenance = try provenance(checkpoint, text, scores, allocated: output.allocated)
        try program.write(to: self.output)
        try run?.finish()
        let bytes = try RandomAccessFile(self.output).count
        return Report(
            output: self.output, seconds: (ContinuousClock.now - start).seconds, bytes: bytes, float: scores[0],
            folded: scores[1], exposed: scores.count > 4 ? scores[4] : nil, simulated: scores[2], integer: scores[3])
    }

    /// Measures which tensors of the calibrated network would gain most from more bits. Nothing is written.
    public func sensitivities(progress: ProgressReporter? = nil) throws -> SensitivityReport {
        let checkpoint = try Checkpoint.open(model)
        let (context, sequenceLength) = try lengths(for: checkpoint.configuration)
        let text = try calibrationText(checkpoint, checkpoint.tokenizer(), length: sequenceLength, progress)
        return try Quantizer(recipe: recipe, seed: seed, context: context, progress: progress)
            .sensitivities(
                try Decoder(checkpoint: checkpoint), tokenizer: checkpoint.tokenizer(), text: text)
    }

    /// Context and window length, within what the model was made for: beyond it positions have never been trained.
    private func lengths(for configuration: DecoderConfiguration) throws(DyadError) -> (context: Int, window: Int) {
        let most = min(configuration.maximumPositions, 1 << 20)
        func check(_ option: String, _ value: Int, _ range: ClosedRange<Int>, _ why: String) throws(DyadError) -> Int {
            guard range.contains(value) else {
                throw DyadError(
                    .usage, file: model, subject: option, found: "\(value)",
                    expected: "\(range.lowerBound) to \(range.upperBound)\(why)",
                    remedy: "Choose a number in this range.")
            }
            return value
        }
        _ = try check("--samples", samples ?? recipe.samples, 1...65536, "")
        let (positions, why) = (2...max(2, most), ", the positions that the model was made for")
        return (
            try check("--context", context ?? min(most, Quantizer.longestNarrowContext), positions, why),
            try check("--sequence-length", sequenceLength ?? min(most, 512), positions, why)
        )
    }

    /// Finds out before hours of work that the output cannot be written, or that another job is about to.
    private func claimOutput() throws(DyadError) -> OutputClaim {
        guard output.hasSuffix(".dyad") else {
            throw DyadError(
                .usage, file: output, subject: "--output", found: "another ending",
                expected: "a name that ends in .dyad",
                remedy: "The commands know a program by this ending: add it.")
        }
        return try OutputClaim(output)
    }

    private func calibrationText(
        _ checkpoint: Checkpoint, _ tokenizer: Tokenizer, length: Int, _ progress: ProgressReporter?
    ) throws -> CalibrationText {
        let samples = samples ?? recipe.samples
        switch calibration {
        case .file(let path):
            return try CalibrationText(file: path, tokenizer: tokenizer, samples: samples, length: length)
        case .selfWritten:
            let script = ConversationScript(tokenizer: tokenizer)
            let key = JSONObject([
                ("model_sha256", .string(try checkpoint.fingerprint())),
                ("seed", .integer(Int(truncatingIfNeeded: seed))),
                ("samples", .integer(samples)), ("length", .integer(length)),
                ("conversations", .bool(script != nil)),
            ])
            if let keptText, let text = try CalibrationText(storedIn: keptText, key: key) { return text }
            let writer = try Decoder(checkpoint: checkpoint, dtype: Torch.multipliesBFloat16 ? .bfloat16 : .float32)
            let text = try CalibrationText(
                writtenBy: writer, firstToken: tokenizer.bosID, script: script, samples: samples, length: length,
                seed: seed, progress: progress)
            if let keptText { try text.write(to: keptText, key: key) }
            return text
        }
    }

    private func scores(
        _ checkpoint: Checkpoint, _ output: Quantizer.Output, _ program: IntegerProgram, _ heldOut: [[Int32]],
        context: Int, _ progress: ProgressReporter?
    ) throws -> [PerplexityResult] {
        let windows = heldOut.prefix(max(1, scoreWindows ?? .max)).map { Array($0.prefix(context)) }
        var options = Runtime.Options()
        if let threads { options.threads = threads }
        var perplexity = Perplexity(context: windows[0].count)
        func measure(
            _ phase: String, _ models: [any LanguageModel], reference: FloatModel? = nil
        ) throws -> [PerplexityResult] {
            try perplexity.measure(models, reference: reference, tokens: Array(windows.joined())) { share in
                progress?.update(
                    phase: phase, completed: Int((share * Double(windows.count)).rounded()), total: windows.count)
            }
        }
        // The control asks whether the float model knows more, not whether it is less sure. By itself and first, since it is one
        // more float model in memory.
        var exposed: [PerplexityResult] = []
        if let decoder = try output.exposed() {
            perplexity.temperatures = Perplexity.usualTemperatures
            exposed = try measure("score what was learnt", [FloatModel(decoder, name: "exposed")])
        }
        // Compared with the folded float model, which has the program's prefix: what is left is rounding.
        let results = try measure(
            "score",
            [
                FloatModel(Decoder(checkpoint: checkpoint), name: "float"),
                SimulatedModel(program, name: "simulated", keepsWeights: false),
                try IntegerModel(program, name: "integer", options: options),
            ], reference: FloatModel(output.folded, name: "folded"))
        let folded = results[0].reference ?? results[0]
        return [results[0].withoutComparison, folded] + results.dropFirst() + exposed
    }

    /// What a learning run depends on.
    private func settings(
        _ checkpoint: Checkpoint, _ text: CalibrationText, _ context: Int
    ) throws(DyadError) -> JSONObject {
        JSONObject([
            ("dyad", .string(dyadVersion)), ("model_sha256", .string(try checkpoint.fingerprint())),
            ("recipe", .string(recipe.name)), ("recipe_settings", .string(recipe.settings)),
            ("calibration_sha256", .string(text.fingerprint)), ("seed", .integer(Int(truncatingIfNeeded: seed))),
            ("context", .integer(context)),
        ])
    }

    /// What made the file; nothing in it differs between two equal runs.
    private func provenance(
        _ checkpoint: Checkpoint, _ text: CalibrationText, _ scores: [PerplexityResult], allocated: [String]
    ) throws -> JSONValue {
        var object = JSONObject()
        object["dyad"] = .string(dyadVersion)
        object["model"] = .string(URL(filePath: model).lastPathComponent)
        object["model_sha256"] = .string(try checkpoint.fingerprint())
        object["recipe"] = .string(recipe.name)
        if !allocated.isEmpty { object["allocated"] = .array(allocated.map { .string($0) }) }
        object["seed"] = .integer(Int(truncatingIfNeeded: seed))
        object["calibration"] = .string(calibration == .selfWritten ? "self-written" : "file")
        object["calibration_sha256"] = .string(text.fingerprint)
        object["calibration_windows"] = .integer(text.calibration.count)
        object["calibration_window_tokens"] = .integer(text.calibration.first?.count ?? 0)
        object["held_out_tokens"] = .integer(scores[0].tokens)
        for score in scores { object["\(score.model)_perplexity"] = .measured(score.perplexity) }
        return .object(object)
    }
}
