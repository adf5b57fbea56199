import ArgumentParser
import DyadCheckpoint
import DyadEvaluation
import DyadFormats
import DyadGraph
import DyadTokenizer

struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the token ids of a text, exactly as the model would see it.")

    @Argument(help: "A model or a .dyad file.") var model: String
    @Option(help: "The text file.") var file: String
    @Flag(help: "Recognise special tokens written in the text, and add those the model begins and ends texts with.")
    var special = false
    @Flag(help: "Print one JSON document.") var json = false

    func run() throws {
        let tokenizer = try Tokenizer.of(model)
        guard let text = try FileBytes(file).text else {
            throw DyadError(
                .malformed, file: file, found: "bytes that are no UTF-8", expected: "text in UTF-8",
                remedy: "Convert the file, for example with iconv.")
        }
        let ids = tokenizer.encode(text, parseSpecial: special, addSpecial: special)
        if json {
            let list = JSONValue.array(ids.map { .integer(Int($0)) })
            try Terminal.print(
                JSONValue.object(JSONObject([("token_ids", list), ("count", .integer(ids.count))])).text())
        } else {
            try Terminal.print(ids.map { "\($0)" }.joined(separator: " "))
        }
    }
}

extension Tokenizer {
    /// The tokenizer of a checkpoint or of a `.dyad` file.
    static func of(_ path: String) throws -> Tokenizer {
        guard path.hasSuffix(".dyad") else { return try Checkpoint.open(path).tokenizer() }
        return try Tokenizer(document: IntegerProgram.load(path).tokenizer, file: path)
    }
}
