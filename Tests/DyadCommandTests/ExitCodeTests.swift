import Foundation
import Testing

/// 64 wrong usage, 65 bad input file, 66 input missing, 73 cannot write output; the message on standard error.
@Suite("Exit codes")
struct ExitCodeTests {
    @Test(
        "a wrong command line is 64, with the usage",
        arguments: [
            ["--nonsense"], ["nonsense"], ["quantize"], ["quantize", "model", "-o", "a.dyad", "--nonsense"],
            ["quantize", "model", "-o", "a.dyad", "--samples", "many"], ["evaluate", "a.dyad", "--perplexity"],
            ["generate", "a.dyad"], ["verify", "a.dyad", "--against", "me"], ["recipes", "surplus"],
        ])
    func usage(arguments: [String]) throws {
        let outcome = try Command(arguments).outcome()
        #expect(outcome.status == 64)
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("Error: "))
        #expect(outcome.errors.contains("Usage: dyad"))
    }

    @Test("a missing model, program, recipe or text is 66")
    func missing() throws {
        let folder = try Place.folder()
        let (model, program) = (folder + "/no model", folder + "/none.dyad")
        try write("text", to: folder + "/text.txt")
        expectFailure(try dyad("quantize", model, "-o", folder + "/a.dyad"), 66, naming: "no model")
        expectFailure(
            try dyad("quantize", model, "-o", folder + "/a.dyad", "--recipe", folder + "/no.yaml"), 66,
            naming: "no.yaml")
        expectFailure(try dyad("evaluate", program, "--perplexity", folder + "/text.txt"), 66, naming: "none.dyad")
        expectFailure(try dyad("generate", program, "--prompt", "a"), 66, naming: "none.dyad")
        expectFailure(try dyad("chat", program), 66, naming: "none.dyad")
        expectFailure(try dyad("benchmark", program), 66, naming: "none.dyad")
        expectFailure(try dyad("verify", program), 66, naming: "none.dyad")
        expectFailure(try dyad("inspect", program), 66, naming: "none.dyad")
        expectFailure(try dyad("tokenize", model, "--file", folder + "/text.txt"), 66, naming: "no model")
        #expect(try list(folder) == ["text.txt"])
    }

    @Test("evaluate: nothing to measure, an unknown task, tasks without data 64; files of tasks missing 66, damaged 65")
    func tasks() throws {
        let folder = try Place.folder()
        expectFailure(try dyad("evaluate", "model"), 64, naming: "--perplexity", "--tasks")
        expectFailure(try dyad("evaluate", "model", "--tasks", "piqa"), 64, naming: "--data")
        let unknown = try dyad("evaluate", "model", "--tasks", "piqa,best", "--data", folder)
        expectFailure(unknown, 64, naming: "best", "arc_easy", "hellaswag", "winogrande")
        let data = try TaskFiles.folder()
        let limit = try dyad("evaluate", "model", "--tasks", "arc_easy", "--data", data, "--limit", "0")
        expectFailure(limit, 64, naming: "--limit")
        let reference = try dyad(
            "evaluate", "model", "--tasks", "arc_easy", "--data", data, "--reference", "model")
        expectFailure(reference, 64, naming: "--reference")
        let missing = try dyad("evaluate", "model", "--tasks", "piqa", "--data", folder + "/none")
        expectFailure(missing, 66, naming: "none/piqa/validation.jsonl", "--data")
        try write("\n{\"question\": 1}\n", to: data + "/arc_easy/test.jsonl")
        let damaged = try dyad("evaluate", "model", "--tasks", "arc_easy", "--data", data)
        expectFailure(damaged, 65, naming: "test.jsonl", "line 2", "choices")
    }

    @Test("an unknown recipe is 64 and the message lists the known ones")
    func recipe() throws {
        let outcome = try dyad("quantize", "model", "-o", "a.dyad", "--recipe", "best")
        expectFailure(outcome, 64, naming: "best", "static-w8a8")
    }

    @Test("a recipe with a mistake is 65 and names the key")
    func badRecipe() throws {
        let path = try Place.folder() + "/bad.yaml"
        try write("name: a\nsummary: b\nweights:\n  bits: 5\n", to: path)
        expectFailure(try dyad("quantize", "model", "-o", "a.dyad", "--recipe", path), 65, naming: "bad.yaml", "bits")
        try write("name: [a\n", to: path)
        expectFailure(try dyad("quantize", "model", "-o", "a.dyad", "--recipe", path), 65, naming: "bad.yaml")
    }

    @Test("an output that cannot be written is 73, before any work")
    func output() throws {
        let folder = try Place.folder()
        expectFailure(try dyad("quantize", "model", "-o", folder + "/none/a.dyad"), 73, naming: "none/a.dyad")
        try FileManager.default.createDirectory(atPath: folder + "/b.dyad", withIntermediateDirectories: true)
        expectFailure(try dyad("quantize", "model", "-o", folder + "/b.dyad"), 73, naming: "b.dyad", "folder")
        expectFailure(try dyad("quantize", "model", "-o", folder + "/model.bin"), 64, naming: "model.bin", ".dyad")
        #expect(try list(folder) == ["b.dyad"])
    }

    @Test("standard output that takes nothing is 73", .enabled(if: exists("/dev/full"), "no /dev/full here"))
    func fullOutput() throws {
        let command = try Command(executable: "/bin/sh", ["-c", "exec \"$0\" recipes > /dev/full", Place.dyad])
        expectFailure(try command.outcome(), 73, naming: "standard output")
    }

    @Test("a pipe that nobody reads is no crash")
    func closedPipe() throws {
        let script = "{ \"$0\" recipes --json; echo $? >&2; } | :"
        let outcome = try Command(executable: "/bin/sh", ["-c", script, Place.dyad]).outcome()
        #expect(outcome.errors.hasSuffix("\n73\n") || outcome.errors == "0\n", "\(outcome.errors)")
    }

    @Test("a build without libtorch says so", .enabled(if: !torchIsAvailable, "built with libtorch"))
    func withoutTorch() throws {
        let output = try Place.folder() + "/a.dyad"
        let outcome = try Command(TinyModel.quantize(try TinyModel.folder.get(), output)).outcome()
        expectFailure(outcome, 1, naming: "libtorch")
    }
}

