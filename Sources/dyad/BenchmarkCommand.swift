import ArgumentParser
import DyadEvaluation
import DyadTargets
import DyadExport
import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTokenizer
import Foundation

struct BenchmarkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "benchmark",
        abstract: "Measure prefill and decode speed of a program, on this machine or on a phone.",
        discussion: """
            With --target, writes a folder instead: the program compiled for a phone's chip (onnxruntime-qnn; scripts/npu), \
            its inputs, and run.sh, which runs both graphs there with Qualcomm's qnn-net-run over adb. --results reads \
            what run.sh brought back: times, and whether the phone put out what the integer graph does.
            """)

    @Argument(help: "The .dyad file.") var program: String
    @Option(help: "Tokens of the prompt; on a phone of the prefill chunk. (default: 512; 128 on a phone)")
    var promptTokens: Int?
    @Option(help: "Tokens to generate.") var generateTokens = 128
    @Option(help: "Threads (default: one a core).") var threads: Int?
    @Option(help: "Measured runs, of which the median is reported. (default: 5; 100 on a phone)")
    var repetitions: Int?
    @Option(help: "Write a folder for a phone with this chip: sm8650 or sm8750.") var target: ExportTarget?
    @Option(name: .shortAndLong, help: "With --target: the folder to write.") var output: String?
    @Option(help: "With --target: tokens that a step can see.") var context = 512
    @Option(help: "With --target: the text, repeated as often as need be.") var prompt =
        "The capital of France is Paris, a city on the river Seine. "
    @Option(help: "Read what came back into a folder that --target wrote.") var results: String?
    @Flag(help: "Print the result as JSON.") var json = false

    func run() throws {
        let loaded = try IntegerProgram.load(program)
        if let results { return try show(loaded, results) }
        if let target { return try prepare(loaded, target) }
        try measure(loaded)
    }

    private func prepare(_ loaded: IntegerProgram, _ target: ExportTarget) throws {
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
            loaded, from: try ExportSource(path: program), tokens: tokens, in: output
        ) { Terminal.note($0) }
        let document: [(String, JSONValue)] = [("folder", .string(output)), ("target", .string(target.rawValue))]
        try Terminal.print(
            json
                ? JSONValue.object(JSONObject(document)).text()
                : "\(output): run its run.sh, then dyad benchmark \(program) --results \(output)")
    }

    private func show(_ loaded: IntegerProgram, _ folder: String) throws {
        let (benchmark, tokens) = try PhoneBenchmark.settings(of: folder, for: try ExportSource(path: program))
        let results = try benchmark.results(of: loaded, tokens: tokens, in: folder)
        guard !json else {
            let document: [(String, JSONValue)] = [
                ("target", .string(benchmark.target.rawValue)), ("graphs", .array(results.map { $0.json() })),
            ]
            return try Terminal.print(JSONValue.object(JSONObject(document)).text())
        }
        for result in results {
            let speed = result.tokensPerSecond.map { String(format: "%.0f tokens/s", $0) } ?? "no time"
            try Terminal.print(
                "\(result.name): \(speed) (\(result.tokens) tokens a run), logits "
                    + String(format: "%.1f dB, best token ", result.signalToNoise)
                    + (result.argmaxAgrees ? "the same" : "another"))
            for (event, times) in result.microseconds {
                try Terminal.print("  \(event): \(times.count) times, at least \(times.min() ?? 0) microseconds")
            }
        }
    }

    private func measure(_ loaded: IntegerProgram) throws {
        var options = Runtime.Options()
        if let threads { options.threads = threads }
        let (promptTokens, repetitions) = (promptTokens ?? 512, repetitions ?? 5)
        let result = try Benchmark.run(
            loaded, promptTokens: promptTokens, generateTokens: generateTokens, options: options,
            repetitions: repetitions)
        if json {
            try Terminal.print(
                JSONValue.object(
                    JSONObject([
                        ("prefill_tokens_per_second", .measured(result.prefillTokensPerSecond)),
                        ("decode_tokens_per_second", .measured(result.decodeTokensPerSecond)),
                        ("peak_resident_bytes", .integer(result.peakResidentBytes)),
                        ("weight_bytes", .integer(result.weightBytes)), ("threads", .integer(result.threads)),
                        ("kernels", .string(result.kernels)), ("prompt_tokens", .integer(promptTokens)),
                        ("generate_tokens", .integer(generateTokens)), ("repetitions", .integer(repetitions)),
                    ])
                ).text())
        } else {
            try Terminal.print(
                "prefill  \(Int(result.prefillTokensPerSecond.rounded())) tokens/s (\(promptTokens) tokens)")
            try Terminal.print(
                "decode   \(Int(result.decodeTokensPerSecond.rounded())) tokens/s (\(generateTokens) tokens)")
            try Terminal.print("weights  \(result.weightBytes) bytes, peak memory \(result.peakResidentBytes) bytes")
            try Terminal.print("\(result.threads) threads, \(result.kernels) kernels")
        }
    }
}
