import DyadFormats

/// Collects a tokenizer from tokenizer.json and the files beside it.
struct TokenizerDocumentReader {
    let root: JSONField
    let file: String

    /// Reads tokenizer.json, and then what the files beside it say.
    func parts(_ files: TokenizerFiles) throws(DyadError) -> TokenizerParts {
        let model = try model()
        let elements = try root.optional("added_tokens")?.elements()
        var vocabulary = try Vocabulary(try model.member("vocab"), added: elements?.count ?? 0)
        var added = AddedTokenList(beside: vocabulary)
        if let elements {
            for element in elements { try added.add(try AddedToken(element), to: &vocabulary, at: element) }
        }
        let rule = try rule(model, vocabulary)
        var preTokenizer: PreTokenizer?
        if let field = try root.optional("pre_tokenizer") { preTokenizer = try PreTokenizer(field) }
        var normalizer: Normalizer?
        if let field = try root.optional("normalizer") { normalizer = try Normalizer(field) }
        let decoder = try root.optional("decoder").map { (field) throws(DyadError) in try TokenDecoder(field) }
        var parts = TokenizerParts(
            file: file, vocabulary: vocabulary, rule: rule.rule, ruleField: rule.field,
            fallback: try fallback(model, vocabulary),
            prefersWholePieces: try model.optional("ignore_merges")?.bool() ?? false, addedTokens: added.tokens,
            normalizer: normalizer, preTokenizer: preTokenizer, decoder: decoder ?? .spaced)
        if let field = try root.optional("post_processor") {
            let template = try PostProcessor(field, vocabulary)
            parts.prefix = template.prefix
            parts.suffix = template.suffix
        }
        if let own = try root.optional("dyad") { try Self.readOwn(own, into: &parts) }
        try apply(files, &added, to: &parts)
        return parts
    }

    /// The files beside tokenizer.json: further added tokens, named tokens, ends, and the chat template.
    private func apply(
        _ files: TokenizerFiles, _ added: inout AddedTokenList, to parts: inout TokenizerParts
    ) throws(DyadError) {
        let defaults = try files.defaults(isByteLevel: parts.preTokenizer?.isByteLevel ?? false)
        let settings = try TokenizerSettings(files, added: added.tokens, defaults: defaults)
        for (token, field) in settings.additions { try added.add(token, to: &parts.vocabulary, at: field) }
        parts.addedTokens = added.tokens
        for (name, token, _) in settings.named { parts.namedTokens[name] = .string(token.content) }
        func id(_ name: String) -> Int32? { parts.namedTokens[name]?.string.flatMap { parts.vocabulary.id(of: $0) } }
        let size = max(
            parts.vocabulary.count,
            try files.model?.optional("vocab_size")?.integer(in: 0...Vocabulary.largestID) ?? 0)
        func ids(_ key: String) throws(DyadError) -> [Int32] {
            var ids: [Int32] = []
            for (id, field) in try files.ids(key) {
                guard id >= 0, id < size else {
                    throw field.failure(
                        .mismatch, found: "\(id)", expected: "an id of the vocabulary, from 0 to \(size - 1)",
                        remedy: "Take all files from the same revision of the model, or correct this one.")
                }
                ids.append(Int32(truncatingIfNeeded: id))
            }
            return ids
        }
        let beginnings = try ids("bos_token_id")
        parts.bosID = id("bos_token") ?? parts.bosID ?? beginnings.first
        for end in try ids("eos_token_id") { parts.addEnd(end) }
        if let end = id("eos_token") { parts.addEnd(end) }
        if parts.eosIDs.isEmpty, let end = files.defaultEnd, end < size { parts.addEnd(end) }
        if let templates = files.templates {
            parts.chatTemplate = templates["default"]?.text
            parts.chatTemplateFile = templates["default"]?.file
            parts.otherTemplates = templates.keys.filter { $0 != "default" }.sorted()
        } else if let template = settings.chatTemplate {
            parts.chatTemplate = template
            parts.chatTemplateFile = files.configuration?.file
        } else {
            parts.otherTemplates = settings.otherTemplates
        }
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
            // The first line of a merges.txt, which tokenizers skips wherever it stands.
            if let line = element.string, line.hasPrefix("#version") { continue }
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
        // The model may know more ids than the tokenizer has tokens.
        let range = 0...Vocabulary.largestID
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
        if let named = try own.optional("special_tokens") {
            for (name, field) in try named.members() { parts.namedTokens[name] = .string(try field.string()) }
        } else {
            // Files from before the member existed.
            func content(_ id: Int32?) -> JSONValue { .string(id.flatMap { parts.vocabulary[$0] } ?? "") }
            parts.namedTokens["bos_token"] = content(parts.bosID)
            parts.namedTokens["eos_token"] = content(parts.eosIDs.first)
        }
    }
}

/// The tokens that a `post_processor` puts before and after a single text.
struct PostProcessor {
    var prefix: [Int32] = []
    var suffix: [Int32] = []

    /// Whether nothing is put around a text.
    var isEmpty: Bool { prefix.isEmpty && suffix.isEmpty }

    init(_ field: JSONField, _ vocabulary: Vocabulary) throws(DyadError) {
        let type = try field.member("type").string()
        switch type {
        case "ByteLevel": break
        case "Sequence":
            for element in try field.member("processors").elements() {
                let inner = try PostProcessor(element, vocabulary)
                guard inner.isEmpty || isEmpty else {
                    throw element.failure(
                        .unsupported, found: "a second step that adds tokens", expected: "one such step at most",
                        remedy: "tokenizers takes the first step's result for two texts: leave one of the two out.")
                }
                if !inner.isEmpty { self = inner }
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
        let single = try field.member("single")
        for piece in try single.elements() {
            guard let special = try piece.optional("SpecialToken") else {
                let name = try piece.member("Sequence").member("id").string()
                guard name == "A", !isAfterText else { throw Self.notOneText(single) }
                isAfterText = true
                continue
            }
            let name = try special.member("id").string()
            for id in try field.member("special_tokens").member(name).member("ids").elements() {
                let id = Int32(try id.integer(in: 0...(vocabulary.count - 1)))
                if isAfterText { suffix.append(id) } else { prefix.append(id) }
            }
        }
        guard isAfterText else { throw Self.notOneText(single) }
    }

    private static func notOneText(_ field: JSONField) -> DyadError {
        field.failure(
            .unsupported, found: "a template that does not have the text A once and nothing else",
            expected: "special tokens around one Sequence A",
            remedy: "Correct the template: a causal model reads a text once.")
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
