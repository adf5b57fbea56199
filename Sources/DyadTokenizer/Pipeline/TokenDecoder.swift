import DyadFormats

/// How tokens become text again.
indirect enum TokenDecoder: Sendable {
    /// Tokens spell bytes in ``ByteAlphabet``.
    case byteLevel
    /// `<0xE2>` stands for a byte.
    case byteFallback
    /// Every occurrence in a token is replaced.
    case replace(String, with: String)
    /// SentencePiece's: `replacement` is a space, but not in the first token.
    case metaspace(PreTokenizer.Metaspace)
    /// Scalars equal to `content` are dropped from the start and the end: of each token, or after `fuse` of the text.
    case strip(content: Unicode.Scalar, start: Int, stop: Int)
    /// What follows sees the whole text.
    case fuse
    case sequence([TokenDecoder])
    /// Tokens as they are spelt, with a space between two: what a tokenizer without a decoder gives.
    case spaced

    /// The steps without nesting.
    var steps: [TokenDecoder] {
        if case .sequence(let parts) = self { parts.flatMap(\.steps) } else { [self] }
    }
}

/// The bytes that every token stands for, worked out once.
///
/// Bytes that form no UTF-8 become U+FFFD by the rule of the Unicode standard (one for a maximal part of a
/// sequence), for byte-level and byte-fallback tokens alike.
struct DecodingTable: Sendable {
    private var bytes: [UInt8] = []
    private var offsets: [Int] = [0]
    /// The first token has another spelling when ``TokenDecoder/metaspace(_:)`` or ``TokenDecoder/spaced`` decodes.
    private var firstBytes: [UInt8]? = nil
    private var firstOffsets: [Int] = [0]
    /// Scalars dropped from the start of the text: at most `count` times the bytes of `scalar`.
    let leading: (scalar: [UInt8], count: Int)

    /// The table of a vocabulary; `spelling` holds tokens that are decoded as if they were spelt otherwise.
    init(_ vocabulary: Vocabulary, _ decoder: TokenDecoder, spelling: [Int: String] = [:]) {
        let steps = decoder.steps
        let fuse = steps.firstIndex { if case .fuse = $0 { true } else { false } } ?? steps.count
        var leading: (scalar: [UInt8], count: Int) = ([], 0)
        if case .strip(let scalar, let start, _)? = steps.dropFirst(fuse + 1).first {
            leading = (Array(String(Character(scalar)).utf8), start)
        }
        self.leading = leading
        let firstDiffers = steps.contains { step in
            switch step {
            case .metaspace, .spaced: true
            default: false
            }
        }
        if firstDiffers { firstBytes = [] }
        for (id, listed) in vocabulary.tokens.enumerated() {
            let token = spelling[id] ?? listed
            bytes += Self.spell(token ?? "", steps[..<fuse], isFirst: false)
            offsets.append(bytes.count)
            if firstDiffers {
                firstBytes? += Self.spell(token ?? "", steps[..<fuse], isFirst: true)
                firstOffsets.append(firstBytes?.count ?? 0)
            }
        }
    }

    /// The bytes of a token; none for an id that is no token. `isFirst`: whether the text begins with it.
    func bytes(of id: Int32, isFirst: Bool) -> ArraySlice<UInt8> {
        guard id >= 0, Int(id) < offsets.count - 1 else { return [] }
        if isFirst, let firstBytes { return firstBytes[firstOffsets[Int(id)]..<firstOffsets[Int(id) + 1]] }
        return bytes[offsets[Int(id)]..<offsets[Int(id) + 1]]
    }

    private static func spell(_ token: String, _ steps: ArraySlice<TokenDecoder>, isFirst: Bool) -> [UInt8] {
        var token = token
        for step in steps {
            switch step {
            case .byteLevel: return ByteAlphabet.bytes(of: token) ?? Array(token.utf8)
            case .byteFallback: if let byte = byte(token) { return [byte] }
            case .replace(let old, let new): token = Self.replace(old, with: new, in: token)
            case .metaspace(let metaspace):
                let dropped = isFirst && metaspace.prepend != .never
                token = replace(String(Character(metaspace.replacement)), with: dropped ? "" : " ", in: token)
            case .strip(let scalar, let start, let stop):
                var scalars = Substring(token).unicodeScalars
                for _ in 0..<start where scalars.first == scalar { scalars.removeFirst() }
                for _ in 0..<stop where scalars.last == scalar { scalars.removeLast() }
                token = String(scalars)
            case .spaced: token = isFirst || token.isEmpty ? token : " " + token
            case .fuse, .sequence: break
            }
        }
        return Array(token.utf8)
    }

