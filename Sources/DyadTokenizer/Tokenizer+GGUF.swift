import DyadFormats

extension Tokenizer {
    /// Reads the vocabulary of a GGUF file (`tokenizer.ggml.*`), models `gpt2` and `llama`.
    /// - Throws: ``DyadError``: `missing` if the file has no vocabulary, `malformed`, `unsupported` naming the key.
    /// - Complexity: linear in the vocabulary.
    public convenience init(gguf file: GGUFFile) throws(DyadError) {
        let reader = GGUFVocabularyReader(file: file)
        try self.init(try reader.parts())
    }
}

/// Reads the keys `tokenizer.ggml.*`, whose meaning llama.cpp defines.
struct GGUFVocabularyReader {
    let file: GGUFFile

    /// The values of `token_type`.
    private enum Kind: Int {
        case normal = 1
        case unknown, control, userDefined, unused, byte
    }

    func failure(_ reason: DyadError.Reason, _ key: String, found: String, expected: String, remedy: String? = nil)
        -> DyadError
    {
        DyadError(
            reason, file: file.file.path, subject: "tokenizer.ggml." + key, found: found, expected: expected,
            remedy: remedy ?? "Convert the model to GGUF again.")
    }

    func parts() throws(DyadError) -> TokenizerParts {
        guard let model = try file.string("tokenizer.ggml.model") else {
            throw failure(
                .malformed, "model", found: "no such key", expected: "a vocabulary",
                remedy: "Use a GGUF file that contains its tokenizer.")
        }
        let vocabulary = try vocabulary()
        let kinds = try kinds(count: vocabulary.count)
        var parts: TokenizerParts
        switch model {
        case "gpt2": parts = try byteLevel(vocabulary)
        case "llama": parts = try sentencePiece(vocabulary, kinds)
        default:
            throw failure(
                .unsupported, "model", found: "'\(model)'", expected: "'gpt2' or 'llama'",
                remedy: "This model's tokenizer cannot be used with Dyad.")
        }
        for (id, kind) in kinds.enumerated() where [.unknown, .control, .userDefined].contains(kind) {
            guard let content = vocabulary.tokens[id], !content.isEmpty else { continue }
            parts.addedTokens.append(
                AddedToken(
                    id: Int32(truncatingIfNeeded: id), content: content, isSpecial: kind != .userDefined))
        }
        try addControls(&parts, addsBOS: model == "llama" || parts.prefersWholePieces)
        parts.chatTemplate = try file.string("tokenizer.chat_template")
        return parts
    }

    private func vocabulary() throws(DyadError) -> Vocabulary {
        guard let tokens = try file.array("tokenizer.ggml.tokens")?.strings(), !tokens.isEmpty else {
            throw failure(.malformed, "tokens", found: "no tokens", expected: "at least one token")
        }
        guard tokens.count <= Vocabulary.largestID else {
            throw failure(
                .malformed, "tokens", found: "\(tokens.count) tokens", expected: "at most \(Vocabulary.largestID)")
        }
        var vocabulary = Vocabulary()
        for token in tokens { vocabulary.append(token) }
        return vocabulary
    }

    private func kinds(count: Int) throws(DyadError) -> [Kind] {
        guard let array = try file.array("tokenizer.ggml.token_type") else {
            return [Kind](repeating: .normal, count: count)
        }
        let values = try array.integers()
        guard values.count == count else {
            throw failure(
                .malformed, "token_type", found: "\(values.count) elements", expected: "\(count), one for each token")
        }
        // Type 0, "undefined", counts as normal; so does anything llama.cpp may add.
        return values.map { Kind(rawValue: $0) ?? .normal }
    }

    private func byteLevel(_ vocabulary: Vocabulary) throws(DyadError) -> TokenizerParts {
        guard let lines = try file.array("tokenizer.ggml.merges")?.strings() else {
            throw failure(.malformed, "merges", found: "no such key", expected: "a list of merges")
        }
        var pairs: [(String, String)] = []
        pairs.reserveCapacity(lines.count)
        for (place, line) in lines.enumerated() where !line.hasPrefix("#version") {
            guard let pair = MergeLine.pair(line) else {
                throw failure(
                    .malformed, "merges[\(place)]", found: "'\(line.prefix(60))'", expected: "two tokens and a space")
            }
            pairs.append(pair)
        }
        // Files from before the key existed: two architectures had one tokenizer each.
        let before = ["gptneox": "gpt-neox", "gpt2": "gpt-2"]
        let architecture = try file.string("general.architecture") ?? ""
        let name = try file.string("tokenizer.ggml.pre") ?? before[architecture] ?? "default"
        guard let preset = GGUFPreTokenizer(name: name) else {
            throw failure(
                .unsupported, "pre", found: "'\(name)'", expected: GGUFPreTokenizer.names.joined(separator: ", "),
                remedy: "Use the model's Hugging Face folder, whose tokenizer.json says how text is divided.")
        }
        return TokenizerParts(
            file: file.file.path, vocabulary: vocabulary, rule: .merges(pairs), ruleField: "tokenizer.ggml.merges",
            prefersWholePieces: preset.prefersWholePieces, normalizer: preset.normalizer,
            preTokenizer: preset.preTokenizer, decoder: .byteLevel)
    }

