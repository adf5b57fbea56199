import DyadFormats
import Foundation

/// The documents of a model folder that say something about its tokenizer; those that are not there are nil.
struct TokenizerFiles {
    /// tokenizer_config.json
    var configuration: JSONField?
    /// special_tokens_map.json
    var specialTokensMap: JSONField?
    /// added_tokens.json
    var addedTokens: JSONField?
    /// generation_config.json
    var generation: JSONField?
    /// config.json
    var model: JSONField?
    /// chat_template.jinja and additional_chat_templates/*.jinja, by name; nil if there is none of them.
    var templates: [String: (text: String, file: String)]?

    /// No files.
    init() {}

    /// Reads what a folder has.
    /// - Throws: ``DyadError``: `malformed` naming the file.
    init(folder: String) throws(DyadError) {
        func optional(_ name: String) throws(DyadError) -> JSONField? {
            let path = folder + "/" + name
            guard FileKind(path) != .nothing else { return nil }
            return JSONField(
                try JSONValue.read(path, limit: JSONValue.descriptionLimit, allowsNonFinite: true), file: path)
        }
        configuration = try optional("tokenizer_config.json")
        specialTokensMap = try optional("special_tokens_map.json")
        addedTokens = try optional("added_tokens.json")
        generation = try optional("generation_config.json")
        model = try optional("config.json")
        var templates: [String: (text: String, file: String)] = [:]
        let main = folder + "/chat_template.jinja"
        if FileKind(main) != .nothing { templates["default"] = (try Self.text(main), main) }
        let further = folder + "/additional_chat_templates"
        if FileKind(further) == .folder {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: further)) ?? []
            for name in names.sorted() where name.hasSuffix(".jinja") {
                templates[String(name.dropLast(6))] = (try Self.text(further + "/" + name), further + "/" + name)
            }
        }
        self.templates = templates.isEmpty ? nil : templates
    }

    private static func text(_ path: String) throws(DyadError) -> String {
        guard let text = try FileBytes(path, limit: 16 << 20).text else {
            throw DyadError(
                .malformed, file: path, found: "bytes that are no UTF-8", expected: "a template in UTF-8",
                remedy: "Write or download the file again.")
        }
        // As Python reads text.
        return text.replacing("\r\n", with: "\n").replacing("\r", with: "\n")
    }
}

extension TokenizerFiles {
    /// The end token that the model's class in transformers has where no file names one.
    var defaultEnd: Int32? {
        guard generation == nil, let model, model.value["eos_token_id"] == nil else { return nil }
        let ends: [String: Int32] = ["llama": 2, "mistral": 2, "gemma": 1, "stablelm": 0]
        return model.value["model_type"]?.string.flatMap { ends[$0] }
    }

    /// The ids that `key` of generation_config.json, then of config.json names, each with its place.
    func ids(_ key: String) throws(DyadError) -> [(id: Int, field: JSONField)] {
        var ids: [(id: Int, field: JSONField)] = []
        for file in [generation, model] {
            guard let field = try file?.optional(key) else { continue }
            for field in field.value.array == nil ? [field] : Array(try field.elements()) {
                ids.append((try field.integer(), field))
            }
        }
        return ids
    }
}
