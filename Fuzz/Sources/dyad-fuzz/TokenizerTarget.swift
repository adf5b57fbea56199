import DyadFormats
import DyadTokenizer

/// A tokenizer.json, and behind a NUL a text: read, written again, and used.
enum TokenizerTarget: FuzzTarget {
    static let name = "tokenizer"

    static func run(_ input: UnsafeRawBufferPointer) {
        let (head, tail) = divided(input)
        attempt { () throws(DyadError) in
            let document = try JSONValue.parse(head)
            let tokenizer = try Tokenizer(json: document, file: "tokenizer.json")
            let text = String(decoding: tail, as: UTF8.self)
            use(tokenizer, text: text)
            let written = tokenizer.json()
            let again: Tokenizer
            do { again = try Tokenizer(document: written, file: "written") } catch {
                broken("its own document is refused: \(error)")
            }
            require(again.encode(text) == tokenizer.encode(text), "its own document encodes otherwise")
        }
    }

    /// Everything that is done with a tokenizer.
    static func use(_ tokenizer: Tokenizer, text: String) {
        for text in [text, "Hello  World, it's 12345 <end><s> caf\u{E9} e\u{301} \u{1F600}\r\n\t x"] {
            for isSpecial in [false, true] {
                let ids = tokenizer.encode(text, parseSpecial: isSpecial, addSpecial: isSpecial)
                for id in ids { require(tokenizer.token(id) != nil, "the id \(id) has no token") }
                _ = tokenizer.decode(ids, skipSpecial: isSpecial)
                var decoder = StreamingDecoder(tokenizer, skipSpecial: isSpecial)
                for id in ids.prefix(200) { _ = decoder.append(id) }
                _ = decoder.finish()
            }
        }
        _ = try? tokenizer.renderChat([ChatMessage(role: "user", content: text)])
    }

    /// The 256 characters that stand for bytes in GPT-2's alphabet.
    static let alphabet: [String] = {
        let printable = Array(33...126) + Array(161...172) + Array(174...255)
        let others = (0..<256).filter { !printable.contains($0) }
        var names = [String](repeating: "", count: 256)
        for byte in printable { names[byte] = String(UnicodeScalar(UInt8(byte))) }
        for (index, byte) in others.enumerated() { names[byte] = UnicodeScalar(256 + index).map { String($0) } ?? "" }
        return names
    }()

    /// A tokenizer of bytes that divides its text by a pattern.
    static func document(pattern: String, behavior: String = "Isolated") -> JSONValue {
        [
            "added_tokens": [["id": 256, "content": "<end>", "special": true]],
            "pre_tokenizer": [
                "type": "Sequence",
                "pretokenizers": [
                    [
                        "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": .string(behavior),
                        "invert": false,
                    ],
                    ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
                ],
            ],
            "decoder": ["type": "ByteLevel"],
            "model": [
                "type": "BPE", "vocab": .object(JSONObject(alphabet.enumerated().map { ($1, .integer($0)) })),
                "merges": [],
            ],
        ]
    }

    static let words = [
        "BPE", "ByteLevel", "Sequence", "Split", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit",
        "CharDelimiterSplit", "Metaspace",
        "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Prepend", "Replace", "ByteFallback",
        "Fuse", "TemplateProcessing",
        "BertProcessing", "RobertaProcessing", "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
        "Contiguous", "Regex", "String",
        "normalizers", "pretokenizers", "decoders", "processors", "type", "pattern", "content", "behavior", "invert",
        "first", "never", "always",
        "vocab", "merges", "unk_token", "byte_fallback", "fuse_unk", "ignore_merges", "single", "pair",
        "special_tokens", "Sequence", "A",
        "SpecialToken", "id", "ids", "tokens", "lstrip", "rstrip", "single_word", "normalized", "special",
        "prepend_scheme", "replacement",
        "add_prefix_space", "trim_offsets", "use_regex", "individual_digits", "start", "stop", "left", "right",
        "strip_left", "<end>", "<0x41>",
        "a b", "ab", " ", "\u{2581}", "\\s+", "[a-z]+", "(a|b)*", "\u{E9}", "\u{301}", "delimiter", "dyad", "scores",
        "inert",
    ]

    static func mutate(_ input: [UInt8], using random: inout SeededRandom) -> [UInt8]? {
        let cut = input.firstIndex(of: 0) ?? input.count
        guard Int.random(in: 0..<4, using: &random) > 0,
            let root = try? input[..<cut].withUnsafeBytes({ try JSONValue.parse($0) })
        else { return nil }
        return Array(JSONMutation.changed(root, words: words, using: &random).text().utf8) + input[cut...]
    }

    static func seeds() throws -> [[UInt8]] {
        let small: JSONValue = [
            "a": 0, "b": 1, "ab": 2, "aba": 3, "<unk>": 4, "<0x41>": 5, " ": 6, "\u{2581}": 7, "c": 8,
        ]
        let others: [JSONValue] = [
            [
                "added_tokens": [
                    ["id": 4, "content": "<unk>", "special": true],
                    ["id": 9, "content": "<end>", "special": true, "lstrip": true, "rstrip": true],
                    ["id": 10, "content": "word", "special": false, "single_word": true, "normalized": true],
                ],
                "normalizer": [
                    "type": "Sequence",
                    "normalizers": [
                        ["type": "NFKC"], ["type": "Lowercase"], ["type": "StripAccents"],
                        ["type": "Strip", "strip_left": true, "strip_right": true],
                        ["type": "Prepend", "prepend": "\u{2581}"],
                        ["type": "Replace", "pattern": ["String": " "], "content": "\u{2581}"],
                        ["type": "Replace", "pattern": ["Regex": "\\s+"], "content": ""],
                    ],
                ],
                "pre_tokenizer": [
                    "type": "Sequence",
                    "pretokenizers": [
                        ["type": "Digits", "individual_digits": true], ["type": "Punctuation", "behavior": "Isolated"],
                        ["type": "Whitespace"],
                        ["type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "first", "split": true],
                        ["type": "CharDelimiterSplit", "delimiter": "-"],
                    ],
                ],
                "post_processor": [
                    "type": "TemplateProcessing",
                    "single": [
                        ["SpecialToken": ["id": "<end>", "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]],
                    ],
                    "pair": [], "special_tokens": ["<end>": ["id": "<end>", "ids": [9], "tokens": ["<end>"]]],
                ],
                "decoder": [
                    "type": "Sequence",
                    "decoders": [
                        ["type": "Replace", "pattern": ["String": "\u{2581}"], "content": " "],
                        ["type": "ByteFallback"], ["type": "Fuse"],
                        ["type": "Strip", "content": " ", "start": 1, "stop": 0],
                    ],
                ],
                "model": [
                    "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": false,
                    "ignore_merges": true, "vocab": small, "merges": [["a", "b"], ["ab", "a"]],
                ],
            ]
        ]
        return ([document(pattern: "'s|[a-zA-Z]+| ?[0-9]{1,3}|\\s+(?!\\S)|\\s+|.")] + others).map {
            Array(($0.text() + "\0Hello <end> aba word").utf8)
        }
    }
}