    private func sentencePiece(_ vocabulary: Vocabulary, _ kinds: [Kind]) throws(DyadError) -> TokenizerParts {
        guard let scores = try file.array("tokenizer.ggml.scores")?.floats(), scores.count == vocabulary.count else {
            throw failure(
                .malformed, "scores", found: "none, or not one for each token",
                expected: "\(vocabulary.count) numbers")
        }
        if try file.bool("tokenizer.ggml.remove_extra_whitespaces") == true {
            throw failure(
                .unsupported, "remove_extra_whitespaces", found: "true", expected: "false",
                remedy: "This model's tokenizer cannot be used with Dyad.")
        }
        let addsSpace = try file.bool("tokenizer.ggml.add_space_prefix") ?? true
        var normalizers: [Normalizer] = addsSpace ? [.prepend("▁")] : []
        normalizers.append(.replace(.literal(" "), with: "▁", source: ["String": " "]))
        var decoders: [TokenDecoder] = [.replace("▁", with: " "), .byteFallback, .fuse]
        if addsSpace { decoders.append(.strip(content: " ", start: 1, stop: 0)) }
        let unknown = try id("unknown_token_id", in: vocabulary) ?? kinds.firstIndex(of: .unknown).map(Int32.init)
        return TokenizerParts(
            file: file.file.path, vocabulary: vocabulary,
            rule: .scores(scores, isText: kinds.map { $0 == .normal || $0 == .unused || $0 == .userDefined }),
            ruleField: "tokenizer.ggml.scores",
            fallback: BytePairModel.Fallback(
                bytes: TokenizerParts.byteTokens(vocabulary), unknown: unknown, fusesUnknown: true),
            normalizer: .sequence(normalizers), decoder: .sequence(decoders))
    }

    private func addControls(_ parts: inout TokenizerParts, addsBOS: Bool) throws(DyadError) {
        parts.bosID = try id("bos_token_id", in: parts.vocabulary)
        // llama.cpp gives a template the first two always, empty where there is no such token.
        for name in ["bos", "eos"] { parts.namedTokens["\(name)_token"] = "" }
        let keys = [
            ("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("sep", "seperator"), ("pad", "padding"),
            ("cls", "cls"), ("mask", "mask"),
        ]
        for (name, key) in keys {
            // Writers mark a token that is not there by an id like 2^32 - 1.
            guard let id = try file.integer("tokenizer.ggml.\(key)_token_id"),
                parts.vocabulary.tokens.indices.contains(id),
                let token = parts.vocabulary.tokens[id]
            else { continue }
            parts.namedTokens["\(name)_token"] = .string(token)
        }
        for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
            if let id = try id(key, in: parts.vocabulary) { parts.addEnd(id) }
        }
        if try file.bool("tokenizer.ggml.add_bos_token") ?? addsBOS, let bos = parts.bosID { parts.prefix = [bos] }
        if try file.bool("tokenizer.ggml.add_eos_token") ?? false, let eos = parts.eosIDs.first { parts.suffix = [eos] }
    }

    private func id(_ key: String, in vocabulary: Vocabulary) throws(DyadError) -> Int32? {
        try file.integer("tokenizer.ggml." + key, in: 0...(vocabulary.count - 1)).map { Int32(truncatingIfNeeded: $0) }
    }
}

/// A merge written as one string.
enum MergeLine {
    /// The two tokens, which the first space after the first scalar divides; nil if there is none.
    static func pair(_ line: String) -> (String, String)? {
        let bytes = line.utf8
        guard let first = bytes.first, let start = bytes.dropFirst().firstIndex(of: UInt8(ascii: " ")), first != 0x20
        else { return nil }
        let right = bytes[bytes.index(after: start)...]
        guard !right.isEmpty, !right.contains(UInt8(ascii: " ")) else { return nil }
        return (String(line[..<start]), String(line[bytes.index(after: start)...]))
    }
}
