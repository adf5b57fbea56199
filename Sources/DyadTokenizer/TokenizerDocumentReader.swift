import DyadFormats

/// Collects a tokenizer from tokenizer.json and the files beside it.
struct TokenizerDocumentReader {
    let root: JSONField
    let file: String
    var chatTemplate: String?
    private var parts: TokenizerParts?

    init(root: JSONField, file: String) {
        self.root = root
        self.file = file
    }

    func finished() throws(DyadError) -> TokenizerParts {
        guard var parts else { preconditionFailure("readDocument() comes first") }
        parts.chatTemplate = chatTemplate ?? parts.chatTemplate
        return parts
    }

    mutating func readDocument() throws(DyadError) {
        var added: [AddedToken] = []
        if let list = try root.optional("added_tokens") {
            for element in try list.elements() { added.append(try AddedToken(element)) }
        }
        let model = try model()
        let vocabularyField = try model.member("vocab")
        var vocabulary = try Vocabulary(vocabularyField, added: added)
        try insert(added, into: &vocabulary, limit: 4 * (vocabulary.count + added.count) + 65_536)
        let rule = try rule(model, vocabulary)
        var preTokenizer: PreTokenizer?
        if let field = try root.optional("pre_tokenizer") { preTokenizer = try PreTokenizer(field) }
        var normalizer: Normalizer?
        if let field = try root.optional("normalizer") { normalizer = try Normalizer(field) }
        guard let decoder = try root.optional("decoder") else {
            throw root.failure(.unsupported, found: "no decoder", expected: "a field 'decoder'")
        }
        var parts = TokenizerParts(
            file: file, vocabulary: vocabulary, rule: rule.rule, ruleField: rule.field,
            fallback: try fallback(model, vocabulary),
            prefersWholePieces: try model.optional("ignore_merges")?.bool() ?? false, addedTokens: added,
            normalizer: normalizer, preTokenizer: preTokenizer, decoder: try TokenDecoder(decoder))
        if let field = try root.optional("post_processor") {
            let template = try PostProcessor(field, vocabulary)
            parts.prefix = template.prefix
            parts.suffix = template.suffix
        }
        if let own = try root.optional("dyad") { try Self.readOwn(own, into: &parts) }
        self.parts = parts
    }

    private func model() throws(DyadError) -> JSONField {
        let model = try root.member("model")
        if let type = try model.optional("type"), try type.string() != "BPE" {
            throw type.failure(
                .unsupported, found: "'\(try type.string())'", expected: "'BPE'",
                remedy: "This model's tokenizer cannot be used with Dyad.")
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let field = try model.optional(key), try !field.string().isEmpty {
                throw field.failure(.unsupported, found: "'\(try field.string())'", expected: "null")
            }
        }
        if let dropout = try model.optional("dropout"), try dropout.double() != 0 {
            throw dropout.failure(.unsupported, found: "\(try dropout.double())", expected: "null")
        }
        return model
    }

    private func insert(_ added: [AddedToken], into vocabulary: inout Vocabulary, limit: Int) throws(DyadError) {
        for (place, token) in added.enumerated() {
            let subject = JSONField(.null, file: file, path: "added_tokens[\(place)].id")
            guard token.id < limit else {
                throw subject.failure(.malformed, found: "\(token.id)", expected: "an id below \(limit)")
            }
            guard vocabulary.insert(token.content, id: token.id) else {
                throw subject.failure(
                    .malformed,
                    found: "\(token.id), the id of '\((vocabulary[token.id] ?? "").prefix(40))', for "
                        + "'\(token.content.prefix(40))'", expected: "one token for an id")
            }
        }
    }

    private func rule(_ model: JSONField, _ vocabulary: Vocabulary) throws(DyadError) -> (
        rule: BytePairModel.Rule, field: String
    ) {
        if let scores = try model.optional("scores") {
            var values: [Float] = []
            for score in try scores.elements() { values.append(Float(try score.double())) }
            guard values.count == vocabulary.count else {
                throw scores.failure(
                    .malformed, found: "\(values.count) scores", expected: "\(vocabulary.count), one for each token")
            }
            var isText = [Bool](repeating: true, count: values.count)
            for id in try model.member("inert").elements() {
                isText[try id.integer(in: 0...(values.count - 1))] = false
            }
            return (.scores(values, isText: isText), scores.path)
        }
        let merges = try model.member("merges")
        guard case .array(let elements) = merges.value else {
            throw merges.failure(.malformed, found: merges.value.kind, expected: "an array")
        }
        var pairs: [(String, String)] = []
        pairs.reserveCapacity(elements.count)
        for (place, element) in elements.enumerated() {
            if let line = element.string, let pair = MergeLine.pair(line) {
                pairs.append(pair)
            } else if let both = element.array, both.count == 2, let left = both[0].string, let right = both[1].string {
                pairs.append((left, right))
            } else {
                throw JSONField(element, file: file, path: "\(merges.path)[\(place)]").failure(
                    .malformed, found: element.kind, expected: "two tokens")
            }
        }
        return (.merges(pairs), merges.path)
    }

