import DyadCheckpoint
import DyadEvaluation
import DyadFormats
import DyadGraph
import DyadQuantization
import DyadRuntime
import DyadTensor
import DyadTokenizer
import DyadTransformer

/// `dyad evaluate` as a function: a model, and a text, conversations (both optionally with a reference), or tasks.
public struct EvaluationJob {
    /// What is executed.
    public enum Mode: String, CaseIterable, Sendable {
        /// The float model of a checkpoint.
        case float
        /// A program in float, with quantise–dequantise at every tensor.
        case simulated
        /// A program on integers.
        case integer
    }

    /// A float model or a `.dyad` file.
    public var model: String
    /// The text to measure perplexity on; nil for tasks alone.
    public var text: String?
    /// Tokens of a window.
    public var context = 1024
    /// At most so many tokens of the text; nil for all.
    public var maximumTokens: Int?
    /// Whether every window begins with the tokenizer's beginning-of-text token.
    public var beginsText = false
    /// The model to compare with; nil for perplexity alone.
    public var reference: String?
    /// A folder that keeps a float reference's hidden states for further evaluations on the same windows; nil for none.
    public var referenceCache: String?
    /// Whether every model is also scored at the temperature that suits it best.
    public var tempers = false
    /// A file of conversations, one JSON object with `messages` a line; nil for none. Those that end with the assistant are scored,
    /// the others are answered beside the reference.
    public var conversations: String?
    /// At most so many conversations are answered; nil for all.
    public var answers: Int?
    /// Tokens of an answer, at most.
    public var answerTokens = 64
    /// Tasks to score.
    public var tasks: [TaskDefinition] = []
    /// The folder that holds the tasks' files.
    public var data: String?
    /// At most so many rows of each task, from the first on; nil for all.
    public var limit: Int?
    /// nil: integer for a `.dyad` file, float for anything else.
    public var mode: Mode?
    /// Threads of the integer program; nil takes one a core.
    public var threads: Int?

    /// Creates a job with the default settings.
    public init(model: String, text: String? = nil) {
        (self.model, self.text) = (model, text)
    }

    /// What a job reports.
    public struct Result: Sendable {
        /// Perplexity, and nearness to the reference; nil without a text.
        ///
        /// Of a program with a constant prefix KL and agreement are taken to the float reference behind the same prefix, so that they
        /// say what rounding does; the ratio is to the reference without it.
        public var model: PerplexityResult?
        /// The float reference with the program's constant prefix in front, which changes it a little: a ratio is fair only to
        /// the lower of the two perplexities (the page Results). Nil without a reference or a prefix.
        public var prefixedReference: PerplexityResult?
        /// Conversations that end with the assistant; nil without any.
        public var conversations: ConversationResult?
        /// Answers beside the reference's; nil without a reference, or without conversations that want one.
        public var answers: AnswerAgreement?
        /// Whether every window began with the tokenizer's beginning-of-text token.
        public var beginsText = false
        /// The tasks, in the order asked for.
        public var tasks: [TaskResult] = []

        /// Perplexity divided by the lower of the references'.
        public var ratioToLowerReference: Double? {
            guard let model, let reference = model.comparison?.perplexity else { return nil }
            return model.perplexity / min(reference, prefixedReference?.perplexity ?? .infinity)
        }

        /// For `--json`: the keys of ``PerplexityResult/json()``, and `tasks` with those of ``TaskResult/json()`` by name.
        public func json() -> JSONValue {
            var object = model?.json().object ?? JSONObject()
            if let prefixedReference {
                object["kl_reference"] = .string(prefixedReference.model)
                object["prefixed_reference_perplexity"] = .measured(prefixedReference.perplexity)
                if let tempered = prefixedReference.tempered {
                    object["prefixed_reference_temperature"] = .measured(tempered.temperature)
                    object["prefixed_reference_tempered_perplexity"] = .measured(tempered.perplexity)
                }
            }
            if let ratio = ratioToLowerReference { object["ratio_to_lower_reference"] = .measured(ratio) }
            if model != nil { object["bos"] = .bool(beginsText) }
            if let conversations { object["conversations"] = conversations.json() }
            if let answers { object["answers"] = answers.json() }
            if !tasks.isEmpty { object["tasks"] = .object(JSONObject(tasks.map { ($0.task, $0.json()) })) }
            return .object(object)
        }
    }

    /// Loads, tokenises with the model's own tokenizer, and measures: perplexity first, then the tasks.
    public func run(progress: ProgressReporter? = nil) throws -> Result {
        try checkSettings()
        let rows = try taskRows()
        let dialogues = try readConversations()
        let loaded = try load(model, mode: mode)
        var result = Result()
        let references = try reference.map { try self.references($0, prefix: loaded.prefix) }
        if let text { try measurePerplexity(loaded, text, references, into: &result, progress) }
        if let dialogues { try measure(dialogues, loaded, references, into: &result, progress) }
        let scorer = TaskScorer(loaded.model, tokenizer: loaded.tokenizer, maximumTokens: loaded.maximumTokens)
        for (task, rows) in zip(tasks, rows) {
            result.tasks.append(
                try scorer.score(task, rows) { progress?.update(phase: task.name, completed: $0, total: rows.count) })
        }
        return result
    }

