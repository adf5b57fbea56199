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
            Quantize.self, Evaluate.self, Generate.self, Chat.self, Tokenize.self, BenchmarkCommand.self, Inspect.self,
            Verify.self, Recipes.self,
        ])

    /// Runs the command; every ``DyadError`` becomes a line on standard error and its exit code.
    static func main() {
        // A closed pipe and a file-size limit become errors of the write that met them.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
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
