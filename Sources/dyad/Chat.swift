import ArgumentParser
import DyadFormats
import DyadJobs
import DyadTokenizer
import Foundation

struct Chat: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Talk to a program: one message a line; an empty line or the end of input ends the conversation.")

    @Argument(help: "The .dyad file, or a checkpoint: the float model.") var program: String
    @Option(help: "What the model is told first.") var system: String?
    @OptionGroup var sampling: SamplingArguments

    func run() throws {
        let loaded = try Writer(program, threads: sampling.threads)
        var messages = system.map { [ChatMessage(role: "system", content: $0)] } ?? []
        while true {
            Terminal.say("> ")
            guard let line = readLine(), !line.isEmpty else { return }
            messages.append(ChatMessage(role: "user", content: line))
            let result = try loaded.generator.generate(loaded.prompt(messages), options: sampling.generation) {
                (piece) throws(DyadError) in
                try Terminal.print(piece, terminator: "")
                return true
            }
            try Terminal.print("")
            if result.isContextFull {
                Terminal.note("The context is full. Start a new conversation, or quantise with a larger --context.")
                return
            }
            messages.append(ChatMessage(role: "assistant", content: result.text))
        }
    }
}
