import ArgumentParser
import DyadEvaluation
import DyadJobs
import DyadFormats
import DyadQuantization
import DyadRuntime

struct Quantize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Quantise a model to a static integer-only program.",
        discussion: """
            MODEL is a folder in Hugging Face layout or a .gguf file. The scores in the report are measured on text that \
            calibrated nothing. The default recipe learns, which takes most of its time \
            (of a model of 135 million parameters 30 to 40 minutes on two cores, and 3 GB of memory) and can be resumed; static-w8a8 only \
            calibrates, in minutes.
            """)

    @OptionGroup var settings: CalibrationOptions
    @Option(name: .shortAndLong, help: "The .dyad file to write.") var output: String
    @Option(
        name: .customLong("max-16bit-sites"),
        help: "The share of 8-bit activations (as 10%) that may be 16 bit, the most sensitive ones.")
    var sixteenBitSites: String?
    @Option(help: "Bytes that all integer weights may take; the most sensitive 4-bit ones get 8 bits.")
    var maxBytes: Int?
    @Option(
        help: "What promotions may cost a token in estimated cycles, relative to none (as 1.05).")
    var maxLatency: Double?
    @Option(help: "Threads of the integer program's scoring (default: one a core).") var threads: Int?
    @Option(help: "Held-out windows that score the result (default: all).") var scoreWindows: Int?
    @Option(help: "A text whose end scores the result (default: the held-out end of the calibration text).")
    var scoreText: String?
    @Option(
        name: .customLong("run"),
        help: "Folder of a learning recipe's snapshots and log (default: OUTPUT with .run for .dyad).")
    var runDirectory: String?
    @Flag(help: "Continue the learning run that is there.") var resume = false
    @Option(help: "Seconds between the snapshots of a learning run.") var snapshotSeconds = 240.0
    @Flag(help: "Print the report as JSON.") var json = false

    func run() throws {
        var job = try settings.job(output: output)
        job.threads = threads
        (job.runDirectory, job.resumes) = (runDirectory, resume)
        guard snapshotSeconds >= 0 else {
            throw DyadError(
                .usage, subject: "--snapshot-seconds", found: "\(snapshotSeconds)", expected: "0 or more",
                remedy: "Leave it out for 240.")
        }
        job.snapshotSeconds = snapshotSeconds
        guard scoreWindows ?? 1 >= 1 else {
            throw DyadError(
                .usage, subject: "--score-windows", found: "\(scoreWindows ?? 0)", expected: "1 or more",
                remedy: "Leave it out for all.")
        }
        (job.scoreWindows, job.scoreText) = (scoreWindows, scoreText)
        if sixteenBitSites != nil || maxBytes != nil {
            var allocation = job.recipe.allocation ?? Allocation()
            allocation.sixteenBitShare = try sixteenBitSites.map(share) ?? allocation.sixteenBitShare
            allocation.weightBytes = maxBytes ?? allocation.weightBytes
            job.recipe.allocation = allocation
        }
        if let maxLatency {
            guard maxLatency >= 1, job.recipe.allocation != nil else {
                throw DyadError(
                    .usage, subject: "--max-latency",
                    found: job.recipe.allocation == nil ? "no budget of sites or bytes" : "\(maxLatency)",
                    expected: "a factor from 1, beside --max-16bit-sites or --max-bytes",
                    remedy: "For example --max-16bit-sites 100% --max-latency 1.05.")
            }
            job.recipe.allocation?.latency = maxLatency
        }
        let report = try job.run(progress: ProgressLine())
        if json {
            try Terminal.print(report.json(peakResidentBytes: Benchmark.peakResidentBytes()).text())
        } else {
            try Terminal.print(report.table)
        }
    }

    /// `10%` or `0.1`.
    private func share(_ text: String) throws -> Double {
        let value = text.hasSuffix("%") ? Double(text.dropLast()).map { $0 / 100 } : Double(text)
        guard let value, (0...1).contains(value) else {
            throw DyadError(
                .usage, subject: "--max-16bit-sites", found: text, expected: "a share from 0% to 100%",
                remedy: "For example 10%.")
        }
        return value
    }
}