/// Mistakes that only a model shows.
@Suite("Wrong arguments", .needsTorch)
struct WrongArgumentTests {
    private func quantize(_ changes: String...) throws -> Command.Outcome {
        let output = try Place.folder() + "/a.dyad"
        let outcome = try Command(["quantize", try TinyModel.folder.get(), "-o", output] + changes).outcome()
        #expect(!exists(output))
        return outcome
    }

    @Test("lengths beyond the model's positions, and senseless numbers, are refused")
    func lengths() throws {
        expectFailure(try quantize("--context", "257"), 64, naming: "--context", "257", "256")
        expectFailure(try quantize("--context", "1"), 64, naming: "--context")
        expectFailure(try quantize("--context", "9223372036854775807"), 64, naming: "--context")
        expectFailure(try quantize("--sequence-length", "1000"), 64, naming: "--sequence-length", "256")
        expectFailure(try quantize("--samples", "0"), 64, naming: "--samples")
        expectFailure(try quantize("--samples", "9223372036854775807"), 64, naming: "--samples")
    }

    @Test("calibration texts: missing 66; empty, too short, no UTF-8, damaged jsonl 65")
    func calibration() throws {
        let folder = try Place.folder()
        expectFailure(try quantize("--calibration", folder + "/no.txt"), 66, naming: "no.txt")
        expectFailure(try quantize("--calibration", folder), 66, naming: "folder")
        try write("", to: folder + "/empty.txt")
        expectFailure(try quantize("--calibration", folder + "/empty.txt"), 65, naming: "empty.txt", "0 tokens")
        try write("short", to: folder + "/short.txt")
        expectFailure(try quantize("--calibration", folder + "/short.txt"), 65, naming: "short.txt", "5 tokens")
        try Data([0xff, 0xfe, 0x61]).write(to: URL(fileURLWithPath: folder + "/latin.txt"))
        expectFailure(try quantize("--calibration", folder + "/latin.txt"), 65, naming: "latin.txt", "UTF-8")
        try write("{\"text\": \"a\"}\n{\"txt\": \"b\"}\n", to: folder + "/bad.jsonl")
        expectFailure(try quantize("--calibration", folder + "/bad.jsonl"), 65, naming: "bad.jsonl", "line 2")
    }

