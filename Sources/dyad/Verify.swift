import ArgumentParser
import DyadEvaluation
import DyadFormats
import DyadGraph
import DyadTokenizer
import Foundation

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare two executions of the same program, tensor by tensor.",
        discussion: """
            reference: the runtime against the reference interpreter; every integer must be equal, or the exit code is 1.
            exact: every operation against real arithmetic on its own integer inputs; differences are reported in steps \
            of the output's encoding.
            """)

    @Argument(help: "The .dyad file.") var program: String
    @Option(help: "reference or exact.") var against = Verification.Opponent.reference
    @Option(help: "The text whose first tokens are run.") var prompt =
        "The capital of France is Paris, a city on the river Seine."
    @Option(help: "Use at most so many tokens of the prompt.") var tokens = 32
    @Flag(help: "Print one JSON document.") var json = false

    func run() throws {
        guard tokens >= 1 else {
            throw DyadError(
                .usage, subject: "--tokens", found: "\(tokens)", expected: "at least 1", remedy: "Use 32.")
        }
        let loaded = try IntegerProgram.load(program)
        let tokenizer = try Tokenizer(document: loaded.tokenizer, file: program)
        let ids = Array(tokenizer.encode(prompt, parseSpecial: false).prefix(tokens))
        let result = try Verification.run(loaded, tokens: ids, against: against)
        if json {
            try Terminal.print(result.json().text())
        } else {
            for row in result.rows {
                let largest = String(format: "%.3f", row.maximumSteps), mean = String(format: "%.4f", row.meanSteps)
                try Terminal.print("max \(largest)  mean \(mean)  \(row.tensor)")
            }
            try Terminal.print(
                "\(result.rows.count) tensors, \(ids.count) tokens: largest difference \(result.maximumSteps) steps")
        }
        if against == .reference, result.maximumSteps > 0 {
            throw DyadError(
                .failed, file: program, found: "tensors that differ from the reference", expected: "equal integers",
                remedy: "This is a defect of Dyad: report it with the file and this machine's CPU.")
        }
    }
}

extension Verification.Opponent: ExpressibleByArgument {}
