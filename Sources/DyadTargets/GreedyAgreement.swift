import DyadEvaluation
import DyadFormats
import DyadGraph
import DyadRuntime

/// Whether a vendor's library, given prompts and what the integer graph writes behind them, chooses the same tokens.
///
/// Up to the first difference this is what the library would write by itself; behind it the integer graph's tokens go on, so that every
/// token counts once.
public struct GreedyAgreement: Equatable, Sendable {
    /// Prompts.
    public var prompts: Int
    /// Tokens that the integer graph chose, ends of an answer included.
    public var positions: Int
    /// Those that the library chooses as well.
    public var equal: Int
    /// Prompts of which all are: the library writes the same by itself.
    public var identical: Int

    /// The share of tokens.
    public var agreement: Double { Double(equal) / Double(max(positions, 1)) }

    /// A prompt, and the integer graph's likeliest token again and again.
    struct Text: Sendable {
        var tokens: [Int32]
        var promptLength: Int

        /// Writes until `count` tokens are there, or one of `ends`, which is chosen but does not belong to the text.
        init(
            _ prompt: [Int32], count: Int, ends: Set<Int32>, session: Session
        ) throws(DyadError) {
            (tokens, promptLength) = (prompt, prompt.count)
            session.reset()
            var logits = try session.prefill(prompt)
            for _ in 1..<max(count, 1) {
                guard let next = logits.indexOfLargest.map(Int32.init), !ends.contains(next) else { return }
                tokens.append(next)
                logits = try session.decode(next)
            }
        }
    }

    /// Writes behind each prompt, then runs all texts in the library, each from an empty cache.
    ///
    /// - Parameters:
    ///   - prompts: not empty; with `count` tokens behind them no longer than the program's context.
    ///   - count: tokens that the integer graph chooses for each.
    ///   - ends: tokens that end an answer.
    static func run(
        _ program: IntegerProgram, in library: TargetLibrary, prompts: [[Int32]], count: Int, ends: Set<Int32>,
        folder: String, progress: (String) -> Void
    ) throws -> GreedyAgreement {
        let session = try Runtime(program: program).makeSession()
        let texts = try texts(prompts, count: count, ends: ends, session: session)
        // Of one length, since shapes are fixed; what fills a window up comes later and is seen by nothing.
        let longest = texts.map(\.tokens.count).max() ?? 1
        let length = min((longest + 15) / 16 * 16, program.graph.maximumContext - program.graph.prefixTokens.count)
        let target = try TargetModel(program, library: library, length: length, folder: folder)
        let integer = try IntegerModel(program, name: "integer")
        var result = GreedyAgreement(prompts: 0, positions: 0, equal: 0, identical: 0)
        for (index, text) in texts.enumerated() {
            progress("\(library.rawValue): prompt \(index + 1)/\(texts.count)")
            try result.add(text, integer: integer, target: target, length: length)
        }
        return result
    }

    /// What the integer graph writes behind each prompt.
    static func texts(
        _ prompts: [[Int32]], count: Int, ends: Set<Int32>, session: Session
    ) throws(DyadError) -> [Text] {
        try prompts.map { prompt throws(DyadError) in
            session.reset()
            // A session takes the constant prefix off by itself, a window does not.
            let own = prompt.dropFirst(session.droppedCount(of: prompt))
            return try Text(Array(own), count: count, ends: ends, session: session)
        }
    }

    /// Counts one text, which `integer` has written, in windows of `length` tokens.
    mutating func add(
        _ text: Text, integer: some LanguageModel, target: some LanguageModel, length: Int
    ) throws {
        let window = text.tokens + Array(repeating: text.tokens[0], count: length - text.tokens.count)
        let chosen = text.promptLength - 1..<text.tokens.count
        let (wanted, found) = (try Self.best(integer, window)[chosen], try Self.best(target, window)[chosen])
        let equal = zip(wanted, found).count { $0 == $1 }
        prompts += 1
        positions += chosen.count
        self.equal += equal
        if equal == chosen.count { identical += 1 }
    }

    private static func best(_ model: some LanguageModel, _ window: [Int32]) throws -> [Int?] {
        let width = model.vocabularySize
        var best: [Int?] = []
        try model.evaluate(window: window) { range, logits in
            for row in 0..<range.count {
                let found = logits[row * width..<(row + 1) * width].indexOfLargest
                best.append(found.map { $0 - row * width })
            }
        }
        return best
    }

    /// For `--json`.
    var json: JSONValue {
        .object(
            JSONObject([
                ("prompts", .integer(prompts)), ("positions", .integer(positions)),
                ("argmax_agreement", .measured(agreement)), ("identical_texts", .integer(identical)),
            ]))
    }
}
