import DyadFormats

extension Tokenizer {
    /// Reads a tokenizer.json of Hugging Face's tokenizers (model `BPE`), or a document that ``json()`` wrote.
    /// - Parameters:
    ///   - json: the document.
    ///   - configuration: the tokenizer_config.json, which names BOS and EOS and holds the chat template.
    ///   - file: the file the document is from, for errors.
    /// - Throws: ``DyadError``: `malformed`, or `unsupported` naming the field.
    /// - Complexity: linear in the document.
    public convenience init(json: JSONValue, configuration: JSONValue? = nil, file: String) throws(DyadError) {
        var reader = TokenizerDocumentReader(root: JSONField(json, file: file), file: file)
        try reader.readDocument()
        if let configuration {
            try reader.readConfiguration(JSONField(configuration, file: file + " (tokenizer_config.json)"))
        }
        try self.init(try reader.finished())
    }

    /// Reads a document that ``json()`` wrote; see ``init(json:configuration:file:)``.
    public convenience init(document: JSONValue, file: String) throws(DyadError) {
        try self.init(json: document, file: file)
    }

    /// Reads a folder in Hugging Face layout: tokenizer.json, and where they exist tokenizer_config.json,
    /// chat_template.jinja and generation_config.json (further end tokens).
    /// - Throws: ``DyadError``: `missing` if there is no tokenizer.json, and as ``init(json:configuration:file:)``.
    public convenience init(folder: String) throws(DyadError) {
        func optional(_ name: String) throws(DyadError) -> JSONField? {
            let path = folder + "/" + name
            do {
                return JSONField(try JSONValue.read(path), file: path)
            } catch {
                if error.reason == .missing { return nil }
                throw error
            }
        }
        let path = folder + "/tokenizer.json"
        var reader = TokenizerDocumentReader(root: JSONField(try JSONValue.read(path), file: path), file: path)
        try reader.readDocument()
        if let configuration = try optional("tokenizer_config.json") { try reader.readConfiguration(configuration) }
        if let generation = try optional("generation_config.json") { try reader.readGeneration(generation) }
        if reader.chatTemplate == nil {
            do {
                let template = try FileBytes(folder + "/chat_template.jinja")
                reader.chatTemplate = withExtendedLifetime(template) { String(decoding: template.bytes, as: UTF8.self) }
            } catch  where error.reason == .missing {}
        }
        try self.init(try reader.finished())
    }

    /// The tokenizer as a self-contained document, which ``init(document:file:)`` reads back: laid out like a
    /// tokenizer.json, except that `model.vocab` is a list by id (ids without a token are `null`) and that a member
    /// `dyad` holds BOS, EOS and the chat template. Equal tokenizers give equal documents.
    public func json() -> JSONValue {
        var model = JSONObject([
            ("type", "BPE"), ("dropout", nil),
            ("unk_token", parts.fallback.unknown.flatMap { parts.vocabulary[$0] }.map(JSONValue.string) ?? nil),
            ("fuse_unk", .bool(parts.fallback.fusesUnknown)),
            ("byte_fallback", .bool(parts.fallback.bytes != nil)),
            ("ignore_merges", .bool(parts.prefersWholePieces)),
            ("vocab", .array(parts.vocabulary.tokens.map { $0.map(JSONValue.string) ?? nil })),
        ])
        switch parts.rule {
        case .merges(let pairs): model["merges"] = .array(pairs.map { [.string($0.0), .string($0.1)] })
        case .scores(let scores, let isText):
            model["scores"] = .array(scores.map { JSONValue.number($0) })
            model["inert"] = .array(isText.indices.filter { !isText[$0] }.map { .integer($0) })
        }
        func ids(_ ids: [Int32]) -> JSONValue { .array(ids.map { .integer(Int($0)) }) }
        return [
            "version": "1.0", "truncation": nil, "padding": nil,
            "added_tokens": .array(parts.addedTokens.map(\.json)),
            "normalizer": parts.normalizer?.json ?? nil, "pre_tokenizer": parts.preTokenizer?.json ?? nil,
            "post_processor": nil, "decoder": parts.decoder.json, "model": .object(model),
            "dyad": [
                "prefix": ids(parts.prefix), "suffix": ids(parts.suffix),
                "bos_token_id": parts.bosID.map { .integer(Int($0)) } ?? nil, "eos_token_ids": ids(parts.eosIDs),
                "chat_template": parts.chatTemplate.map(JSONValue.string) ?? nil,
            ],
        ]
    }
}