    private func fallback(_ model: JSONField, _ vocabulary: Vocabulary) throws(DyadError) -> BytePairModel.Fallback {
        var fallback = BytePairModel.Fallback()
        if let unknown = try model.optional("unk_token") {
            guard let id = vocabulary.id(of: try unknown.string()) else {
                throw unknown.failure(
                    .malformed, found: "'\(try unknown.string().prefix(60))', which is no token", expected: "a token")
            }
            fallback.unknown = id
        }
        fallback.fusesUnknown = try model.optional("fuse_unk")?.bool() ?? false
        if let bytes = try model.optional("byte_fallback"), try bytes.bool() {
            guard let ids = TokenizerParts.byteTokens(vocabulary) else {
                throw bytes.failure(
                    .malformed, found: "true without all 256 byte tokens", expected: "tokens <0x00> to <0xFF>")
            }
            fallback.bytes = ids
        }
        return fallback
    }

    /// The member `dyad` of documents that ``Tokenizer/json()`` wrote.
    private static func readOwn(_ own: JSONField, into parts: inout TokenizerParts) throws(DyadError) {
        let range = 0...max(0, parts.vocabulary.count - 1)
        func ids(_ key: String) throws(DyadError) -> [Int32] {
            var ids: [Int32] = []
            for id in try own.member(key).elements() { ids.append(Int32(try id.integer(in: range))) }
            return ids
        }
        parts.prefix = try ids("prefix")
        parts.suffix = try ids("suffix")
        parts.eosIDs = try ids("eos_token_ids")
        parts.bosID = try own.optional("bos_token_id").map { field throws(DyadError) in
            Int32(try field.integer(in: range))
        }
        parts.chatTemplate = try own.optional("chat_template")?.string()
    }

    /// tokenizer_config.json: which tokens are BOS and EOS, and the chat template.
    mutating func readConfiguration(_ field: JSONField) throws(DyadError) {
        let bos = try token("bos_token", field)
        parts?.bosID = bos
        let eos = try token("eos_token", field)
        if let eos { parts?.addEnd(eos) }
        if try field.optional("add_bos_token")?.value.bool == true, parts?.prefix.isEmpty == true, let bos {
            parts?.prefix = [bos]
        }
        guard let template = try field.optional("chat_template") else { return }
        if template.value.string != nil {
            chatTemplate = try template.string()
            return
        }
        // Several templates, each with a name; the one to chat with is called "default".
        for element in try template.elements() where try element.member("name").string() == "default" {
            chatTemplate = try element.member("template").string()
        }
    }

    /// The id of a token that is given as a string or as an object with `content`.
    private func token(_ key: String, _ field: JSONField) throws(DyadError) -> Int32? {
        guard let member = try field.optional(key) else { return nil }
        let content = try member.value.object == nil ? member.string() : member.member("content").string()
        guard let id = parts?.vocabulary.id(of: content) else {
            throw member.failure(
                .mismatch, found: "'\(content.prefix(60))', which is no token of \(file)",
                expected: "a token of the vocabulary", remedy: "Take both files from the same model.")
        }
        return id
    }

    /// generation_config.json: every end token.
    mutating func readGeneration(_ field: JSONField) throws(DyadError) {
        guard let ends = try field.optional("eos_token_id") else { return }
        let range = 0...max(0, (parts?.vocabulary.count ?? 0) - 1)
        for end in ends.value.array == nil ? [ends] : Array(try ends.elements()) {
            let id = Int32(try end.integer(in: range))
            parts?.addEnd(id)
        }
    }
}

/// The tokens that a `post_processor` puts before and after a single text.
struct PostProcessor {
    var prefix: [Int32] = []
    var suffix: [Int32] = []

    init(_ field: JSONField, _ vocabulary: Vocabulary) throws(DyadError) {
        let type = try field.member("type").string()
        switch type {
        case "ByteLevel": break
        case "Sequence":
            for element in try field.member("processors").elements() {
                let inner = try PostProcessor(element, vocabulary)
                prefix = inner.prefix + prefix
                suffix += inner.suffix
            }
        case "TemplateProcessing": try readTemplate(field, vocabulary)
        case "BertProcessing", "RobertaProcessing":
            prefix = [try Self.pair(try field.member("cls"), vocabulary)]
            suffix = [try Self.pair(try field.member("sep"), vocabulary)]
        default:
            throw try field.member("type").failure(
                .unsupported, found: "'\(type)'",
                expected: "ByteLevel, Sequence, TemplateProcessing, BertProcessing or RobertaProcessing",
                remedy: "This tokenizer cannot be used with Dyad.")
        }
    }

    private mutating func readTemplate(_ field: JSONField, _ vocabulary: Vocabulary) throws(DyadError) {
        var isAfterText = false
        for piece in try field.member("single").elements() {
            guard let special = try piece.optional("SpecialToken") else {
                isAfterText = true
                continue
            }
            let name = try special.member("id").string()
            for id in try field.member("special_tokens").member(name).member("ids").elements() {
                let id = Int32(try id.integer(in: 0...(vocabulary.count - 1)))
                if isAfterText { suffix.append(id) } else { prefix.append(id) }
            }
        }
    }

    /// The id in `["</s>", 2]`.
    private static func pair(_ field: JSONField, _ vocabulary: Vocabulary) throws(DyadError) -> Int32 {
        let elements = try field.elements()
        guard elements.count == 2 else {
            throw field.failure(.malformed, found: "\(elements.count) elements", expected: "a token and its id")
        }
        return Int32(try elements[1].integer(in: 0...(vocabulary.count - 1)))
    }
}
