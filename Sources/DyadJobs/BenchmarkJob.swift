import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTargets
import DyadTokenizer

/// `dyad benchmark` as a function: speed on this machine, or a folder that measures it on a phone and what came back in it.
public struct BenchmarkJob {
    /// The `.dyad` file.
    public var program: String
    /// Tokens of the prompt, or of a phone's prefill chunk; nil for 512, or 128 on a phone.
    public var promptTokens: Int?
    /// Tokens to generate; not on a phone.
    public var generateTokens = 128
    /// Runs, of which the median is reported; nil for 5, or 100 on a phone.
    public var repetitions: Int?
    /// Threads; nil takes one a core.
    public var threads: Int?
    /// A phone's graph: tokens that a step can see.
    public var context = 512
    /// A phone's input: the text, repeated as often as need be.
    public var prompt = "The capital of France is Paris, a city on the river Seine. "

    /// Creates a job.
    public init(program: String) { self.program = program }

    /// Speed on this machine.
    public struct Result {
        /// What was measured.
        public var benchmark: Benchmark
        /// How much of it.
        public var promptTokens, generateTokens, repetitions: Int

        /// For `--json`.
        public func json() -> JSONValue {
            .object(
                JSONObject([
                    ("prefill_tokens_per_second", .measured(benchmark.prefillTokensPerSecond)),
                    ("decode_tokens_per_second", .measured(benchmark.decodeTokensPerSecond)),
                    ("peak_resident_bytes", .integer(benchmark.peakResidentBytes)),
                    ("weight_bytes", .integer(benchmark.weightBytes)), ("threads", .integer(benchmark.threads)),
                    ("kernels", .string(benchmark.kernels)), ("prompt_tokens", .integer(promptTokens)),
                    ("generate_tokens", .integer(generateTokens)), ("repetitions", .integer(repetitions)),
                ]))
        }

        /// The result for people.
        public var table: String {
            """
            prefill  \(Int(benchmark.prefillTokensPerSecond.rounded())) tokens/s (\(promptTokens) tokens)
            decode   \(Int(benchmark.decodeTokensPerSecond.rounded())) tokens/s (\(generateTokens) tokens)
            weights  \(benchmark.weightBytes) bytes, peak memory \(benchmark.peakResidentBytes) bytes
            \(benchmark.threads) threads, \(benchmark.kernels) kernels
            """
        }
    }

    /// Measures on this machine.
    public func run() throws -> Result {
        let loaded = try IntegerProgram.load(program)
        var options = Runtime.Options()
        if let threads { options.threads = threads }
        let (promptTokens, repetitions) = (promptTokens ?? 512, repetitions ?? 5)
        let benchmark = try Benchmark.run(
            loaded, promptTokens: promptTokens, generateTokens: generateTokens, options: options,
            repetitions: repetitions)
        return Result(
            benchmark: benchmark, promptTokens: promptTokens, generateTokens: generateTokens, repetitions: repetitions)
    }

    /// Writes the folder `output` for a phone with the chip `target`.
    ///
    /// - Parameter progress: is given a line of text now and then.
    public func prepare(
        _ target: ExportTarget, in output: String?, progress: (String) -> Void = { _ in }
    ) throws -> PhoneFolder {
        let loaded = try IntegerProgram.load(program)
        guard let output, target.isHTP else {
            throw DyadError(
                .usage, subject: "--target \(target.rawValue)",
                found: output == nil ? "no --output" : target.rawValue,
                expected: "sm8650 or sm8750, and --output FOLDER", remedy: "Give both.")
        }
        let once = try Tokenizer(document: loaded.tokenizer, file: program).encode(prompt, parseSpecial: false)
        guard !once.isEmpty else {
            throw DyadError(
                .usage, subject: "--prompt", found: "no tokens", expected: "at least one", remedy: "Give a text.")
        }
        let chunk = promptTokens ?? 128
        // One more than the chunk, or too few of a chunk that is too long anyhow.
        let tokens = (0...min(max(chunk, 0), loaded.graph.maximumContext)).map { once[$0 % once.count] }
        try PhoneBenchmark(target: target, context: context, chunk: chunk, repetitions: repetitions ?? 100).prepare(
            loaded, from: try ExportSource(path: program), tokens: tokens, in: output, progress: progress)
        return PhoneFolder(program: program, path: output, target: target)
    }

    /// A folder that is ready for a phone.
    public struct PhoneFolder {
        let program: String
        let path: String
        let target: ExportTarget

        /// For `--json`.
        public func json() -> JSONValue {
            .object(JSONObject([("folder", .string(path)), ("target", .string(target.rawValue))]))
        }

        /// The result for people.
        public var table: String { "\(path): run its run.sh, then dyad benchmark \(program) --results \(path)" }
    }

    /// Reads what a phone's run brought back into `folder`.
    public func results(in folder: String) throws -> PhoneResults {
        let loaded = try IntegerProgram.load(program)
        let (benchmark, tokens) = try PhoneBenchmark.settings(of: folder, for: try ExportSource(path: program))
        return PhoneResults(
            target: benchmark.target, graphs: try benchmark.results(of: loaded, tokens: tokens, in: folder))
    }

    /// Times of a phone, and whether it put out what the integer graph does.
    public struct PhoneResults {
        let target: ExportTarget
        let graphs: [PhoneBenchmark.Result]

        /// For `--json`.
        public func json() -> JSONValue {
            .object(JSONObject([("target", .string(target.rawValue)), ("graphs", .array(graphs.map { $0.json() }))]))
        }

        /// The results for people.
        public var table: String {
            graphs.flatMap { result in
                let speed = result.tokensPerSecond.map { "\(text($0, 0)) tokens/s" } ?? "no time"
                let head =
                    "\(result.name): \(speed) (\(result.tokens) tokens a run), logits \(text(result.signalToNoise, 1)) dB, best token "
                    + (result.argmaxAgrees ? "the same" : "another")
                return [head]
                    + result.microseconds.map { event, times in
                        "  \(event): \(times.count) times, at least \(times.min() ?? 0) microseconds"
                    }
            }.joined(separator: "\n")
        }
    }
}
