import ArgumentParser
import DyadEvaluation
import DyadJobs
import DyadFormats

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what is in a checkpoint, a GGUF or safetensors file, or a .dyad file, and where the bytes went."
    )

    @Argument(help: "A folder or a file.") var file: String
    @Flag(help: "Print one JSON document.") var json = false

    func run() throws {
        let inspection = try Inspection(file)
        try Terminal.print(json ? inspection.json().text() : inspection.table)
    }
}
