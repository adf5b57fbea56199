import DyadFormats
import Foundation

/// A Llama of two layers with random weights and a byte-level tokenizer, in Hugging Face layout.
enum TinyModel {
    static let positions = 256
    static let hidden = 32
    static let vocabulary = 260

    /// The model's folder, written once a run.
    static let folder = Result {
        let folder = try Place.folder("tiny model")
        try write(to: folder)
        return folder
    }

    /// The model as a program, and how its quantisation went.
    static let quantized = Result {
        let path = try Place.folder("tiny program") + "/tiny.dyad"
        let outcome = try Command(quantize(try folder.get(), path)).outcome()
        return (path: path, outcome: outcome)
    }

    /// The arguments of a short quantisation.
    static func quantize(_ model: String, _ output: String) -> [String] {
        [
            "quantize", model, "-o", output, "--recipe", "static-w8a8", "--samples", "4", "--sequence-length", "32",
            "--context", "64",
            "--threads",
            "1", "--json",
        ]
    }

    /// English of all sorts, a few thousand bytes.
    static let text = (0..<60).map { "Line \($0): the quick brown fox counts \($0 * $0) sheep; so it goes.\n" }.joined()

    static func write(to folder: String) throws {
        try DyadCommandTests.write(configuration, to: folder + "/config.json")
        try DyadCommandTests.write(tokenizer, to: folder + "/tokenizer.json")
        try DyadCommandTests.write(tokenizerConfiguration, to: folder + "/tokenizer_config.json")
        try SafetensorsWriter.write(folder + "/model.safetensors", tensors)
    }

    private static let configuration = """
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": \(hidden),
         "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "vocab_size": \(vocabulary), "max_position_embeddings": \(positions), "rms_norm_eps": 1e-5,
         "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true,
         "bos_token_id": 256, "eos_token_id": 257}
        """

    private static let tokenizerConfiguration = """
        {"bos_token": "<s>", "eos_token": "</s>",
         "chat_template": "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}<s>"}
        """

    private static var tokenizer: String {
        // The alphabet of GPT-2: printable bytes stand for themselves, the others for the code points from 256 on.
        var (vocabulary, others) = (JSONObject(), UInt32(256))
        for byte in UInt32(0)...255 {
            let isPrintable = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
            let scalar = Unicode.Scalar(isPrintable ? byte : others).map { String(Character($0)) } ?? ""
            if !isPrintable { others += 1 }
            vocabulary.append(scalar, .integer(Int(byte)))
        }
        let special = ["<s>", "</s>", "<pad>", "<unk>"].enumerated().map { index, content -> JSONValue in
            ["id": .integer(256 + index), "content": .string(content), "special": true]
        }
        let document: JSONValue = [
            "added_tokens": .array(special), "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false],
            "decoder": ["type": "ByteLevel"],
            "model": ["type": "BPE", "vocab": .object(vocabulary), "merges": []],
        ]
        return document.text()
    }

    private static var tensors: [SafetensorsWriter.Tensor] {
        var state: UInt64 = 7
        // A sum of uniform numbers, near enough to a normal one; the multiplier is that of SplitMix64's finisher.
        func number() -> Float {
            var sum: Float = 0
            for _ in 0..<4 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                sum += Float(state >> 40) / Float(1 << 24) - 0.5
            }
            return sum
        }
        func random(_ name: String, _ shape: [Int], _ spread: Float) -> SafetensorsWriter.Tensor {
            .init(name, .float32, shape, (0..<shape.reduce(1, *)).map { _ in number() * spread })
        }
        func ones(_ name: String) -> SafetensorsWriter.Tensor {
            .init(name, .float32, [hidden], [Float](repeating: 1, count: hidden))
        }
        var all = [random("model.embed_tokens.weight", [vocabulary, hidden], 0.5), ones("model.norm.weight")]
        for layer in 0..<2 {
            let name = "model.layers.\(layer)."
            all += [
                ones(name + "input_layernorm.weight"), ones(name + "post_attention_layernorm.weight"),
                random(name + "self_attn.q_proj.weight", [32, hidden], 0.3),
                random(name + "self_attn.k_proj.weight", [16, hidden], 0.3),
                random(name + "self_attn.v_proj.weight", [16, hidden], 0.3),
                random(name + "self_attn.o_proj.weight", [hidden, 32], 0.3),
                random(name + "mlp.gate_proj.weight", [64, hidden], 0.3),
                random(name + "mlp.up_proj.weight", [64, hidden], 0.3),
                random(name + "mlp.down_proj.weight", [hidden, 64], 0.3),
            ]
        }
        return all
    }
}

/// Files of two tasks whose rows fit the tiny program's 64 positions.
enum TaskFiles {
    static func folder() throws -> String {
        let folder = try Place.folder("tasks")
        let files = [
            "arc_easy": (0..<3).map {
                ##"{"question": "\##($0) and 1?", "choices": ["no", "two", "é"], "gold": \##($0)}"##
            },
            "lambada_openai": ["one", "two"].map { ##"{"text": "the fox sees the \##($0)"}"## },
        ]
        for (name, lines) in files {
            try FileManager.default.createDirectory(atPath: folder + "/" + name, withIntermediateDirectories: true)
            try DyadCommandTests.write(lines.joined(separator: "\n") + "\n", to: folder + "/" + name + "/test.jsonl")
        }
        return folder
    }
}
