import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph
import DyadTargets
import DyadTokenizer

/// `dyad verify` as a function: two executions of the same program, tensor by tensor.
public struct VerificationJob {
    /// What the runtime, or the exported program, is compared with.
    public enum Opponent: Sendable {
        /// The reference interpreter or exact arithmetic.
        case program(Verification.Opponent)
        /// A vendor's library.
        case target(TargetLibrary)
    }

    /// The `.dyad` file.
    public var program: String
    /// What it is compared with.
    public var opponent: Opponent
    /// The text whose first tokens are run.
    public var prompt: String
    /// At most so many tokens of the prompt.
    public var tokens = 32
    /// A folder that `dyad export` wrote, which must still say what the program says; a vendor's library also runs its files.
    public var exported: String?
    /// For a vendor's library: a text whose first tokens are run, and whose first windows are measured.
    public var text: String?
    /// For a vendor's library: a file of prompts, one a line.
    public var prompts: String?
    /// For a vendor's library: layers to compare, from the first on; nil for all.
    public var layers: Int?
    /// For a vendor's library: the file that the comparison is also written to as a page; nil for none.
    public var page: String?
    /// For a vendor's library: the rest of the settings.
    public var options = TargetVerification.Options()

    /// Creates a job.
    public init(program: String, against opponent: Opponent, prompt: String) {
        (self.program, self.opponent, self.prompt) = (program, opponent, prompt)
    }

    /// What was found.
    public enum Result {
        /// Against the reference interpreter or exact arithmetic.
        case program(Verification)
        /// Against a vendor's library.
        case target(TargetVerification)
    }

    /// Runs both. A difference is a result and no error: see ``Result/check(_:)``.
    ///
    /// - Parameter progress: is given a line of text now and then.
    /// - Throws: ``DyadError``: `usage` for settings that do not fit together, and what the executions throw.
    public func run(progress: (String) -> Void = { _ in }) throws -> Result {
        try checkSettings()
        let loaded = try IntegerProgram.load(program)
        if let exported {
            try loaded.validate()
            let count = try ExportManifest.check(exported, against: loaded)
            progress("\(exported): \(count) encodings, all weights and operations are those of the program")
        }
        let tokenizer = try Tokenizer(document: loaded.tokenizer, file: program)
        switch opponent {
        case .program(let opponent):
            var ids = Array(tokenizer.encode(prompt, parseSpecial: false).prefix(tokens))
            let capacity = max(Self.capacity(loaded), 0)
            if ids.count > capacity {
                progress("The context holds \(capacity) of the \(ids.count) tokens: the rest is left out.")
                ids.removeLast(ids.count - capacity)
            }
            return .program(try Verification.run(loaded, tokens: ids, against: opponent))
        case .target(let library):
            let (ids, options) = try targetInput(loaded, tokenizer)
            let claim = try page.map { try OutputClaim($0) }
            defer { withExtendedLifetime(claim) {} }
            let result = try TargetVerification.run(
                loaded, against: library, tokens: ids, options: options, progress: progress)
            if let page { try AtomicFile.write(page, text: result.page(of: program)) }
            return .target(result)
        }
    }

    private static func capacity(_ loaded: IntegerProgram) -> Int {
        loaded.graph.maximumContext - loaded.graph.prefixTokens.count
    }

    private func checkSettings() throws(DyadError) {
        for (name, value, least) in [
            ("--tokens", tokens, 1), ("--chunk", options.chunk, 1), ("--context", options.context, 2),
            ("--windows", options.windows, 0), ("--layers", layers ?? 1, 1), ("--steps", options.steps, 1),
            ("--answer", options.answer, 1),
        ] where value < least {
            throw DyadError(
                .usage, subject: name, found: "\(value)", expected: "at least \(least)", remedy: "Leave the option out."
            )
        }
        if case .program(let opponent) = opponent, options.explains || prompts != nil || page != nil {
            throw DyadError(
                .usage, subject: "--against \(opponent.rawValue)", found: "--explain, --prompts or --html",
                expected: "a vendor's library with these", remedy: "Name one with --against, or leave them out.")
        }
    }

    /// The tokens that a vendor's library runs, and the settings that fit the program.
    private func targetInput(
        _ loaded: IntegerProgram, _ tokenizer: Tokenizer
    ) throws -> ([Int32], TargetVerification.Options) {
        let content = try text.map { try Self.content($0) } ?? prompt
        let ids = tokenizer.encode(content, parseSpecial: false)
        var options = options
        guard text == nil || options.windows == 0 || ids.count >= options.context else {
            throw DyadError(
                .usage, file: text, found: "\(ids.count) tokens", expected: "at least \(options.context), one window",
                remedy: "Give a longer text, a smaller --context, or --windows 0.")
        }
        let capacity = Self.capacity(loaded)
        let isChained = text != nil && options.windows > 0
        guard !isChained || (2...max(capacity, 2)).contains(options.context) else {
            throw DyadError(
                .usage, subject: "--context", found: "\(options.context)", expected: "2 to \(capacity)",
                remedy: "Choose another, or leave it out.")
        }
        options.windows = isChained ? min(options.windows, ids.count / options.context) : 0
        options.layers = layers.map { 0..<min($0, loaded.graph.layerCount) }
        options.exported = exported
        options.prompts = try prompts.map { try Self.prompts($0, tokenizer) } ?? []
        options.ends = Set(tokenizer.eosIDs)
        let room = capacity - options.answer
        if let longest = options.prompts.map(\.count).max(), longest > room {
            throw DyadError(
                .usage, file: prompts, found: "a prompt of \(longest) tokens",
                expected: "at most \(room), for an answer of \(options.answer) in the context of \(capacity)",
                remedy: "Shorten it, or give a smaller --answer.")
        }
        return (ids, options)
    }

