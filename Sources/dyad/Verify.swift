import ArgumentParser
import DyadEvaluation
import DyadTargets
import DyadExport
import DyadFormats
import DyadGraph
import DyadTokenizer
import Foundation

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare two executions of the same program, tensor by tensor.",
        discussion: """
            reference: the runtime against the reference interpreter, with every tensor watched and as generate runs it, in \
            chunks and in single steps; every integer must be equal, or the exit code is 1.
            exact: every operation against real arithmetic on its own integer inputs; differences are reported in steps \
            of the output's encoding, and one above 1 step makes the exit code 1.
            onnxruntime, qnn-sm8650, qnn-sm8750, litert: the exported program in the vendor's library (Python packages; scripts/npu). Each \
            part is given the integer graph's own tensors; with --text, the whole program is run too.
            """)

    @Argument(help: "The .dyad file.") var program: String
    @Option(help: "reference, exact, onnxruntime, qnn-sm8650, qnn-sm8750 or litert.") var against = Opponent.program(
        .reference)
    @Option(help: "The text whose first tokens are run.") var prompt =
        "The capital of France is Paris, a city on the river Seine."
    @Option(help: "Use at most so many tokens of the prompt, and no more than the program's context holds.")
    var tokens = 32
    @Option(help: "A text for a vendor's library: its first tokens are run, and its first windows measured.") var text:
        String?
    @Option(help: "Windows of the text to measure; 0 for none.") var windows = 4
    @Option(help: "Tokens of a window.") var context = 256
    @Option(
        help: "A file of prompts, one a line: does a vendor's library choose the tokens that the integer graph writes?")
    var prompts: String?
    @Option(help: "Tokens that the integer graph writes behind each of the prompts, at most.") var answer = 32
    @Option(help: "Tokens of the prefill chunk that a vendor's library runs.") var chunk = 64
    @Option(help: "Compare only so many layers; all, the embedding and the head where not given.") var layers: Int?
    @Option(
        help: """
            Also check that this folder, written by dyad export, still says what the program says; with a vendor's library also run \
            its own files, prefill chunks and then single steps.
            """) var exported: String?
    @Option(help: "Single steps of an exported folder to run.") var steps = 16
    @Flag(
        help: """
            Also execute each part in real arithmetic, to say where a vendor's library differs: in the export, in the low bits that \
            HTP drops, or in the rest.
            """) var explain = false
    @Option(help: "Also write the comparison with a vendor's library as a page.") var html: String?
    @Flag(help: "Print one JSON document.") var json = false

    func run() throws {
        guard tokens >= 1 else {
            throw DyadError(
                .usage, subject: "--tokens", found: "\(tokens)", expected: "at least 1", remedy: "Use 32.")
        }
        for (name, value, least) in [
            ("--chunk", chunk, 1), ("--context", context, 2), ("--windows", windows, 0), ("--layers", layers ?? 1, 1),
            ("--steps", steps, 1), ("--answer", answer, 1),
        ] where value < least {
            throw DyadError(
                .usage, subject: name, found: "\(value)", expected: "at least \(least)", remedy: "Leave the option out."
            )
        }
        if case .program(let opponent) = against, explain || prompts != nil || html != nil {
            throw DyadError(
                .usage, subject: "--against \(opponent.rawValue)", found: "--explain, --prompts or --html",
                expected: "a vendor's library with these", remedy: "Name one with --against, or leave them out.")
        }
        let loaded = try IntegerProgram.load(program)
        if let exported {
            try loaded.validate()
            let count = try ExportManifest.check(exported, against: loaded)
            Terminal.note("\(exported): \(count) encodings, all weights and operations are those of the program")
        }
        let tokenizer = try Tokenizer(document: loaded.tokenizer, file: program)
        var ids = Array(tokenizer.encode(prompt, parseSpecial: false).prefix(tokens))
        let capacity = max(loaded.graph.maximumContext - loaded.graph.prefixTokens.count, 0)
        if ids.count > capacity {
            Terminal.note("The context holds \(capacity) of the \(ids.count) tokens: the rest is left out.")
            ids.removeLast(ids.count - capacity)
        }
        switch against {
        case .program(let opponent): try compare(loaded, ids, with: opponent)
        case .target(let library): try compare(loaded, tokenizer, with: library)
        }
    }

    private func compare(_ loaded: IntegerProgram, _ ids: [Int32], with opponent: Verification.Opponent) throws {
        let result = try Verification.run(loaded, tokens: ids, against: opponent)
        if json {
            try Terminal.print(result.json().text())
        } else {
            for row in result.rows {
                let largest = String(format: "%.3f", row.maximumSteps), mean = String(format: "%.4f", row.meanSteps)
                try Terminal.print("max \(largest)  mean \(mean)  \(row.tensor)")
            }
            for path in result.paths {
                let found = path.difference.map { "\($0.tensor) differs first, by up to \($0.maximumSteps) steps" }
                try Terminal.print("as generate runs it, \(path.name): \(found ?? "\(path.tensors) tensors are equal")")
            }
            try Terminal.print(
                "\(result.rows.count) tensors, \(ids.count) tokens: largest difference \(result.maximumSteps) steps")
        }
        try check(result)
    }

    /// Throws where `result` has a difference that `opponent` does not allow.
    private func check(_ result: Verification) throws(DyadError) {
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

    private func compare(_ loaded: IntegerProgram, _ tokenizer: Tokenizer, with library: TargetLibrary) throws {
        var content = prompt
        if let text {
            let file = try FileBytes(text)
            content = withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
        }
        let ids = tokenizer.encode(content, parseSpecial: false)
        guard text == nil || windows == 0 || ids.count >= context else {
            throw DyadError(
                .usage, file: text, found: "\(ids.count) tokens", expected: "at least \(context), one window",
                remedy: "Give a longer text, a smaller --context, or --windows 0.")
        }
        let capacity = loaded.graph.maximumContext - loaded.graph.prefixTokens.count
        let isChained = text != nil && windows > 0
        guard windows >= 0, !isChained || (2...max(capacity, 2)).contains(context) else {
            throw DyadError(
                .usage, subject: "--context, --windows", found: "\(context), \(windows)",
                expected: "2 to \(capacity), and 0 or more", remedy: "Choose others, or leave them out.")
        }
        var options = TargetVerification.Options()
        (options.chunk, options.context) = (chunk, context)
        options.windows = isChained ? min(windows, ids.count / context) : 0
        options.layers = layers.map { 0..<min($0, loaded.graph.layerCount) }
        (options.exported, options.steps) = (exported, steps)
        (options.prompts, options.answer, options.ends) = (
            try prompts.map { try Self.prompts($0, tokenizer) } ?? [], answer, Set(tokenizer.eosIDs)
        )
        options.explains = explain
        let room = capacity - answer
        if let longest = options.prompts.map(\.count).max(), longest > room {
            throw DyadError(
                .usage, file: prompts, found: "a prompt of \(longest) tokens",
                expected: "at most \(room), for an answer of \(answer) in the context of \(capacity)",
                remedy: "Shorten it, or give a smaller --answer.")
        }
        let claim = try html.map { try OutputClaim($0) }
        defer { withExtendedLifetime(claim) {} }
        let result = try TargetVerification.run(loaded, against: library, tokens: ids, options: options) {
            Terminal.note($0)
        }
        try show(result)
        if let html { try AtomicFile.write(html, text: result.page(of: program)) }
    }

    /// Each line as a user's message, or, of a model without a chat template, as it is.
    private static func prompts(_ path: String, _ tokenizer: Tokenizer) throws -> [[Int32]] {
        let file = try FileBytes(path)
        let text = withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
        let lines = text.split(whereSeparator: \.isNewline).map(String.init)
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

    private func show(_ result: TargetVerification) throws {
        guard !json else { return try Terminal.print(result.json().text()) }
        for row in result.rows {
            let figures = String(
                format: "max %.2f  mean %.4f  within two %.3f %%  %.1f dB", row.maximumSteps, row.meanSteps,
                row.withinTwoSteps * 100, row.signalToNoise)
            try Terminal.print("\(figures)  \(row.tokens) tokens  \(row.tensor)")
            if let explanation = row.explanation { try Terminal.print("    \(explanation)") }
        }
        try Terminal.print("8-bit tensors, each part fed the integer graph's own:")
        for layer in result.layers {
            let figures = String(
                format: "max %.0f  mean %.4f  within two %.3f %%  %.1f dB", layer.maximumSteps, layer.meanSteps,
                layer.withinTwoSteps * 100, layer.signalToNoise)
            try Terminal.print("\(figures)  \(layer.tokens) tokens  \(layer.part)")
            if let explanation = layer.explanation { try Terminal.print("    \(explanation)") }
        }
        try Terminal.print(
            String(
                format: "what leaves a layer, within one step of 8 bits: %.3f %% in the worst layer",
                result.outputsWithinOneCoarseStep * 100))
        if let agreement = result.headAgreement {
            try Terminal.print(String(format: "the head's best token: the same in %.2f %%", agreement * 100))
        }
        if let integer = result.integer, let target = result.target {
            try Terminal.print(
                String(
                    format: "chained: perplexity %.3f, integer graph %.3f; argmax agreement %.2f %%; KL %.5f",
                    target.perplexity, integer.perplexity, (target.comparison?.top1Agreement ?? 0) * 100,
                    target.comparison?.meanKL ?? 0))
        }
        if let greedy = result.greedy {
            try Terminal.print(
                String(
                    format: "greedy, %d prompts: %d of %d tokens the same (%.2f %%), %d texts from end to end",
                    greedy.prompts, greedy.equal, greedy.positions, greedy.agreement * 100, greedy.identical))
        }
        if let run = result.exported {
            try Terminal.print(
                "\(run.files.joined(separator: ", ")): \(run.prefilled) tokens in prefill chunks, then \(run.steps) single steps; "
                    + "the best token is the same in \(run.equalBestTokens) of \(run.positions), logits "
                    + String(format: "%.1f dB", run.signalToNoise))
        }
    }
}

extension Verify {
    /// What the runtime, or the exported program, is compared with.
    enum Opponent: ExpressibleByArgument {
        case program(Verification.Opponent)
        case target(TargetLibrary)

        init?(argument: String) {
            if let opponent = Verification.Opponent(rawValue: argument) {
                self = .program(opponent)
            } else if let library = TargetLibrary(rawValue: argument) {
                self = .target(library)
            } else {
                return nil
            }
        }

        var defaultValueDescription: String {
            switch self {
            case .program(let opponent): opponent.rawValue
            case .target(let library): library.rawValue
            }
        }

        static var allValueStrings: [String] {
            Verification.Opponent.allCases.map(\.rawValue) + TargetLibrary.allCases.map(\.rawValue)
        }
    }
}
