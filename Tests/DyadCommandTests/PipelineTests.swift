import DyadFormats
import Foundation
import Testing

/// Every command on a tiny model, as scripts use them: one JSON document on standard output, people's text elsewhere.
@Suite("Commands on a tiny model", .needsTorch)
struct PipelineTests {
    private func program() throws -> String { try TinyModel.quantized.get().path }

    private func text(_ content: String = TinyModel.text, _ name: String = "text.txt") throws -> String {
        let path = try Place.folder("text") + "/" + name
        try write(content, to: path)
        return path
    }

    /// The object a command printed, after checking that it succeeded.
    private func object(_ outcome: Command.Outcome) throws -> JSONObject {
        try #require(outcome.status == 0, "\(outcome.errors)")
        guard case .object(let object) = try outcome.json() else { throw CocoaError(.coderInvalidValue) }
        return object
    }

    private func positive(_ object: JSONObject, _ keys: String...) {
        for key in keys { #expect(object[key]?.double ?? 0 > 0, "\(key) in \(JSONValue.object(object).text())") }
    }

    @Test("quantize reports its four perplexities; progress goes to standard error")
    func quantize() throws {
        let (path, outcome) = try TinyModel.quantized.get()
        let report = try object(outcome)
        #expect(report["output"]?.string == path)
        positive(
            report, "seconds", "peak_resident_bytes", "float_perplexity", "folded_perplexity", "simulated_perplexity",
            "integer_perplexity")
        #expect(outcome.errors.contains("score: "))
        let simulated = try #require(report["simulated_perplexity"]?.double)
        let integer = try #require(report["integer_perplexity"]?.double)
        #expect(abs(integer / simulated - 1) < 0.02)
    }

    @Test("the same seed gives the same bytes")
    func repeatable() throws {
        let path = try Place.folder() + "/again.dyad"
        _ = try object(Command(TinyModel.quantize(try TinyModel.folder.get(), path)).outcome())
        let first = try Data(contentsOf: URL(fileURLWithPath: try program()))
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == first)
    }

    @Test("without a recipe quantize learns, as the best that is known does")
    func standardRecipe() throws {
        let path = try Place.folder() + "/standard.dyad"
        var arguments = TinyModel.quantize(try TinyModel.folder.get(), path)
        let place = try #require(arguments.firstIndex(of: "--recipe"))
        arguments.removeSubrange(place...place + 1)
        let outcome = try Command(arguments).outcome()
        _ = try object(outcome)
        #expect(outcome.errors.contains("learn: "))
        let program = try object(dyad("inspect", path, "--json"))
        #expect(JSONValue.object(program).text().contains("dyad-w8a8"))
    }

    @Test("inspect lists tensors of a checkpoint, its weights' file and a program")
    func inspect() throws {
        let model = try TinyModel.folder.get()
        for (path, kind) in [
            (model, "checkpoint"), (model + "/model.safetensors", "safetensors"), (try program(), "dyad"),
        ] {
            let found = try object(dyad("inspect", path, "--json"))
            #expect(found["kind"]?.string == kind)
            guard case .array(let tensors) = found["tensors"] else {
                Issue.record("\(kind): no tensors")
                continue
            }
            #expect(tensors.count >= 20)
            #expect(try dyad("inspect", path).output.contains(kind))
        }
    }

