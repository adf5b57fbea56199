import ArgumentParser
import DyadEvaluation
import DyadFormats
import Foundation

@main
struct Dyad: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dyad",
        abstract: "Turns a language model into a static, integer-only program for mobile NPUs, and proves it.",
        version: dyadVersion,
        subcommands: [
            Quantize.self, Evaluate.self, Tokenize.self, BenchmarkCommand.self,
            Verify.self, Recipes.self,
        ])

    /// Runs the command; every ``DyadError`` becomes a line on standard error and its exit code.
    static func main() {
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as DyadError {
            Terminal.error(error.description)
            Foundation.exit(error.exitCode)
        } catch {
            exit(withError: error)
        }
    }
}
