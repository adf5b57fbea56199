import DyadFormats

/// What a name in `tokenizer.ggml.pre` stands for. The names and patterns are those of llama.cpp
/// (src/llama-vocab.cpp), written as Hugging Face's steps.
struct GGUFPreTokenizer {
    var preTokenizer: PreTokenizer
    var normalizer: Normalizer?
    /// Whether a piece that is a token is left whole (`ignore_merges`).
    var prefersWholePieces = false

    /// The names that are known.
    static var names: [String] { table.flatMap(\.names) }

    private struct Row: Sendable {
        var names: [String]
        var patterns: [String]
        var endsWithGPT2 = false
        var prefersWholePieces = false
        var normalizes = false
    }

    private static let llama3 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"#
        + #"|\s+(?!\S)|\s+"#
    private static let qwen2 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"#
        + #"|\s+(?!\S)|\s+"#
    private static let contraction = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#
    private static let gpt4o =
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"# + contraction
        + #"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"# + contraction
        + #"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    private static let tekken =
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"#
        + #"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"#
        + #"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    private static let table: [Row] = [
        Row(
            names: [
                "gpt-2", "phi-2", "jina-es", "jina-de", "mpt", "olmo", "jais", "trillion", "roberta-bpe", "gigachat",
            ],
            patterns: [], endsWithGPT2: true),
        // Not a name of llama.cpp's, which takes `default` for these files: GPT-NeoX's own tokenizer.
        Row(names: ["gpt-neox"], patterns: [], endsWithGPT2: true, normalizes: true),
        Row(
            names: ["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
            patterns: [#"\p{N}"#], endsWithGPT2: true),
        Row(
            names: ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
            patterns: [llama3], prefersWholePieces: true),
        Row(names: ["dbrx", "smaug-bpe"], patterns: [llama3]),
        Row(
            names: ["qwen2", "deepseek-r1-qwen", "megrez"], patterns: [qwen2],
            normalizes: true),
        Row(names: ["stablelm2", "hunyuan", "solar-open"], patterns: [qwen2]),
        Row(names: ["gpt-4o", "llama4"], patterns: [gpt4o]),
        Row(names: ["tekken"], patterns: [tekken], prefersWholePieces: true),
        Row(
            names: ["falcon"], patterns: [#"[\p{P}\$\+<=>\^~\|`]+"#, PreTokenizer.gpt2Pattern, "[0-9][0-9][0-9]"]),
        Row(
            names: ["default"],
            patterns: [
                #"[\p{P}\$\+<=>\^~\|]+"#,
                #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"#, #"\p{N}+"#,
                "[0-9][0-9][0-9]",
            ]),
    ]

    /// The steps for a name; nil for names Dyad does not know.
    init?(name: String) {
        guard let row = Self.table.first(where: { $0.names.contains(name) }) else { return nil }
        var steps: [PreTokenizer] = row.patterns.map { pattern in
            .split(
                SplitRule(builtIn: pattern),
                source: [
                    "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated", "invert": false,
                ])
        }
        steps.append(.byteLevel(addPrefixSpace: false, usesPattern: row.endsWithGPT2))
        preTokenizer = .sequence(steps)
        normalizer = row.normalizes ? .form(.nfc) : nil
        prefersWholePieces = row.prefersWholePieces
    }
}
