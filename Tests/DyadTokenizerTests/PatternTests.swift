import DyadFormats
import Testing

@testable import DyadTokenizer

/// Split patterns: the pieces of Hugging Face's tokenizers (scripts/fixtures/pattern_dialect.py wrote them), and bounded
/// time whatever the pattern.
@Suite struct PatternTests {
    static func pieces(_ preTokenizer: PreTokenizer, _ text: String, _ matcher: PatternMatcher) -> [[UInt32]] {
        var scalars = ScalarText(text)
        var matcher = matcher
        preTokenizer.apply(to: &scalars, isFirst: true, matcher: &matcher)
        return scalars.pieces.map { Array(scalars.values[$0]) }
    }

    static func split(_ pattern: String) throws -> PreTokenizer {
        let document: JSONValue = ["type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated"]
        return try PreTokenizer(JSONField(document, file: "pattern"))
    }

    /// Patterns of models and random ones, by backtracking and by table.
    @Test func patternsSplitAsOnigurumaDoes() throws {
        let path = Place.fixtures + "patterns.json"
        let entries = try JSONField(try JSONValue.read(path), file: path).elements()
        #expect(entries.count > 400)
        var refused = 0
        for (place, entry) in entries.enumerated() {
            let source = try entry.member("pre").value
            do {
                let preTokenizer = try PreTokenizer(entry.member("pre"))
                for (text, expected) in zip(
                    try entry.member("texts").elements(), try entry.member("pieces").elements())
                {
                    let wanted = try expected.elements().map { try $0.string().unicodeScalars.map(\.value) }
                    let text = try text.string()
                    #expect(
                        Self.pieces(preTokenizer, text, PatternMatcher()) == wanted,
                        "\(source) \(text.debugDescription)")
                    let tabled = PatternMatcher(allowancePerScalar: 0, leastAllowance: -1)
                    #expect(
                        Self.pieces(preTokenizer, text, tabled) == wanted,
                        "by table: \(source) \(text.debugDescription)")
                }
            } catch let error as DyadError {
                #expect(error.reason == .unsupported && error.found.contains("in the pattern"), "\(error)")
                #expect(place >= 28, "a model's pattern is refused: \(error)")
                refused += 1
            }
        }
        #expect(refused * 20 <= entries.count, "\(refused) of \(entries.count) refused")
    }

    @Test(arguments: ["(?:a{1000}){1000}", "(a", "(?=(?>a))(?>b)\\G", "a{1000000}", "(?<!(a))b"])
    func whatIsRefusedIsNamed(_ pattern: String) {
        let error = #expect(throws: DyadError.self) { try Self.split(pattern) }
        #expect(error?.reason == .unsupported && error?.found.hasSuffix(" in the pattern '\(pattern)'") == true)
    }

    @Test(arguments: [
        String(repeating: "a?", count: 30) + String(repeating: "a", count: 30) + "b", "(a+)+b", "(a|a)*b", "(a|aa)+b",
        "(a*)*b", "(?:a|b|ab|)*?c", "a*a*a*a*b", "(?:(?=a*b)a)*c", "(?:a(?!a*b))*c", "(?=(a+)+b)a", "a++b|c", "(?>a+)b",
        "(?<=a+b?)c", "(?<=(a|aa)+)c", "(?<!(?:a|b)*c)a", "(?!.*b)a", "(?:a??){40}b", "(?:a??a??a??a??)*b",
        "(?:(?:a|b)*c|a*)*d", "(?>(?>a*)b)|a", "(?i)(ſ|s|S|a)*ss", "[a-z]{1000}x", "^(?:a?){500}$", "\\w+\\s?$",
    ])
    func hostilePatternsTakeLinearTime(_ pattern: String) throws {
        let preTokenizer = try Self.split(pattern)
        let text = String(repeating: "a", count: 100_000) + "!"
        var count = 0
        let time = ContinuousClock().measure { count = Self.pieces(preTokenizer, text, PatternMatcher()).count }
        #expect(count > 0 && time < .seconds(4), "\(time)")
    }

    /// Steps that many small pieces take must not add up either.
    @Test func hostilePatternsTakeLinearTimeOnManyPieces() throws {
        let document: JSONValue = [
            "type": "Sequence",
            "pretokenizers": [
                ["type": "WhitespaceSplit"],
                [
                    "type": "Split", "pattern": ["Regex": .string(String(repeating: "(?:a|a)", count: 20) + "b")],
                    "behavior": "Isolated",
                ],
            ],
        ]
        let preTokenizer = try PreTokenizer(JSONField(document, file: "pattern"))
        let text = String(repeating: String(repeating: "a", count: 25) + " ", count: 4000)
        let time = ContinuousClock().measure {
            #expect(Self.pieces(preTokenizer, text, PatternMatcher()).count == 4000)
        }
        #expect(time < .seconds(4), "\(time)")
    }

    @Test func emptyMatchesCutToo() throws {
        func parts(_ pattern: String, _ text: String) throws -> [String] {
            Self.pieces(try Self.split(pattern), text, PatternMatcher()).map {
                String(String.UnicodeScalarView($0.compactMap(Unicode.Scalar.init)))
            }
        }
        #expect(try parts("(?<=[a-z])(?=[A-Z])", "camelCaseText") == ["camel", "Case", "Text"])
        #expect(try parts("x*", "axxb") == ["a", "xx", "b"])
        #expect(try parts("$", "a\nb\n") == ["a", "\nb", "\n"])
    }
}
