import DyadFormats
import Testing

@testable import DyadTokenizer

/// Unicode as Hugging Face's tokenizers has it, whatever version the operating system has;
/// scripts/fixtures/unicode_agreement.py wrote the fixture.
@Suite struct UnicodeTests {
    static func document() throws -> JSONField {
        let path = Place.fixtures + "unicode.json"
        return JSONField(try JSONValue.read(path), file: path)
    }

    /// The scalars that the fixture is about.
    static let scalars: [Unicode.Scalar] =
        (Array(0..<0x33480) + Array(0xe0000..<0xe0210)).compactMap { Unicode.Scalar(UInt32($0)) }
    static let everything = String(String.UnicodeScalarView(scalars))

    static func digest(_ lines: [[UInt8]]) -> String {
        var bytes: [UInt8] = []
        for (place, line) in lines.enumerated() {
            if place > 0 { bytes.append(0x0a) }
            bytes += line
        }
        return bytes.withUnsafeBytes { SHA256.hexDigest(of: $0) }
    }

    static func pieces(_ preTokenizer: PreTokenizer) -> [[UInt8]] {
        PatternTests.pieces(preTokenizer, everything, PatternMatcher()).map { piece in
            var bytes: [UInt8] = []
            for value in piece { UTF8.append(value, to: &bytes) }
            return bytes
        }
    }

    @Test func everyScalarNormalisesAsInTokenizers() throws {
        for entry in try Self.document().member("singles").elements() {
            let normalizer = try Normalizer(entry.member("norm"))
            let lines = Self.scalars.map { Array(normalizer.apply(to: String(Character($0))).utf8) }
            #expect(Self.digest(lines) == (try entry.member("digest").string()), "\(normalizer)")
        }
    }

    @Test func chainsNormaliseAsInTokenizers() throws {
        let chains = try Self.document().member("chains").elements()
        #expect(chains.count >= 300)
        for entry in chains {
            let normalizer = try Normalizer(entry.member("norm"))
            for (text, result) in zip(try entry.member("texts").elements(), try entry.member("results").elements()) {
                let text = try text.string()
                let wanted = bytes(try result.string())
                #expect(
                    bytes(normalizer.apply(to: text)) == wanted,
                    "\(normalizer.json): \(text.unicodeScalars.map(\.value))")
            }
        }
    }

    @Test func everyPropertyHoldsOfTheSameScalars() throws {
        for entry in try Self.document().member("properties").elements() {
            let pattern = try entry.member("pattern").string()
            let document: JSONValue = [
                "type": "Split", "pattern": ["Regex": .string(pattern + "+")], "behavior": "Removed", "invert": true,
            ]
            let found = Self.pieces(try PreTokenizer(JSONField(document, file: "pattern")))
            #expect(Self.digest(found) == (try entry.member("digest").string()), "\(pattern)")
        }
    }

    @Test func everyScalarDividesTextsAsInTokenizers() throws {
        for entry in try Self.document().member("steps").elements() {
            let preTokenizer = try PreTokenizer(entry.member("pre"))
            let found = Self.pieces(preTokenizer)
            #expect(Self.digest(found) == (try entry.member("digest").string()), "\(preTokenizer.json)")
        }
    }

    /// Steps that multiply a text are refused when the file is read.
    @Test func stepsThatMultiplyATextAreRefused() throws {
        func many(_ step: JSONValue, _ count: Int) -> JSONValue { .array(Array(repeating: step, count: count)) }
        let doubling: JSONValue = ["type": "Replace", "pattern": ["String": "a"], "content": "aa"]
        let inserting: JSONValue = ["type": "Replace", "pattern": ["Regex": "x*"], "content": "xx"]
        for step in [doubling, inserting, ["type": "Prepend", "prepend": "aaaa"]] {
            let document: JSONValue = ["type": "Sequence", "normalizers": many(step, 40)]
            let error = #expect(throws: DyadError.self) { try Normalizer(JSONField(document, file: "file")) }
            #expect(error?.reason == .unsupported && error?.found.contains("times as long") == true)
        }
        let prefixing: JSONValue = [
            "type": "Sequence",
            "pretokenizers": [
                ["type": "Metaspace", "replacement": "a"], ["type": "Metaspace", "replacement": "b"],
                ["type": "Split", "pattern": ["Regex": "."], "behavior": "Isolated"],
            ],
        ]
        let nested: JSONValue = ["type": "Sequence", "pretokenizers": many(prefixing, 20)]
        #expect(throws: DyadError.self) { try PreTokenizer(JSONField(nested, file: "file")) }
        let slow: JSONValue = ["type": "Split", "pattern": ["Regex": "[a-z]{900}"], "behavior": "Isolated"]
        let steps: JSONValue = ["type": "Sequence", "pretokenizers": many(slow, 20)]
        #expect(throws: DyadError.self) { try PreTokenizer(JSONField(steps, file: "file")) }
        let decoding: JSONValue = ["type": "Sequence", "decoders": many(doubling, 40)]
        #expect(throws: DyadError.self) { try TokenDecoder(JSONField(decoding, file: "file")) }
    }
}