    /// The byte of `<0xE2>`.
    static func byte(_ token: String) -> UInt8? {
        let scalars = Array(token.utf8)
        guard scalars.count == 6, token.hasPrefix("<0x"), scalars[5] == UInt8(ascii: ">") else { return nil }
        return UInt8(String(decoding: scalars[3..<5], as: UTF8.self), radix: 16)
    }

    private static func replace(_ old: String, with new: String, in text: String) -> String {
        let text = Array(text.utf8)
        let old = Array(old.utf8)
        guard let first = old.first else { return String(decoding: text, as: UTF8.self) }
        var result: [UInt8] = []
        var position = 0
        while position < text.count {
            let end = position + old.count
            if text[position] == first, end <= text.count, text[position..<end].elementsEqual(old) {
                result.append(contentsOf: new.utf8)
                position = end
            } else {
                result.append(text[position])
                position += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}

extension TokenDecoder {
    /// Reads the `decoder` of a tokenizer.json. Throws `malformed`, or `unsupported` naming the field.
    init(_ field: JSONField) throws(DyadError) {
        let type = try field.member("type").string()
        switch type {
        case "Sequence":
            var parts: [TokenDecoder] = []
            for element in try field.member("decoders").elements() { parts.append(try TokenDecoder(element)) }
            self = .sequence(parts)
            try checkOrder(field)
            try checkGrowth(field)
        case "ByteLevel": self = .byteLevel
        case "ByteFallback": self = .byteFallback
        case "Fuse": self = .fuse
        case "Metaspace":
            guard case .metaspace(let metaspace) = try PreTokenizer(field) else { fallthrough }
            self = .metaspace(metaspace)
        case "Replace":
            guard case .literal(let old) = try SplitRule.Form(try field.member("pattern")) else {
                throw try field.member("pattern").failure(.unsupported, found: "a Regex", expected: "a String")
            }
            self = .replace(old, with: try field.member("content").string())
        case "Strip":
            let content = try field.member("content")
            guard let scalar = try content.string().unicodeScalars.first, try content.string().unicodeScalars.count == 1
            else { throw content.failure(.malformed, found: "'\(try content.string())'", expected: "one scalar") }
            self = .strip(
                content: scalar, start: try field.optional("start")?.integer(in: 0...1000) ?? 0,
                stop: try field.optional("stop")?.integer(in: 0...1000) ?? 0)
        default:
            throw try field.member("type").failure(
                .unsupported, found: "'\(type)'",
                expected: "Sequence, ByteLevel, ByteFallback, Fuse, Metaspace, Replace or Strip",
                remedy: "This tokenizer cannot be used with Dyad.")
        }
    }

    /// Every token is decoded once when a tokenizer is read.
    private func checkGrowth(_ field: JSONField) throws(DyadError) {
        var growth = 1.0
        for case .replace(let old, let new) in steps where !old.isEmpty {
            growth *= max(1, Double(new.utf8.count) / Double(old.utf8.count))
        }
        guard steps.count <= Work.largestDecoder, growth <= Work.largestGrowth else {
            throw field.failure(
                .unsupported, found: "\(steps.count) steps that may make a text \(growth) times as long",
                expected: "\(Work.largestDecoder) steps and \(Work.largestGrowth) times at most",
                remedy: "This tokenizer cannot be used with Dyad.")
        }
    }

    /// After `fuse` only one `strip` at the start can be done on a text that arrives token by token.
    private func checkOrder(_ field: JSONField) throws(DyadError) {
        guard let fuse = steps.firstIndex(where: { if case .fuse = $0 { true } else { false } }) else { return }
        let rest = steps[(fuse + 1)...]
        if rest.isEmpty { return }
        if rest.count == 1, case .strip(_, _, stop: 0)? = rest.first { return }
        throw field.failure(
            .unsupported, found: "other steps after Fuse", expected: "nothing or Strip at the start after Fuse",
            remedy: "This tokenizer cannot be used with Dyad.")
    }

    /// The JSON that ``init(_:)`` reads back.
    var json: JSONValue {
        switch self {
        case .byteLevel:
            ["type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true]
        case .byteFallback: ["type": "ByteFallback"]
        case .fuse: ["type": "Fuse"]
        case .metaspace(let metaspace): PreTokenizer.metaspace(metaspace).json
        case .replace(let old, let new):
            ["type": "Replace", "pattern": ["String": .string(old)], "content": .string(new)]
        case .strip(let scalar, let start, let stop):
            [
                "type": "Strip", "content": .string(String(Character(scalar))), "start": .integer(start),
                "stop": .integer(stop),
            ]
        case .spaced: nil
        case .sequence(let parts): ["type": "Sequence", "decoders": .array(parts.map(\.json))]
        }
    }
}