    private func checkSettings() throws(DyadError) {
        guard text != nil || conversations != nil || !tasks.isEmpty else {
            throw DyadError(
                .usage, subject: "evaluate", found: "nothing to measure",
                expected: "a text, conversations or tasks",
                remedy: "Give --perplexity FILE, --conversations FILE, or --tasks LIST with --data FOLDER.")
        }
        guard text != nil || conversations != nil || reference == nil else {
            throw DyadError(
                .usage, subject: "--reference", found: "a reference without a text",
                expected: "a text or conversations to compare the models on",
                remedy: "Give --perplexity FILE or --conversations FILE, or leave the reference out.")
        }
        guard answers == nil || (conversations != nil && reference != nil) else {
            throw DyadError(
                .usage, subject: "--answers", found: "no conversations, or no reference",
                expected: "conversations to answer, and a reference that answers them too",
                remedy: "Give --conversations FILE and --reference MODEL, or leave --answers out.")
        }
        for (name, value, least) in [("--answers", answers ?? 0, 0), ("--answer-tokens", answerTokens, 1)]
        where value < least {
            throw DyadError(
                .usage, subject: name, found: "\(value)", expected: "at least \(least)",
                remedy: "Choose a larger number.")
        }
        guard reference != nil || referenceCache == nil else {
            throw DyadError(
                .usage, subject: "--reference-cache", found: "a cache without a reference",
                expected: "a reference whose hidden states it keeps",
                remedy: "Give --reference MODEL, or leave the cache out.")
        }
        guard text != nil || !beginsText else {
            throw DyadError(
                .usage, subject: "--bos", found: "a beginning of windows without a text",
                expected: "a text to measure perplexity on",
                remedy: "Give --perplexity FILE, or leave --bos out: tasks have no special tokens.")
        }
        guard text != nil || !tempers else {
            throw DyadError(
                .usage, subject: "--temper", found: "temperatures without a text",
                expected: "a text to measure perplexity on",
                remedy: "Give --perplexity FILE, or leave --temper out.")
        }
    }

    /// The rows of every task, read before a model is loaded: a mistake in them should cost no wait.
    private func taskRows() throws(DyadError) -> [[TaskRow]] {
        guard !tasks.isEmpty else { return [] }
        guard let data else {
            throw DyadError(
                .usage, subject: "--data", found: "tasks without a folder",
                expected: "the folder that holds their files",
                remedy: "Give --data FOLDER.")
        }
        var rows: [[TaskRow]] = []
        for task in tasks { rows.append(try task.rows(in: data, limit: limit)) }
        return rows
    }

    private func measurePerplexity(
        _ loaded: LoadedModel, _ text: String, _ references: References?, into result: inout Result,
        _ progress: ProgressReporter?
    ) throws {
        guard let string = try FileBytes(text).text else {
            throw DyadError(
                .malformed, file: text, found: "bytes that are no UTF-8", expected: "text in UTF-8",
                remedy: "Convert the file, for example with iconv.")
        }
        let tokens = loaded.tokenizer.encode(string, parseSpecial: false)
        let windows = min(tokens.count, maximumTokens ?? .max) / max(context, 1)
        let beginning = beginsText ? loaded.tokenizer.bosID : nil
        guard beginsText == (beginning != nil) else {
            throw DyadError(
                .usage, file: model, subject: "--bos", found: "a tokenizer without a beginning-of-text token",
                expected: "a model that has one", remedy: "Leave --bos out.")
        }
        var perplexity = Perplexity(context: context, maximumTokens: maximumTokens, beginningOfText: beginning)
        if tempers { perplexity.temperatures = Perplexity.usualTemperatures }
        let models = [loaded.model] + (references?.prefixed != nil ? [references?.plain].compactMap { $0 } : [])
        let results = try perplexity.measure(models, reference: references?.nearest, tokens: tokens) { share in
            progress?.update(
                phase: "evaluate", completed: Int((share * Double(max(windows, 1))).rounded()), total: max(windows, 1))
        }
        result.beginsText = beginsText
        (result.model, result.prefixedReference) =
            results.count > 1 ? (results[0].withRatio(to: results[1]), results[0].reference) : (results[0], nil)
    }

    private func readConversations() throws(DyadError) -> [Conversation]? {
        guard let conversations else { return nil }
        let all = try JSONLines.read(try FileBytes(conversations), file: conversations) {
            row throws(DyadError) in try Conversation(row)
        }
        guard !all.isEmpty else {
            throw DyadError(
                .malformed, file: conversations, found: "no conversation", expected: "one JSON object a line",
                remedy: "Give a file with conversations.")
        }
        return all
    }

