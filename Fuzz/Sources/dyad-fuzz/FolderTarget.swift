import DyadCheckpoint
import DyadFormats
import DyadTokenizer
import Foundation

/// The documents of a model folder, as one JSON object of file names: configuration, tokenizer and template together.
enum FolderTarget: FuzzTarget {
    static let name = "folder"
    private static let files = [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "added_tokens.json",
        "special_tokens_map.json",
        "chat_template.jinja", "chat_template.json",
    ]

    static func run(_ input: UnsafeRawBufferPointer) {
        guard let root = try? JSONValue.parse(input), let members = root.object else { return }
        for name in files {
            if let document = members[name] {
                _ = Scratch.file(name, document.string ?? document.text())
            } else {
                unlink(Scratch.folder + "/" + name)
            }
        }
        _ = Scratch.file("model.safetensors", SafetensorsMutation.joined("{}", []))
        attempt { () throws(DyadError) in _ = try Checkpoint.open(Scratch.folder) }
        attempt { () throws(DyadError) in TokenizerTarget.use(try Tokenizer(folder: Scratch.folder), text: "aba <end>")
        }
    }

    static func mutate(_ input: [UInt8], using random: inout SeededRandom) -> [UInt8]? {
        guard let root = try? input.withUnsafeBytes({ try JSONValue.parse($0) }) else { return nil }
        return Array(JSONMutation.changed(root, words: words, using: &random).text().utf8)
    }

    static func seeds() throws -> [[UInt8]] {
        let tokenizer: JSONValue = [
            "added_tokens": [
                ["id": 4, "content": "<end>", "special": true], ["id": 5, "content": "<s>", "special": true],
            ],
            "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false], "decoder": ["type": "ByteLevel"],
            "model": ["type": "BPE", "vocab": ["a": 0, "b": 1, "ab": 2, "aba": 3], "merges": ["a b", "ab a"]],
        ]
        let common: [(String, JSONValue)] = [
            ("vocab_size", 8), ("hidden_size", 8), ("intermediate_size", 16), ("num_hidden_layers", 1),
            ("num_attention_heads", 2),
            ("num_key_value_heads", 1), ("max_position_embeddings", 64), ("rms_norm_eps", .number(1e-5)),
            ("rope_theta", 10000), ("hidden_act", "silu"),
            ("bos_token_id", 5), ("eos_token_id", [4]), ("tie_word_embeddings", true),
        ]
        let families: [(String, [(String, JSONValue)])] = [
            (
                "llama",
                [
                    (
                        "rope_scaling",
                        [
                            "rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                            "original_max_position_embeddings": 32,
                        ]
                    )
                ]
            ),
            ("qwen2", [("use_sliding_window", false), ("sliding_window", 32)]), ("qwen3", [("head_dim", 4)]),
            ("mistral", [("sliding_window", nil)]),
            ("gemma", [("head_dim", 4), ("hidden_activation", "gelu_pytorch_tanh")]),
            ("stablelm", [("partial_rotary_factor", .number(0.5)), ("layer_norm_eps", .number(1e-5))]),
            ("llama", [("rope_parameters", ["rope_type": "yarn", "factor": 4, "rope_theta": 10000])]),
        ]
        return families.map { family, fields in
            let root: JSONValue = [
                "config.json": .object(JSONObject(common + [("model_type", .string(family))] + fields)),
                "generation_config.json": ["eos_token_id": [4, 5], "bos_token_id": 5], "tokenizer.json": tokenizer,
                "tokenizer_config.json": [
                    "bos_token": "<s>", "eos_token": ["content": "<end>", "lstrip": false], "add_bos_token": true,
                    "added_tokens_decoder": ["4": ["content": "<end>", "special": true]],
                    "chat_template": "{{ bos_token }}{{ messages[0]['content'] }}",
                ],
                "added_tokens.json": ["<end>": 4, "<new>": 6],
                "special_tokens_map.json": ["eos_token": "<end>", "additional_special_tokens": ["<s>"]],
                "chat_template.jinja": "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}",
            ]
            return Array(root.text().utf8)
        }
    }

    private static let words =
        files + [
            "model_type", "llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "stablelm", "phi", "starcoder2",
            "rope_scaling", "rope_parameters", "rope_theta",
            "rope_type", "type", "factor", "linear", "dynamic", "yarn", "llama3", "default", "longrope",
            "original_max_position_embeddings", "partial_rotary_factor",
            "head_dim", "hidden_act", "silu", "gelu", "gelu_pytorch_tanh", "attention_bias", "sliding_window",
            "layer_types", "torch_dtype", "vocab_size",
            "quantization_config", "bos_token_id", "eos_token_id", "pad_token_id", "bos_token", "eos_token",
            "unk_token", "additional_special_tokens",
            "added_tokens_decoder", "chat_template", "tokenizer_class", "name", "template", "tool_use", "add_bos_token",
            "add_eos_token", "add_prefix_space",
            "content", "<end>", "<s>", "NaN", "Infinity",
        ] + TokenizerTarget.words
}
