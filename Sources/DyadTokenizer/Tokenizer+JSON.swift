import DyadFormats

extension Tokenizer {
    /// Reads a tokenizer.json of Hugging Face's tokenizers (model `BPE`), or a document that ``json()`` wrote.
    /// - Parameters:
    ///   - json: the document.
    ///   - configuration: the tokenizer_config.json, which names special tokens and may hold the chat template.
    ///   - file: the file the document is from, for errors.
    /// - Throws: ``DyadError``: `malformed`, or `unsupported` naming the field.
    /// - Complexity: linear in the document.
    public convenience init(json: JSONValue, configuration: JSONValue? = nil, file: String) throws(DyadError) {
        var files = TokenizerFiles()
        files.configuration = configuration.map { JSONField($0, file: file + " (tokenizer_config.json)") }
        try self.init(try TokenizerDocumentReader(root: JSONField(json, file: file), file: file).parts(files))
    }

    /// Reads a document that ``json()`` wrote; see ``init(json:configuration:file:)``.
    public convenience init(document: JSONValue, file: String) throws(DyadError) {
        try self.init(json: document, file: file)
    }

    /// Reads a folder in Hugging Face layout: tokenizer.json, and what else is there of config.json,
    /// generation_config.json, tokenizer_config.json, added_tokens.json, special_tokens_map.json, chat_template.jinja
    /// and additional_chat_templates. Where they disagree, transformers 5.24 decides (<doc:ModelFolders>).
    /// - Throws: ``DyadError``: `missing` if there is no tokenizer.json, `mismatch` for an end token outside the
    ///   vocabulary, and as ``init(json:configuration:file:)``.
    public convenience init(folder: String) throws(DyadError) {
        let path = folder + "/tokenizer.json"
        let root = JSONField(try JSONValue.read(path), file: path)
        let files = try TokenizerFiles(folder: folder)
        try self.init(try TokenizerDocumentReader(root: root, file: path).parts(files))
    }

    /// The tokenizer as a self-contained document, which ``init(document:file:)`` reads back: laid out like a
    /// tokenizer.json, except that `model.vocab` is a list by id (ids without a token are `null`) and that a member
    /// `dyad` holds BOS, the ends, the named special tokens and the chat template. Equal tokenizers give equal documents.
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
                "special_tokens": .object(parts.namedTokens),
                "chat_template": parts.chatTemplate.map(JSONValue.string) ?? nil,
            ],
        ]
    }
}
