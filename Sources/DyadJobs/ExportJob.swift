import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph
import DyadTargets

/// `dyad export` as a function: a program, written for a tool chain and compiled where the tool chain has a compiler.
public struct ExportJob {
    /// The `.dyad` file.
    public var program: String
    /// The folder to write; for GGUF the file.
    public var output: String
    /// The form.
    public var format: ExportFormat
    /// What it must run on; nil for the format's default.
    public var target: ExportTarget?
    /// Tokens that a step can see; nil for as many as the program holds.
    public var context: Int?
    /// Tokens of a prefill chunk; 0 for none.
    public var chunk = 128
    /// Layers of one part at most; nil for as many as a file of the target can hold.
    public var split: Int?
    /// GGUF: a GGUF file of the same model.
    public var template: String?

    /// Creates a job.
    public init(program: String, output: String, format: ExportFormat) {
        (self.program, self.output, self.format) = (program, output, format)
    }

    /// What was written.
    public struct Result {
        /// The graphs and files.
        public var report: ExportReport
        /// By compiler, what it made.
        public var compiled: [(compiler: TargetCompiler, graphs: [any CompiledGraph])] = []
        let output: String
        let format: ExportFormat
    }

    /// Exports.
    ///
    /// - Parameter progress: is given a line of text now and then.
    /// - Throws: ``DyadError``: `usage` for settings that do not fit together, and the exporters' and compilers' errors. A compiler that
    ///   is not there is no error: the folder is whole without it.
    public func run(progress: (String) -> Void = { _ in }) throws(DyadError) -> Result {
        let loaded = try IntegerProgram.load(program)
        try loaded.validate()
        guard format != .gguf else { return try exportGGUF(loaded, progress) }
        let target = try checkedTarget()
        guard split ?? 1 >= 1 else {
            throw DyadError(
                .usage, subject: "--split", found: "\(split ?? 1)", expected: "at least 1",
                remedy: "Leave the option out for one part.")
        }
        let context = context ?? (loaded.graph.maximumContext - loaded.graph.prefixTokens.count)
        let plan = ExportPlan(
            target: target, context: context, chunk: chunk == 0 ? nil : min(chunk, context), layers: split)
        let report = try plan.exporter.export(loaded, from: try ExportSource(path: program), to: output)
        var result = Result(report: report, output: output, format: format)
        guard let compiler = TargetCompiler.of(format, for: target) else { return result }
        do {
            result.compiled = [(compiler, try compiler.compile(report, output, target, progress))]
        } catch {
            guard error.reason == .missing else { throw error }
            progress("not compiled: \(error)")
        }
        return result
    }

    private func checkedTarget() throws(DyadError) -> ExportTarget {
        let target = target ?? format.targets[0]
        guard self.target != nil || format != .qnn, format.targets.contains(target) else {
            throw DyadError(
                .usage, subject: "--target", found: self.target?.rawValue ?? "none",
                expected:
                    "\(format.targets.map(\.rawValue).joined(separator: " or ")) for the format \(format.rawValue)",
                remedy: "Name one of them.")
        }
        return target
    }

    private func exportGGUF(_ loaded: IntegerProgram, _ progress: (String) -> Void) throws(DyadError) -> Result {
        guard let template else {
            throw DyadError(
                .usage, subject: "--template", found: "none", expected: "a GGUF file of the same model",
                remedy: "Name the file that was quantised, or any GGUF of that model.")
        }
        let report = try GGUFExporter(template: template).export(
            loaded, from: try ExportSource(path: program), to: output)
        if !loaded.graph.prefixTokens.isEmpty, loaded.graph.constants.contains(where: { $0.type == .i4 }) {
            progress(
                "llama.cpp computes the prefix with the 4-bit weights, whose errors its large activations do not bear: expect a "
                    + "perplexity several times as high (page Exporting, GGUF). At 8 bit nothing is lost.")
        }
        return Result(report: report, output: output, format: format)
    }
}

extension ExportJob.Result {
    /// For `--json`.
    public func json() -> JSONValue {
        guard format != .gguf else { return report.json() }
        var object = report.json().object ?? JSONObject()
        for compiler in TargetCompiler.all {
            let graphs = compiled.first { $0.compiler.key == compiler.key }?.graphs ?? []
            object[compiler.key] = .array(graphs.map { $0.json() })
        }
        return .object(object)
    }

    /// The result for people.
    public var table: String {
        guard format != .gguf else {
            return report.files.map { "\(output): \($0.bytes) bytes" }.joined(separator: "\n")
        }
        var lines: [String] = []
        for graph in report.graphs {
            lines.append(
                "\(graph.file): \(graph.shape.tokens) tokens of \(graph.shape.context), \(graph.nodes) operations, "
                    + "\(graph.encodings) encodings")
            let (all, wide) = (Double(graph.products.all), Double(graph.products.wide))
            lines.append(
                "  \(text(all / 1e6, 1)) million multiply-accumulates, \(text(100 * wide / max(all, 1), 1)) % of them with 16-bit inputs"
            )
            lines += graph.rewrites.map { "  \($0)" }
        }
        lines += compiled.flatMap(\.graphs).map { "\(output)/\($0.file): \($0.summary)" }
        lines += report.files.map { "\(output)/\($0.name): \($0.bytes) bytes" }
        return lines.joined(separator: "\n")
    }
}