    private static func content(_ path: String) throws(DyadError) -> String {
        let file = try FileBytes(path)
        return withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
    }

    /// Each line as a user's message, or, of a model without a chat template, as it is.
    private static func prompts(_ path: String, _ tokenizer: Tokenizer) throws -> [[Int32]] {
        let lines = try content(path).split(whereSeparator: \.isNewline).map(String.init)
        let prompts = try lines.map { line in
            tokenizer.chatTemplateSource == nil
                ? tokenizer.encode(line, parseSpecial: false)
                : tokenizer.encode(try tokenizer.renderChat([ChatMessage(role: "user", content: line)]))
        }.filter { !$0.isEmpty }
        guard !prompts.isEmpty else {
            throw DyadError(
                .usage, file: path, found: "no prompt", expected: "one a line", remedy: "Write some, or name another.")
        }
        return prompts
    }
}

extension VerificationJob.Result {
    /// Throws `failed` where integers differ by more than the comparison allows; a vendor's library may differ, and is only reported.
    public func check(_ program: String) throws(DyadError) {
        guard case .program(let result) = self else { return }
        switch result.opponent {
        case .reference:
            guard result.maximumSteps > 0 else { return }
            let wrong = result.rows.first { $0.maximumSteps > 0 }?.tensor ?? ""
            let path = result.paths.first { $0.difference != nil }
            throw DyadError(
                .failed, file: program, subject: path?.difference?.tensor ?? wrong,
                found: "integers that differ from the reference\(path.map { ", in \($0.name)" } ?? "")",
                expected: "equal integers",
                remedy: "This is a defect of Dyad: report it with the file and this machine's CPU.")
        case .exact:
            guard let wrong = result.rows.first(where: { $0.maximumSteps > Verification.exactBudget }) else { return }
            throw DyadError(
                .failed, file: program, subject: wrong.tensor,
                found: "integers up to \(wrong.maximumSteps) steps from exact arithmetic",
                expected: "at most \(Verification.exactBudget)",
                remedy: "The file is damaged or was made by another tool: quantise the model again.")
        }
    }

    /// For `--json`.
    public func json() -> JSONValue {
        switch self {
        case .program(let result): result.json()
        case .target(let result): result.json()
        }
    }

    /// The result for people.
    public var table: String {
        switch self {
        case .program(let result): result.table
        case .target(let result): result.table
        }
    }
}

extension Verification {
    fileprivate var table: String {
        var lines = rows.map { "max \(text($0.maximumSteps, 3))  mean \(text($0.meanSteps, 4))  \($0.tensor)" }
        lines += paths.map { path in
            let found = path.difference.map { "\($0.tensor) differs first, by up to \($0.maximumSteps) steps" }
            return "as generate runs it, \(path.name): \(found ?? "\(path.tensors) tensors are equal")"
        }
        lines.append("\(rows.count) tensors, \(tokens) tokens: largest difference \(maximumSteps) steps")
        return lines.joined(separator: "\n")
    }
}

extension TargetVerification {
    fileprivate var table: String {
        var lines: [String] = []
        for row in rows {
            lines.append(
                "max \(text(row.maximumSteps, 2))  mean \(text(row.meanSteps, 4))  within two \(text(row.withinTwoSteps * 100, 3)) %  "
                    + "\(text(row.signalToNoise, 1)) dB  \(row.tokens) tokens  \(row.tensor)")
            if let explanation = row.explanation { lines.append("    \(explanation)") }
        }
        lines.append("8-bit tensors, each part fed the integer graph's own:")
        for layer in layers {
            lines.append(
                "max \(text(layer.maximumSteps, 0))  mean \(text(layer.meanSteps, 4))  within two "
                    + "\(text(layer.withinTwoSteps * 100, 3)) %  \(text(layer.signalToNoise, 1)) dB  \(layer.tokens) tokens  \(layer.part)"
            )
            if let explanation = layer.explanation { lines.append("    \(explanation)") }
        }
        lines.append(
            "what leaves a layer, within one step of 8 bits: \(text(outputsWithinOneCoarseStep * 100, 3)) % in the worst layer"
        )
        if let agreement = headAgreement {
            lines.append("the head's best token: the same in \(text(agreement * 100, 2)) %")
        }
        if let integer, let target {
            lines.append(
                "chained: perplexity \(text(target.perplexity, 3)), integer graph \(text(integer.perplexity, 3)); argmax agreement "
                    + "\(text((target.comparison?.top1Agreement ?? 0) * 100, 2)) %; KL \(text(target.comparison?.meanKL ?? 0, 5))"
            )
        }
        if let greedy {
            lines.append(
                "greedy, \(greedy.prompts) prompts: \(greedy.equal) of \(greedy.positions) tokens the same "
                    + "(\(text(greedy.agreement * 100, 2)) %), \(greedy.identical) texts from end to end")
        }
        if let run = exported {
            lines.append(
                "\(run.files.joined(separator: ", ")): \(run.prefilled) tokens in prefill chunks, then \(run.steps) single steps; "
                    + "the best token is the same in \(run.equalBestTokens) of \(run.positions), logits \(text(run.signalToNoise, 1)) dB"
            )
        }
        return lines.joined(separator: "\n")
    }
}