    @Test("evaluate compares float, simulated and integer with a reference")
    func evaluate() throws {
        let (model, program, text) = (try TinyModel.folder.get(), try program(), try text())
        let float = try object(dyad("evaluate", model, "--perplexity", text, "--context", "64", "--json"))
        positive(float, "perplexity", "tokens")
        #expect(float["mean_kl"] == nil)
        var perplexities: [Double] = []
        for mode in ["simulated", "integer"] {
            let result = try object(
                dyad(
                    "evaluate", program, "--perplexity", text, "--context", "64", "--max-tokens", "640", "--reference",
                    model, "--mode", mode, "--threads", "1", "--json"))
            positive(result, "perplexity", "tokens", "mean_kl", "top1_agreement", "reference_perplexity")
            #expect(result["tokens"]?.integer == 640)
            perplexities.append(try #require(result["perplexity"]?.double))
        }
        #expect(abs(perplexities[0] / perplexities[1] - 1) < 0.02)
    }

    @Test("conversations are answered, scored, compared and calibrate")
    func conversations() throws {
        let (model, program, folder) = (try TinyModel.folder.get(), try program(), try Place.folder("conversations"))
        let asking = folder + "/asking.jsonl"
        try write(
            """
            {"id": 1, "messages": [{"role": "user", "content": "Hi"}]}

            {"id": 2, "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]}
            """, to: asking)
        let answered = try dyad(
            "generate", model, "--conversations", asking, "--max-tokens", "6", "--temperature", "1", "--seed", "3")
        let lines = answered.output.split(separator: "\n").map(String.init)
        #expect(lines.count == 2)
        let rows = try lines.map { try JSONValue.parse($0, file: "answers") }
        #expect(rows.map { $0["id"]?.integer } == [1, 2])
        #expect(rows.map { $0["messages"]?.array?.count } == [2, 4])
        #expect(rows.allSatisfy { $0["messages"]?.array?.last?["role"]?.string == "assistant" })

        let all = folder + "/all.jsonl"
        try write(try String(contentsOfFile: asking, encoding: .utf8) + "\n" + answered.output, to: all)
        let result = try object(
            dyad(
                "evaluate", program, "--conversations", all, "--reference", model, "--answer-tokens", "5", "--threads",
                "1", "--json"))
        let (scores, answers) = (try #require(result["conversations"]), try #require(result["answers"]))
        #expect([scores["count"]?.integer, answers["count"]?.integer] == [2, 2], "\(answered.output)")
        for key in ["mean_kl", "top1_agreement", "perplexity", "tokens"] {
            #expect(scores[key]?.double ?? -1 > 0, "\(key)")
        }
        #expect(answers["first_token_agreement"]?.double != nil && answers["equal"]?.integer != nil)
        // The float model is itself to the last token.
        let itself = try object(
            dyad(
                "evaluate", model, "--conversations", all, "--reference", model, "--answers", "1", "--answer-tokens",
                "5", "--json"))
        #expect(itself["answers"]?["equal"]?.integer == 1 && itself["answers"]?["count"]?.integer == 1)
        #expect(itself["conversations"]?["mean_kl"]?.double ?? 1 < 1e-6)

        // Lengths beyond any context are refused, not added up.
        for arguments in [
            ["generate", model, "--conversations", asking, "--max-tokens", "\(Int.max)"],
            ["evaluate", program, "--conversations", all, "--reference", model, "--answer-tokens", "\(Int.max)"],
        ] {
            let outcome = try Command(arguments).outcome()
            #expect((1..<100).contains(outcome.status) && outcome.errors.contains("\(Int.max)"), "\(outcome.errors)")
        }

        let mixed = folder + "/mixed.jsonl"
        try write(
            answered.output + (0..<40).map { #"{"text": "Line \#($0) of a text."}"# }.joined(separator: "\n")
                + "\n{\"prompt\": \"1 + 1\", \"completion\": \"2\"}\n", to: mixed)
        let report = try object(
            dyad(
                "quantize", model, "-o", folder + "/mixed.dyad", "--recipe", "rtn-w8a8", "--samples", "2",
                "--sequence-length", "32", "--context", "64", "--calibration", mixed, "--json"))
        positive(report, "bytes", "integer_perplexity")
        for (line, field) in [("{}", "messages"), (#"{"prompt": "a"}"#, "completion"), (#"{"text": 3}"#, "text")] {
            try write(line, to: mixed)
            let outcome = try Command(TinyModel.quantize(model, folder + "/no.dyad") + ["--calibration", mixed])
                .outcome()
            #expect(outcome.status != 0 && outcome.errors.contains("line 1") && outcome.errors.contains(field))
        }
    }

    @Test("evaluate scores tasks, with a text or without, in every mode")
    func tasks() throws {
        let (model, program, data) = (try TinyModel.folder.get(), try program(), try TaskFiles.folder())
        for (path, mode) in [(model, "float"), (program, "simulated"), (program, "integer")] {
            let outcome = try dyad(
                "evaluate", path, "--mode", mode, "--tasks", "arc_easy,lambada_openai", "--data", data, "--json")
            let result = try object(outcome)
            #expect(result["perplexity"] == nil)
            let arc = try #require(result["tasks"]?["arc_easy"]?.object)
            #expect(arc["count"]?.integer == 3)
            for key in ["accuracy", "accuracy_norm", "standard_error"] { #expect(arc[key]?.double != nil, "\(key)") }
            let lambada = try #require(result["tasks"]?["lambada_openai"]?.object)
            positive(lambada, "perplexity", "count")
            #expect(outcome.errors.contains("arc_easy: 3/3"))
        }
        let both = try object(
            dyad(
                "evaluate", program, "--perplexity", try text(), "--context", "64", "--max-tokens", "128", "--tasks",
                "arc_easy", "--data", data, "--limit", "2", "--json"))
        positive(both, "perplexity", "tokens")
        #expect(both["tasks"]?["arc_easy"]?["count"]?.integer == 2)
        let table = try dyad("evaluate", program, "--tasks", "arc_easy", "--data", data).output
        #expect(table.hasPrefix("arc_easy ") && table.contains("accuracy ") && table.hasSuffix("3 rows\n"))
    }

    @Test("generate gives text, ids and why it ended")
    func generate() throws {
        let result = try object(
            dyad("generate", try program(), "--prompt", "The fox", "--max-tokens", "8", "--threads", "1", "--json"))
        guard case .array(let ids) = result["token_ids"] else {
            Issue.record("no token_ids")
            return
        }
        let reason = try #require(result["finish_reason"]?.string)
        #expect(result["text"]?.string != nil)
        #expect(reason == "length" ? ids.count == 8 : reason == "stop" && ids.count < 8)
        let answered = try object(
            dyad("generate", try program(), "--prompt", "Hello", "--chat", "--max-tokens", "2", "--json"))
        #expect(answered["prompt_tokens"]?.integer ?? 0 > 5)
    }

    @Test("generate stops where the context is full, and says so")
    func contextFull() throws {
        // Prompts that leave room for three tokens; a random model may choose its stop token before, but not after them all.
        var full = 0
        for letter in ["a", "q", "x", "z", "7"] {
            let outcome = try dyad(
                "generate", try program(), "--prompt", String(repeating: letter, count: 61), "--max-tokens", "1000",
                "--threads", "1", "--json")
            let result = try object(outcome)
            guard result["is_context_full"]?.bool == true else { continue }
            full += 1
            #expect(result["finish_reason"]?.string == "length")
            #expect(outcome.errors.contains("--context"))
        }
        #expect(full > 0)
    }

    @Test("benchmark, verify, tokenize and recipes print their keys")
    func others() throws {
        let speed = try object(
            dyad(
                "benchmark", try program(), "--prompt-tokens", "16", "--generate-tokens", "4", "--threads", "1",
                "--repetitions", "1", "--json"))
        positive(
            speed, "prefill_tokens_per_second", "decode_tokens_per_second", "peak_resident_bytes", "weight_bytes",
            "threads")
        #expect(speed["kernels"]?.string?.isEmpty == false)

        let equal = try object(dyad("verify", try program(), "--tokens", "8", "--json"))
        #expect(equal["max_lsb"]?.double == 0)
        positive(equal, "tensors")
        let exact = try object(dyad("verify", try program(), "--against", "exact", "--tokens", "8", "--json"))
        #expect(exact["against"]?.string == "exact")

        let folder = try Place.folder() + "/exported"
        let exported = try object(dyad("export", try program(), "-o", folder, "--chunk", "4", "--json"))
        #expect(exported["graphs"]?.array?.count == 2)
        for file in ["prefill.onnx", "decode.onnx", "weights.bin", "manifest.json"] {
            #expect(exists("\(folder)/\(file)"))
        }
        #expect(try dyad("verify", try program(), "--exported", folder, "--tokens", "2").status == 0)

        let litert = try Place.folder() + "/litert"
        let models = try object(
            dyad("export", try program(), "-o", litert, "--format", "litert", "--chunk", "4", "--split", "1", "--json"))
        #expect((models["graphs"]?.array?.count ?? 0) > 2)
        #expect(exists("\(litert)/decode-1.tflite"))
        #expect(try dyad("verify", try program(), "--exported", litert, "--tokens", "2").status == 0)

        let plain = try object(dyad("tokenize", try TinyModel.folder.get(), "--file", try text("a<s>"), "--json"))
        #expect(plain["token_ids"] == [97, 60, 115, 62])
        let special = try object(dyad("tokenize", try program(), "--file", try text("a<s>"), "--special", "--json"))
        #expect(special["token_ids"] == [97, 256])

        guard case .array(let recipes) = try dyad("recipes", "--json").json() else {
            Issue.record("recipes: no array")
            return
        }
        #expect(recipes.contains { $0["name"]?.string == "static-w8a8" })
    }

    @Test("chat answers a line and ends with its input")
    func chat() throws {
        let outcome = try dyad("chat", try program(), "--max-tokens", "3", "--threads", "1", input: "Hello\n")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(!outcome.output.isEmpty)
    }

    @Test("quantize writes into the current folder, and takes a recipe and a calibration text by path")
    func paths() throws {
        let folder = try Place.folder()
        try write("name: mine\nsummary: a test\nweights:\n  bits: 8\n", to: folder + "/my recipe.yaml")
        try write(TinyModel.text, to: folder + "/my text.txt")
        let outcome = try dyad(
            "quantize", try TinyModel.folder.get(), "-o", "out.dyad", "--recipe", "my recipe.yaml", "--calibration",
            "my text.txt", "--samples", "2", "--sequence-length", "16", "--threads", "1", "--json", in: folder)
        #expect(try object(outcome)["output"]?.string == "out.dyad")
        #expect(try list(folder) == ["my recipe.yaml", "my text.txt", "out.dyad"])
        // Without --context: as much as the model was made for, which is less than 1024.
        let facts = try object(dyad("inspect", "out.dyad", "--json", in: folder))["facts"]
        #expect(facts?["maximum_context"]?.integer == TinyModel.positions)
    }
}