    @Test("evaluate: windows beyond the context, a mode the file has not, and a text of nothing are refused")
    func evaluate() throws {
        let (model, program) = (try TinyModel.folder.get(), try TinyModel.quantized.get().path)
        let text = try Place.folder() + "/text.txt"
        try write(TinyModel.text, to: text)
        expectFailure(try dyad("evaluate", model, "--perplexity", text), 64, naming: "--context", "256")
        expectFailure(try dyad("evaluate", program, "--perplexity", text), 64, naming: "--context", "64")
        for (path, mode) in [(model, "integer"), (program, "float")] {
            let outcome = try dyad("evaluate", path, "--perplexity", text, "--context", "32", "--mode", mode)
            expectFailure(outcome, 64, naming: "--mode", mode)
        }
        let missing = try dyad("evaluate", program, "--perplexity", text + ".no", "--context", "32")
        expectFailure(missing, 66, naming: "text.txt.no")
        try write("", to: text)
        let outcome = try dyad("evaluate", program, "--perplexity", text, "--context", "32")
        expectFailure(outcome, 64, naming: "0 tokens")
    }

    @Test("generate: no prompt is 64, a prompt beyond the context 1")
    func prompts() throws {
        let program = try TinyModel.quantized.get().path
        expectFailure(try dyad("generate", program, "--prompt", ""), 64, naming: "prompt", "no token")
        let long = String(repeating: "long ", count: 20_000)
        let outcome = try dyad("generate", program, "--prompt", long)
        expectFailure(outcome, 1, naming: "context", "100000 more tokens", "64")
        #expect(outcome.seconds < 10)
        expectFailure(try dyad("generate", program, "--prompt", "a", "--temperature=-1"), 64, naming: "temperature")
        expectFailure(try dyad("generate", program, "--prompt", "a", "--max-tokens=-1"), 64, naming: "max-tokens")
        expectFailure(try dyad("generate", program, "--prompt", "a", "--threads", "0"), 64, naming: "threads")
    }

    @Test("benchmark and verify: numbers that do not fit are refused")
    func numbers() throws {
        let program = try TinyModel.quantized.get().path
        for count in ["0", "-1", "65", "9223372036854775807"] {
            expectFailure(try dyad("benchmark", program, "--prompt-tokens=\(count)"), 64, naming: "prompt", count)
        }
        expectFailure(try dyad("verify", program, "--tokens=-1"), 64, naming: "--tokens", "-1")
        // More than the context holds is cut, and said.
        let long = String(repeating: "long ", count: 20)
        let cut = try dyad("verify", program, "--prompt", long, "--tokens", "100")
        #expect(cut.status == 0 && cut.errors.contains("100") && cut.output.contains(", 6"), "\(cut.errors)")
        for option in ["--chunk=0", "--context=1", "--windows=-1", "--layers=0"] {
            let name = String(option.prefix { $0 != "=" })
            expectFailure(try dyad("verify", program, "--against", "onnxruntime", option), 64, naming: name)
        }
    }

    @Test("export: impossible shapes, a chip that is not one, and a folder that cannot be made")
    func exports() throws {
        let program = try TinyModel.quantized.get().path, folder = try Place.folder()
        expectFailure(try dyad("export", program, "-o", folder + "/a", "--context", "65"), 65, naming: "65")
        expectFailure(try dyad("export", program, "-o", folder + "/a", "--chunk=-1"), 65, naming: "-1 tokens")
        expectFailure(try dyad("export", program, "-o", folder + "/a", "--format", "qnn"), 64, naming: "--target")
        expectFailure(try dyad("export", program, "-o", folder + "/a", "--format", "gguf"), 64, naming: "--template")
        expectFailure(
            try dyad("export", program, "-o", folder + "/a", "--format", "litert", "--target", "sm8650"), 64,
            naming: "ethos-u85-256")
        expectFailure(try dyad("export", program, "-o", folder + "/a", "--split", "0"), 64, naming: "--split")
        expectFailure(try dyad("export", program, "-o", "/dev/null/a"), 73, naming: "/dev/null/a")
        expectFailure(try dyad("export", folder + "/none.dyad", "-o", folder + "/a"), 66, naming: "none.dyad")
        expectFailure(
            try dyad("verify", program, "--exported", folder + "/none"), 66, naming: "none/manifest.json")
    }
}
