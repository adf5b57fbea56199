import ArgumentParser
import DyadExport
import DyadJobs

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
        var job = BenchmarkJob(program: program)
        (job.promptTokens, job.generateTokens, job.repetitions) = (promptTokens, generateTokens, repetitions)
        (job.threads, job.context, job.prompt) = (threads, context, prompt)
        if let results {
            let result = try job.results(in: results)
            try Terminal.print(json ? result.json().text() : result.table)
        } else if let target {
            let folder = try job.prepare(target, in: output) { Terminal.note($0) }
            try Terminal.print(json ? folder.json().text() : folder.table)
        } else {
            let result = try job.run()
            try Terminal.print(json ? result.json().text() : result.table)
        }
    }
}
