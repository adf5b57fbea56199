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
            Verify.self, Export.self, SensitivityCommand.self, Recipes.self,
        ])

    /// Runs the command; every ``DyadError`` becomes a line on standard error and its exit code.
    static func main() {
        waitWithoutSpinning()
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

    /// Starts the program again with `OMP_WAIT_POLICY=passive`, unless the user decided: libtorch's OpenMP threads spin while
    /// they wait for each other, and where another program wants the same cores they become some twenty times slower. OpenMP
    /// reads the variable before `main`, and has no other way to change it.
    private static func waitWithoutSpinning() {
        #if os(Linux)
            guard getenv("OMP_WAIT_POLICY") == nil, getenv("GOMP_SPINCOUNT") == nil else { return }
            setenv("OMP_WAIT_POLICY", "passive", 1)
            // On failure this process goes on as it is.
            if let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
                execv(path, CommandLine.unsafeArgv)
            }
        #endif
    }
}