    private func measure(
        _ conversations: [Conversation], _ loaded: LoadedModel, _ references: References?, into result: inout Result,
        _ progress: ProgressReporter?
    ) throws {
        let scored = conversations.enumerated().filter { $1.isAnswered }
        let asking = conversations.enumerated().filter { !$1.isAnswered }.prefix(
            references == nil ? 0 : answers ?? .max)
        let wanted = (scored + asking).map { (place: "conversation \($0 + 1)", conversation: $1) }
        let scorer = try ConversationScorer(
            wanted, tokenizer: loaded.tokenizer, prefix: loaded.prefix, maximumTokens: loaded.maximumTokens,
            answerTokens: answerTokens)
        result.conversations = try scorer.score([loaded.model], reference: references?.nearest) { done, total in
            progress?.update(phase: "conversations", completed: done, total: total)
        }?.first
        let prompts = scorer.prompts
        guard let references, !prompts.isEmpty else { return }
        guard let float = references.nearest as? FloatModel else {
            throw DyadError(
                .usage, file: reference, subject: "--reference", found: "a program",
                expected: "a float model, which answers too", remedy: "Give one, or --answers 0.")
        }
        let written = try FloatGenerator(float.decoder).answers(
            to: prompts, maximumTokens: answerTokens, ends: Set(loaded.tokenizer.eosIDs),
            progress: { done in
                progress?.update(phase: "answers of the reference", completed: done, total: prompts.count)
            })
        result.answers = try scorer.compare(loaded.model, with: written, maximumTokens: answerTokens) { done, total in
            progress?.update(phase: "answers", completed: done, total: total)
        }
    }

    /// What a model is compared with.
    private struct References {
        /// The reference as it is.
        var plain: any LanguageModel
        /// A float reference behind the program's constant prefix; nil where there is none.
        var prefixed: FloatModel?
        /// What differs from the model by its rounding only.
        var nearest: any LanguageModel { prefixed ?? plain }
    }

    private func references(_ reference: String, prefix: [Int32]) throws -> References {
        let other = try load(reference, mode: nil).model
        guard let float = other as? FloatModel else { return References(plain: other) }
        let fingerprint = try referenceCache.map { _ in try Checkpoint.open(reference).fingerprint() }
        func kept(_ decoder: Decoder, _ name: String, prefix: [Int32]) throws -> FloatModel {
            guard let referenceCache, let fingerprint else { return FloatModel(decoder, name: name) }
            let store = try HiddenStateStore(folder: referenceCache, fingerprint: fingerprint, prefix: prefix)
            return FloatModel(decoder, name: name, store: store)
        }
        var references = References(plain: try kept(float.decoder, float.name, prefix: []))
        guard !prefix.isEmpty else { return references }
        let decoder = try float.decoder.copy()
        decoder.prefix = try withNoGrad { try decoder.computePrefix(prefix) }
        references.prefixed = try kept(decoder, "float with prefix", prefix: prefix)
        return references
    }

    /// A model with what belongs to it.
    private struct LoadedModel {
        var model: any LanguageModel
        var tokenizer: Tokenizer
        /// The tokens of a program's constant prefix.
        var prefix: [Int32]
        /// Tokens that it takes at once.
        var maximumTokens: Int
    }

    private func load(_ path: String, mode: Mode?) throws -> LoadedModel {
        if path.hasSuffix(".dyad") {
            let program = try IntegerProgram.load(path)
            let prefix = program.graph.prefixTokens
            let maximum = program.graph.maximumContext - prefix.count
            try checkContext(path, maximum, "\(maximum)", "Use a smaller --context, or quantise with a larger one.")
            let tokenizer = try Tokenizer(document: program.tokenizer, file: path)
            let model: any LanguageModel
            switch mode ?? .integer {
            case .integer:
                var options = Runtime.Options()
                if let threads { options.threads = threads }
                model = try IntegerModel(program, name: "integer", options: options)
            case .simulated: model = SimulatedModel(program, name: "simulated")
            case .float: throw wrongMode(path, "float", "simulated or integer")
            }
            return LoadedModel(model: model, tokenizer: tokenizer, prefix: prefix, maximumTokens: maximum)
        }
        guard (mode ?? .float) == .float else { throw wrongMode(path, mode?.rawValue ?? "", "float") }
        let checkpoint = try Checkpoint.open(path)
        let maximum = checkpoint.configuration.maximumPositions
        try checkContext(
            path, maximum, "\(maximum), the positions that the model was made for", "Use a smaller --context.")
        return LoadedModel(
            model: FloatModel(try Decoder(checkpoint: checkpoint), name: "float"),
            tokenizer: try checkpoint.tokenizer(), prefix: [], maximumTokens: maximum)
    }

    /// The windows of a text must fit; tasks have lengths of their own, which ``TaskScorer`` checks.
    private func checkContext(
        _ path: String, _ maximum: Int, _ expected: String, _ remedy: String
    ) throws(DyadError) {
        guard text == nil || context <= maximum else {
            throw DyadError(
                .usage, file: path, subject: "--context", found: "windows of \(context) tokens",
                expected: "at most \(expected)", remedy: remedy)
        }
    }

    private func wrongMode(_ path: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .usage, file: path, subject: "--mode", found: found, expected: expected,
            remedy: "A checkpoint runs in float, a .dyad file simulated or on integers.")
    }
}
