import DyadFormats
import Foundation
import Testing

/// What pipes, devices and unaligned files do to whole commands.
@Suite("Inputs that are no ordinary files", .needsTorch)
struct OtherInputTests {
    @Test("a text may come from standard input, and a FIFO without a writer is no text")
    func standardInput() throws {
        let program = try TinyModel.quantized.get().path
        let folder = try Place.folder()
        try write(TinyModel.text, to: folder + "/text.txt")
        let expected = try dyad("evaluate", program, "--perplexity", folder + "/text.txt", "--context", "32", "--json")
        let piped = "cat text.txt | \"$0\" evaluate \"$1\" --perplexity - --context 32 --json"
        let outcome = try Command(executable: "/bin/sh", ["-c", piped, Place.dyad, program], in: folder).outcome()
        let (perplexity, whole) = (try outcome.json()["perplexity"], try expected.json()["perplexity"])
        #expect(perplexity != nil && perplexity == whole)
        #expect(mkfifo(folder + "/fifo", 0o600) == 0)
        let waiting = try dyad("evaluate", program, "--perplexity", folder + "/fifo", "--context", "32", "--json")
        expectFailure(waiting, 66, naming: "fifo", "a pipe that nobody writes to")
        #expect(waiting.seconds < 10)
    }

    @Test("a checkpoint that is a device or pipe is refused as what it is")
    func noCheckpoint() throws {
        let folder = try Place.folder()
        #expect(mkfifo(folder + "/fifo", 0o600) == 0)
        for (path, found) in [("/dev/zero", "a device or socket"), (folder + "/fifo", "a pipe")] {
            let outcome = try Command(TinyModel.quantize(path, folder + "/x.dyad")).outcome()
            expectFailure(outcome, 66, naming: path, found)
        }
    }

    @Test("a checkpoint whose data begin anywhere gives the same program")
    func unalignedCheckpoint() throws {
        let (model, folder) = (try TinyModel.folder.get(), try Place.folder())
        for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
            try FileManager.default.copyItem(atPath: "\(model)/\(name)", toPath: "\(folder)/\(name)")
        }
        let stored = try Data(contentsOf: URL(fileURLWithPath: model + "/model.safetensors"))
        let length = stored.prefix(8).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        var moved = withUnsafeBytes(of: (length + 3).littleEndian) { Data($0) }
        moved += stored[8..<8 + Int(length)] + Data("   ".utf8) + stored[(8 + Int(length))...]
        try moved.write(to: URL(fileURLWithPath: folder + "/model.safetensors"))
        let text = folder + "/text.txt"
        try write(TinyModel.text, to: text)
        func perplexity(_ path: String) throws -> JSONValue? {
            try dyad("evaluate", path, "--perplexity", text, "--context", "32", "--mode", "float", "--json").json()[
                "perplexity"]
        }
        let expected = try perplexity(model)
        let found = try perplexity(folder)
        #expect(expected != nil && found == expected)
    }

    @Test("a text of which the vocabulary knows nothing is not an empty text")
    func unknownCharacters() throws {
        // The letter z is gone from the alphabet, and nothing stands for what is missing.
        let folder = try Place.folder()
        try TinyModel.write(to: folder)
        let path = folder + "/tokenizer.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try write(text.replacingOccurrences(of: "\"z\":", with: "\"zz\":"), to: path)
        let program = folder + "/x.dyad"
        #expect(try Command(TinyModel.quantize(folder, program)).outcome().status == 0)
        expectFailure(
            try dyad("generate", program, "--prompt", "zzz"), 65, naming: "x.dyad", "tokenizer", "3 characters")
        expectFailure(try dyad("generate", program, "--prompt", ""), 64, naming: "prompt", "no token")
    }
}
