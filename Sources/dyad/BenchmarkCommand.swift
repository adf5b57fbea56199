import ArgumentParser
import DyadFormats
import DyadGraph
import DyadRuntime

struct BenchmarkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "benchmark", abstract: "Measure prefill and decode speed of a program on this machine.")

    @Argument(help: "The .dyad file.") var program: String
    @Option(help: "Tokens of the prompt.") var promptTokens = 512
    @Option(help: "Tokens to generate.") var generateTokens = 128
    @Option(help: "Threads (default: one a core).") var threads: Int?
    @Option(help: "Measured runs, of which the median is reported.") var repetitions = 5
    @Flag(help: "Print the result as JSON.") var json = false

    func run() throws {
        var options = Runtime.Options()
        if let threads { options.threads = threads }
        let result = try Benchmark.run(
            IntegerProgram.load(program), promptTokens: promptTokens, generateTokens: generateTokens, options: options,
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
