import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadQuantization
import DyadRuntime
import DyadTensor
import DyadTokenizer
import DyadTransformer

/// `dyad evaluate` as a function: a model, a text, optionally a reference.
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
    /// The text to measure on.
    public var text: String
    /// Tokens of a window.
    public var context = 1024
    /// At most so many tokens of the text; nil for all.
    public var maximumTokens: Int?
    /// The model to compare with; nil for perplexity alone.
    public var reference: String?
    /// nil: integer for a `.dyad` file, float for anything else.
    public var mode: Mode?
    /// Threads of the integer program; nil takes one a core.
    public var threads: Int?

    /// Creates a job with the default settings.
    public init(model: String, text: String) {
        (self.model, self.text) = (model, text)
    }

    /// What a job reports.
    public struct Result: Sendable {
        /// A float model or a `.dyad` file.
        public var model: PerplexityResult
        /// The float reference with the program's constant prefix in front, which changes it a little: a ratio is fair only to
        /// the lower of the two perplexities (EVALUATION.md). Nil without a reference or a prefix.
        public var prefixedReference: PerplexityResult?

        /// Perplexity divided by the lower of the references'.
        public var ratioToLowerReference: Double? {
            guard let reference = model.comparison?.perplexity else { return nil }
            return model.perplexity / min(reference, prefixedReference?.perplexity ?? .infinity)
        }

        /// For `--json`.
        public func json() -> JSONValue {
            guard case .object(var object) = model.json() else { return .null }
            if let prefixedReference {
                object["prefixed_reference_perplexity"] = .measured(prefixedReference.perplexity)
            }
            if let ratio = ratioToLowerReference { object["ratio_to_lower_reference"] = .measured(ratio) }
            return .object(object)
        }
    }

    /// Loads, tokenises with the model's own tokenizer, and measures.
    public func run(progress: ProgressReporter? = nil) throws -> Result {
        let mapped = try MappedFile(text)
        guard let string = String(validating: mapped.bytes, as: UTF8.self) else {
            throw DyadError(
                .malformed, file: text, found: "bytes that are no UTF-8", expected: "text in UTF-8",
                remedy: "Convert the file, for example with iconv.")
        }
        let (measured, tokenizer, prefix) = try load(model, mode: mode)
        let other = try reference.map { try load($0, mode: nil).model }
        var models = [measured]
        if let float = other as? FloatModel, !prefix.isEmpty {
            let decoder = try float.decoder.copy()
            decoder.prefix = try withNoGrad { try decoder.computePrefix(prefix) }
            models.append(FloatModel(decoder, name: "float with prefix"))
        }
        let tokens = tokenizer.encode(string, parseSpecial: false)
        let windows = min(tokens.count, maximumTokens ?? .max) / max(context, 1)
        let results = try Perplexity(context: context, maximumTokens: maximumTokens).measure(
            models, reference: other, tokens: tokens
        ) { share in
            progress?.update(
                phase: "evaluate", completed: Int((share * Double(max(windows, 1))).rounded()), total: max(windows, 1))
        }
        return Result(model: results[0], prefixedReference: results.count > 1 ? results[1] : nil)
    }

    private func load(
        _ path: String, mode: Mode?
    ) throws -> (model: any LanguageModel, tokenizer: Tokenizer, prefix: [Int32]) {
        if path.hasSuffix(".dyad") {
            let program = try IntegerProgram.load(path)
            guard context <= program.graph.maximumContext - program.graph.prefixTokens.count else {
                throw DyadError(
                    .usage, file: path, subject: "--context", found: "windows of \(context) tokens",
                    expected: "at most \(program.graph.maximumContext - program.graph.prefixTokens.count)",
                    remedy: "Use a smaller --context, or quantise with a larger one.")
            }
            let tokenizer = try Tokenizer(document: program.tokenizer, file: path)
            switch mode ?? .integer {
            case .integer:
                var options = Runtime.Options()
                if let threads { options.threads = threads }
                return (
                    try IntegerModel(program, name: "integer", options: options), tokenizer, program.graph.prefixTokens
                )
            case .simulated: return (SimulatedModel(program, name: "simulated"), tokenizer, program.graph.prefixTokens)
            case .float: throw wrongMode(path, "float", "simulated or integer")
            }
        }
        guard (mode ?? .float) == .float else { throw wrongMode(path, mode?.rawValue ?? "", "float") }
        let checkpoint = try Checkpoint.open(path)
        guard context <= checkpoint.configuration.maximumPositions else {
            throw DyadError(
                .usage, file: path, subject: "--context", found: "windows of \(context) tokens",
                expected:
                    "at most \(checkpoint.configuration.maximumPositions), the positions that the model was made for",
                remedy: "Use a smaller --context.")
        }
        return (FloatModel(try Decoder(checkpoint: checkpoint), name: "float"), try checkpoint.tokenizer(), [])
    }

    private func wrongMode(_ path: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .usage, file: path, subject: "--mode", found: found, expected: expected,
            remedy: "A checkpoint runs in float, a .dyad file simulated or on integers.")
    }
}
