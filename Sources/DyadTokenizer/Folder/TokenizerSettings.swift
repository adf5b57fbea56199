import DyadFormats

/// What the files beside tokenizer.json say about a tokenizer, put together as transformers 5.24 does
/// (`PreTrainedTokenizerBase._from_pretrained`): the page <doc:ModelFolders> has the order of precedence.
struct TokenizerSettings {
    /// The names that every tokenizer knows, in transformers' order.
    static let standardNames = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]

    /// The named special tokens in order (`bos_token`, …, `image_token`), each with its place.
    private(set) var named: [(name: String, token: AddedToken, field: JSONField)] = []
    /// The tokens to add to those of tokenizer.json, in order.
    private(set) var additions: [(token: AddedToken, field: JSONField)] = []
    /// The template that `chat_template` of tokenizer_config.json holds.
    private(set) var chatTemplate: String?
    /// The names of its templates where none of several is called "default".
    private(set) var otherTemplates: [String] = []

    private var values = FieldList()
    /// Tokens that the files describe in full, by content.
    private var described: [ExactString: AddedToken] = [:]

    /// Puts files together.
    /// - Parameters:
    ///   - files: the documents.
    ///   - added: the added tokens of tokenizer.json.
    ///   - defaults: the named tokens that the tokenizer's class has where no file says otherwise.
    init(_ files: TokenizerFiles, added: [AddedToken], defaults: [(name: String, content: String)]) throws(DyadError) {
        if let configuration = files.configuration {
            for (key, field) in try configuration.members() { values[key] = field }
        }
        if let field = values["split_special_tokens"], !field.isEmptyInPython {
            throw field.failure(
                .unsupported, found: "true", expected: "special tokens that are found in a text",
                remedy: "Set it to false: a chat template writes its special tokens into the text.")
        }
        // With a tokenizer.json, its post-processor alone says what goes around a text.
        for key in ["add_bos_token", "add_eos_token"] { values[key] = nil }
        if let extra = values["additional_special_tokens"], values["extra_special_tokens"]?.isEmptyInPython ?? true {
            values["extra_special_tokens"] = extra
            values["additional_special_tokens"] = nil
        }
        if let field = values["chat_template"] { try readTemplate(field) }
        var specific = FieldList()
        for (key, field) in values.members where Self.isSpecific(key) && field.value.string != nil {
            specific[key] = field
            values[key] = nil
        }
        if let extra = values["extra_special_tokens"], extra.value.object != nil {
            for (key, field) in try extra.members() { specific[key] = field }
            values["extra_special_tokens"] = nil
        }
        // The newest name for them counts only where the older ones say nothing.
        if let explicit = values["model_specific_special_tokens"] {
            if specific.isEmpty, !explicit.value.isNull {
                for (key, field) in try explicit.members() { specific[key] = field }
            }
            values["model_specific_special_tokens"] = nil
        }
        var decoder: [(id: Int, token: AddedToken, field: JSONField)] = []
        if let field = values["added_tokens_decoder"], !field.value.isNull {
            decoder = try describe(field)
        } else {
            try merge(files.specialTokensMap, into: &specific)
            decoder = try describeAdded(files.addedTokens, tokenizer: added)
            for token in added { described[ExactString(token.content)] = token }
        }
        try name(specific, defaults)
        try collect(decoder, beside: added)
    }

    private static func isSpecific(_ key: String) -> Bool { key.hasSuffix("_token") && !standardNames.contains(key) }

    /// `added_tokens_decoder`: full descriptions by id.
    private mutating func describe(_ field: JSONField) throws(DyadError) -> [(Int, AddedToken, JSONField)] {
        var decoder: [(id: Int, token: AddedToken, field: JSONField)] = []
        for (key, field) in try field.members() {
            guard let id = Int(key) else {
                throw field.failure(.malformed, found: "the key '\(key.prefix(40))'", expected: "an id")
            }
            let token = try AddedToken(describedBy: field)
            decoder.append((id, token, field))
            described[ExactString(token.content)] = token
        }
        return decoder.sorted { $0.id < $1.id }
    }

    /// special_tokens_map.json, which is read only where tokenizer_config.json has no `added_tokens_decoder`.
    private mutating func merge(_ map: JSONField?, into specific: inout FieldList) throws(DyadError) {
        guard let map else { return }
        for (key, field) in try map.members() {
            if key == "extra_special_tokens", field.value.object != nil {
                for (key, field) in try field.members() { specific[key] = field }
            } else if key == "extra_special_tokens", let list = field.value.array, let before = values[key]?.value.array
            {
                let texts = Set(before.map { ExactString($0.text()) })
                let new = list.filter { !texts.contains(ExactString($0.text())) }
                values[key] = JSONField(.array(before + new), file: field.file, path: field.path)
            } else {
                values[key] = field
            }
        }
    }

    /// added_tokens.json: ids by content. An id that tokenizer.json gives to an added token is that token's.
    private mutating func describeAdded(_ file: JSONField?, tokenizer: [AddedToken]) throws(DyadError)
        -> [(Int, AddedToken, JSONField)]
    {
        guard let file else { return [] }
        var special = Set<ExactString>()
        for name in Self.standardNames {
            guard let field = values[name], !field.isEmptyInPython else { continue }
            special.insert(ExactString(try AddedToken(namedBy: field).content))
        }
        if let extra = values["extra_special_tokens"], !extra.value.isNull {
            for field in try extra.elements() { special.insert(ExactString(try AddedToken(namedBy: field).content)) }
        }
        let taken = Set(tokenizer.map { Int($0.id) })
        var decoder: [(id: Int, token: AddedToken, field: JSONField)] = []
        for (content, field) in try file.members() {
            let id = try field.integer()
            let isSpecial = special.contains(ExactString(content))
            let token = AddedToken(id: -1, content: content, isSpecial: isSpecial, isNormalized: !isSpecial)
            described[ExactString(content)] = token
            if !taken.contains(id) { decoder.append((id, token, field)) }
        }
        return decoder.sorted { $0.id < $1.id }
    }

    private func extraFields() throws(DyadError) -> [JSONField] {
        let field = values["extra_special_tokens"] ?? values["additional_special_tokens"]
        guard let field, !field.value.isNull else { return [] }
        return Array(try field.elements())
    }

    private mutating func name(
        _ specific: FieldList, _ defaults: [(name: String, content: String)]
    ) throws(DyadError) {
        for name in Self.standardNames {
            if let field = values[name] {
                if !field.value.isNull { try add(name, field) }
            } else if let content = defaults.first(where: { $0.name == name })?.content {
                try add(name, JSONField(.string(content), file: nil, path: name))
            }
        }
        var rest = FieldList()
        for (key, field) in values.members where Self.isSpecific(key) && Self.isToken(field) { rest[key] = field }
        for (key, field) in specific.members { rest[key] = field }
        for (key, field) in rest.members { try add(key, field) }
    }

    private static func isToken(_ field: JSONField) -> Bool {
        field.value.string != nil || field.value["content"] != nil
    }

    private mutating func add(_ name: String, _ field: JSONField) throws(DyadError) {
        let token = try AddedToken(namedBy: field)
        named.append((name, described[ExactString(token.content)] ?? token, field))
    }

    /// What is new beside tokenizer.json: descriptions that differ from its own, then named and further tokens.
    private mutating func collect(
        _ decoder: [(id: Int, token: AddedToken, field: JSONField)], beside added: [AddedToken]
    ) throws(DyadError) {
        var known: [ExactString: AddedToken] = [:]
        for token in added { known[ExactString(token.content)] = token }
        for (_, token, field) in decoder {
            if let same = known[ExactString(token.content)], same.hasFlags(of: token) { continue }
            additions.append((token, field))
        }
        // Of several names and lists that spell one new token with other flags, the last counts.
        let contents = Set(known.keys).union(additions.map { ExactString($0.token.content) })
        for (_, token, field) in named where !contents.contains(ExactString(token.content)) {
            additions.append((token, field))
        }
        for field in try extraFields() {
            let token = try AddedToken(namedBy: field)
            if !contents.contains(ExactString(token.content)) { additions.append((token, field)) }
        }
        let names = Set(named.map { ExactString($0.token.content) })
        for place in additions.indices where names.contains(ExactString(additions[place].token.content)) {
            additions[place].token.isSpecial = true
            let (value, field) = (additions[place].field.value, additions[place].field)
            // Unless the file says it, a special token is not normalised.
            if value.object != nil, try field.optional("normalized") == nil {
                additions[place].token.isNormalized = false
            }
        }
    }

    /// One template, or the one called "default" of several.
    private mutating func readTemplate(_ field: JSONField) throws(DyadError) {
        var named: [(name: String, template: JSONField)] = []
        switch field.value {
        case .null: return
        case .object: named = try field.members().map { ($0.0, $0.1) }
        case .array:
            for element in try field.elements() {
                named.append((try element.member("name").string(), try element.member("template")))
            }
        default: named = [("default", field)]
        }
        chatTemplate = try named.last { $0.name == "default" }?.template.string()
        otherTemplates = named.map(\.name).filter { $0 != "default" }
    }
}

/// Fields by key in the order in which the keys first came.
struct FieldList {
    private var keys: [String] = []
    private var known: Set<ExactString> = []
    private var fields: [ExactString: JSONField] = [:]

    subscript(key: String) -> JSONField? {
        get { fields[ExactString(key)] }
        set {
            fields[ExactString(key)] = newValue
            // A key that was removed keeps its place: looking for it would make many removals quadratic.
            if newValue != nil, known.insert(ExactString(key)).inserted { keys.append(key) }
        }
    }

    var isEmpty: Bool { fields.isEmpty }

    var members: [(key: String, field: JSONField)] {
        keys.compactMap { key in fields[ExactString(key)].map { (key, $0) } }
    }
}

extension JSONField {
    /// Whether Python takes the value for false: null, false, 0, or empty.
    var isEmptyInPython: Bool {
        switch value {
        case .null, .bool(false), .integer(0): true
        case .string(let text): text.isEmpty
        case .array(let elements): elements.isEmpty
        case .object(let object): object.isEmpty
        default: value.double == 0
        }
    }
}
