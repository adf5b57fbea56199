import DyadCheckpoint
import DyadFormats
import DyadTokenizer

/// A GGUF file: opened, every value, array and tensor read, and a configuration and a tokenizer made of it.
enum GGUFTarget: FuzzTarget {
    static let name = "gguf"

    static func run(_ input: UnsafeRawBufferPointer) {
        let path = Scratch.file("file.gguf", input)
        attempt { () throws(DyadError) in
            let file = try GGUFFile(path: path)
            for (key, value) in file.metadata {
                _ = (
                    value.integer, value.double, value.string, value.bool, try? file.string(key),
                    try? file.integer(key, in: 0...100)
                )
                if let array = value.array {
                    _ = (try? array.values().count, try? array.strings(), try? array.integers(), try? array.floats())
                }
            }
            for name in file.names {
                let tensor = try file.tensor(name)
                require(tensor.range.count <= input.count, "a tensor larger than its file")
                _ = try tensor.floats()
            }
            attempt { () throws(DyadError) in
                let tokenizer = try Tokenizer(gguf: file)
                TokenizerTarget.use(tokenizer, text: "Hello, <end> w\u{F6}rld\n\n 123")
            }
            attempt { () throws(DyadError) in
                let checkpoint = try Checkpoint.open(path)
                for name in checkpoint.tensorNames { _ = try checkpoint.floats(name) }
            }
        }
    }

    static func seeds() throws -> [[UInt8]] {
        let tokens =
            ["<unk>", "<s>", "</s>"]
            + (0..<256).map {
                "<0x" + (String($0, radix: 16).uppercased().count < 2 ? "0" : "") + String($0, radix: 16).uppercased()
                    + ">"
            } + ["a", "b", "ab", "\u{2581}", "\u{2581}a"]
        let kinds = [Int32](repeating: 2, count: 1) + [3, 3] + [Int32](repeating: 6, count: 256) + [1, 1, 1, 1, 1]
        let shared: [(key: String, value: GGUFValue)] = [
            ("general.architecture", .string("llama")), ("general.alignment", .uint32(32)),
            ("llama.block_count", .uint32(1)),
            ("llama.context_length", .uint32(64)), ("llama.embedding_length", .uint32(32)),
            ("llama.feed_forward_length", .uint32(32)),
            ("llama.attention.head_count", .uint32(2)), ("llama.attention.head_count_kv", .uint32(1)),
            ("llama.attention.layer_norm_rms_epsilon", .float32(1e-5)), ("llama.rope.freq_base", .float32(10000)),
        ]
        let weights: [GGUFWriter.Tensor] = [
            .init("token_embd.weight", .f32, [8, 32], [Float](repeating: 0.5, count: 256)),
            .init("blk.0.attn_norm.weight", .f32, [32], [Float](repeating: 1, count: 32)),
            .init("blk.0.attn_q.weight", .q80, [32, 32], [UInt8](repeating: 1, count: 34 * 32)),
            .init("blk.0.attn_k.weight", .q40, [16, 32], [UInt8](repeating: 1, count: 18 * 16)),
            .init("blk.0.attn_v.weight", .q41, [16, 32], [UInt8](repeating: 1, count: 20 * 16)),
            .init("blk.0.attn_output.weight", .q50, [32, 32], [UInt8](repeating: 1, count: 22 * 32)),
            .init("blk.0.ffn_norm.weight", .f32, [32], [Float](repeating: 1, count: 32)),
            .init("blk.0.ffn_gate.weight", .q51, [32, 32], [UInt8](repeating: 1, count: 24 * 32)),
            .init("blk.0.ffn_up.weight", .f16, [32, 32], [UInt16](repeating: 1, count: 1024)),
            .init("blk.0.ffn_down.weight", .bf16, [32, 32], [UInt16](repeating: 1, count: 1024)),
            .init("output_norm.weight", .f32, [32], [Float](repeating: 1, count: 32)),
        ]
        return [
            try Scratch.bytes { path in try GGUFWriter.write(path, metadata: shared, tensors: weights) },
            try Scratch.bytes { path in
                try GGUFWriter.write(
                    path,
                    metadata: [
                        ("tokenizer.ggml.model", .string("llama")),
                        ("tokenizer.ggml.tokens", .array(try GGUFArray(strings: tokens))),
                        ("tokenizer.ggml.scores", .array(try GGUFArray(float32: tokens.indices.map { Float(-$0) }))),
                        ("tokenizer.ggml.token_type", .array(try GGUFArray(int32: kinds))),
                        ("tokenizer.ggml.bos_token_id", .uint32(1)),
                        ("tokenizer.ggml.eos_token_id", .uint32(2)), ("tokenizer.ggml.add_bos_token", .bool(true)),
                        ("tokenizer.chat_template", .string("{{ messages[0].content }}")),
                    ], tensors: [])
            },
            try Scratch.bytes { path in
                try GGUFWriter.write(
                    path,
                    metadata: [
                        ("general.architecture", .string("gpt2")), ("tokenizer.ggml.model", .string("gpt2")),
                        ("tokenizer.ggml.pre", .string("gpt-2")),
                        (
                            "tokenizer.ggml.tokens",
                            .array(try GGUFArray(strings: TokenizerTarget.alphabet + ["ab", "<end>"]))
                        ),
                        ("tokenizer.ggml.merges", .array(try GGUFArray(strings: ["a b"]))),
                        (
                            "tokenizer.ggml.token_type",
                            .array(try GGUFArray(int32: [Int32](repeating: 1, count: 257) + [3]))
                        ),
                        ("tokenizer.ggml.eos_token_id", .uint32(257)),
                    ], tensors: [])
            },
            try Scratch.bytes { path in
                try GGUFWriter.write(
                    path, metadata: [],
                    tensors: [
                        .init("q2", .q2K, [256], [UInt8](repeating: 3, count: 84)),
                        .init("q3", .q3K, [256], [UInt8](repeating: 3, count: 110)),
                        .init("q4", .q4K, [256], [UInt8](repeating: 3, count: 144)),
                        .init("q5", .q5K, [256], [UInt8](repeating: 3, count: 176)),
                        .init("q6", .q6K, [256], [UInt8](repeating: 3, count: 210)),
                    ])
            },
        ]
    }
}
