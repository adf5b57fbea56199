import DyadFormats
import DyadGraph

/// What a GGUF file says about the tokenizer: the vocabulary is the template's, which must be the program's; ends, the
/// token before a text and the chat template are the program's own.
struct GGUFTokenizerMetadata {
    let program: IntegerProgram
    let file: GGUFFile
    private static let prefix = "tokenizer.ggml."

    private var own: JSONValue? { program.tokenizer["dyad"] }
    private var ends: [Int] { own?["eos_token_ids"]?.array?.compactMap(\.integer) ?? [] }

    /// Whether a key of the template gives way to the program's, which may not have it.
    static func isReplaced(_ key: String) -> Bool {
        key.hasPrefix("tokenizer.chat_template")
            || ["bos_token_id", "add_bos_token", "add_eos_token", "eos_token_id", "eot_token_id", "eom_token_id"]
                .contains { key == prefix + $0 }
    }

    /// - Throws: `mismatch` naming a token that the program spells otherwise.
    func checkTokens() throws(DyadError) {
        let key = Self.prefix + "tokens"
        let found = try file.array(key)?.strings()
        let size = program.graph.vocabularySize
        guard let found, found.count == size else {
            throw mismatch(key, found.map { "\($0.count)" } ?? "none", "\(size)")
        }
        let tokens = program.tokenizer["model"]?["vocab"]?.array ?? []
        for (id, (stored, token)) in zip(found, tokens).enumerated() {
            guard let token = token.string, Array(token.utf8) != Array(stored.utf8) else { continue }
            throw mismatch("\(key)[\(id)]", "'\(stored.prefix(40))'", "'\(token.prefix(40))'")
        }
    }

    private func mismatch(_ key: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .mismatch, file: file.file.path, subject: key, found: found, expected: expected,
            remedy: "Name a GGUF file of the model that was quantised.")
    }

    /// The keys that the program decides.
    var values: [(key: String, value: GGUFValue)] {
        func id(_ key: String, _ id: Int) -> (String, GGUFValue) {
            (Self.prefix + key, .uint32(UInt32(truncatingIfNeeded: id)))
        }
        var values: [(key: String, value: GGUFValue)] = []
        let before = own?["prefix"]?.array?.compactMap(\.integer) ?? []
        if let token = program.graph.prefixTokens.first {
            values += [id("bos_token_id", Int(token)), (Self.prefix + "add_bos_token", .bool(true))]
        } else {
            if let token = before.first ?? own?["bos_token_id"]?.integer { values.append(id("bos_token_id", token)) }
            values.append((Self.prefix + "add_bos_token", .bool(!before.isEmpty)))
        }
        values.append((Self.prefix + "add_eos_token", .bool(false)))
        // llama.cpp has room for three ends.
        for (key, end) in zip(["eos_token_id", "eot_token_id", "eom_token_id"], ends) { values.append(id(key, end)) }
        if let template = own?["chat_template"]?.string {
            values.append(("tokenizer.chat_template", .string(template)))
        }
        return values
    }
}
