import DyadFormats
import DyadTokenizer

/// A split pattern, and behind a NUL a text.
enum PatternTarget: FuzzTarget {
    static let name = "patterns"

    static func run(_ input: UnsafeRawBufferPointer) {
        let (head, tail) = divided(input)
        let pattern = String(decoding: head, as: UTF8.self)
        attempt { () throws(DyadError) in
            let tokenizer = try Tokenizer(json: TokenizerTarget.document(pattern: pattern), file: "tokenizer.json")
            for text in [
                String(decoding: tail, as: UTF8.self),
                "it's aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 123\r\n\n  \u{E9}\u{1F600}B",
            ] {
                // Whatever the pattern, no character is lost.
                let ids = tokenizer.encode(text, parseSpecial: false)
                require(ids.count == text.utf8.count, "\(ids.count) ids of \(text.utf8.count) bytes")
            }
        }
    }

    static func seeds() throws -> [[UInt8]] {
        [
            #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
            #"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"#,
            #"[^\W\d_]+|\x{41}\u0042\n"#, #"a{2,}|b{,3}|c{1,2}+|d*?|e++"#, #"(?=a)(?!b)(?<=c)(?<!d)^$\b\B"#, "(a|aa)+$",
            "((a*)*)*b", "[[:alpha:]&&[^a-c]]",
        ].map { Array($0.utf8) + [0] + Array("aaab 123 it's".utf8) }
    }

    static func mutate(_ input: [UInt8], using random: inout SeededRandom) -> [UInt8]? {
        let cut = input.firstIndex(of: 0) ?? input.count
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return nil
        case 1: return Array(expression(3, using: &random).utf8) + input[cut...]
        default:
            // A part of the pattern is replaced by another.
            let pattern = Array(input[..<cut])
            let start = Int.random(in: 0...pattern.count, using: &random)
            let end =
                Bool.random(using: &random) ? start : min(pattern.count, start + Int.random(in: 0...6, using: &random))
            return pattern[..<start] + Array(expression(2, using: &random).utf8) + pattern[end...] + input[cut...]
        }
    }

    private static let atoms = [
        "a", "b", " ", ".", "\\s", "\\S", "\\d", "\\w", "\\W", "\\p{L}", "\\P{N}", "\\p{Lu}", "[a-c]", "[^\\s\\p{L}]",
        "'", "\\n", "\\r", "^", "$", "\\b", "\\x41",
        "[\\r\\n]", "\u{E9}", "(?i:s)", "\\A", "\\z", "\\h", "\\R", "\\G", "[[a]b]", "\\pL", "aa",
    ]
    private static let quantifiers = [
        "*", "+", "?", "*?", "+?", "??", "++", "*+", "?+", "{2}", "{1,3}", "{0,}", "{,2}", "{1,3}+", "{1,3}?", "{60}",
        "{1000}",
    ]

    private static func expression(_ depth: Int, using random: inout SeededRandom) -> String {
        if depth == 0 { return atoms.randomElement(using: &random) ?? "a" }
        func inner() -> String { expression(depth - 1, using: &random) }
        switch Int.random(in: 0..<7, using: &random) {
        case 0, 1: return inner() + inner()
        case 2: return "(" + inner() + ")" + (quantifiers.randomElement(using: &random) ?? "")
        case 3: return inner() + (quantifiers.randomElement(using: &random) ?? "")
        case 4:
            return "(" + inner() + "|" + inner() + ")"
                + (Bool.random(using: &random) ? quantifiers.randomElement(using: &random) ?? "" : "")
        case 5:
            return (["(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?<n>"].randomElement(using: &random) ?? "(")
                + inner() + ")"
        default: return inner()
        }
    }
}
