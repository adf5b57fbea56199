import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph
import Foundation

/// A folder with which a program runs on a phone's Hexagon processor, and what comes back in it.
///
/// The runner on the phone is Qualcomm's `qnn-net-run`, of the SDK that a measurement needs anyhow. It runs a prefill chunk from an
/// empty cache and the single step behind it, many times each, on what the integer graph itself would be given; so the folder
/// measures how fast the phone is, and whether it computes the same. It does not generate: `qnn-net-run` knows no loop.
public struct PhoneBenchmark: Sendable {
    /// The chip.
    public var target: ExportTarget
    /// Tokens that a step can see.
    public var context: Int
    /// Tokens of the prefill chunk.
    public var chunk: Int
    /// How often each graph runs.
    public var repetitions: Int

    /// Creates one; a chunk and the step behind it must fit into the context.
    public init(target: ExportTarget, context: Int, chunk: Int, repetitions: Int) {
        (self.target, self.context, self.chunk, self.repetitions) = (target, context, chunk, repetitions)
    }

    /// The two graphs, and the tokens that come before each.
    private var steps: [(name: String, start: Int, tokens: Int)] { [("prefill", 0, chunk), ("decode", chunk, 1)] }
    private static let settings = "benchmark.json"

    // MARK: The folder

    /// Exports and compiles both graphs, and writes what the phone needs: `prefill.bin`, `decode.bin`, `inputs/`, `run.sh`, and
    /// `benchmark.json` with the settings; the export itself stays beside them, in `export/`.
    ///
    /// - Parameter tokens: the text, at least ``chunk`` + 1 tokens.
    /// - Throws: ``DyadError`` as ``ContextBinary/compile(_:in:for:progress:)`` and the exporter; `mismatch` for too few tokens.
    public func prepare(
        _ program: IntegerProgram, from source: ExportSource, tokens: [Int32], in folder: String,
        progress: (String) -> Void = { _ in }
    ) throws(DyadError) {
        try check(program, tokens)
        let export = "\(folder)/export"
        // What an earlier preparation left must not pass for this one's.
        for old in [Self.settings, "results"] { try? FileManager.default.removeItem(atPath: "\(folder)/\(old)") }
        // In one part each: qnn-net-run hands nothing from one graph to the next.
        let plan = ExportPlan(target: target, context: context, chunk: chunk, layers: max(program.graph.layerCount, 1))
        let report = try ONNXExporter(plan).export(program, from: source, to: export)
        let binaries = try ContextBinary.compile(report, in: export, for: target, progress: progress)
        for (step, binary) in zip(steps, binaries) {
            let bytes = try ONNXExporter.contextBinary(of: "\(export)/\(binary.file)")
            try AtomicFile.write("\(folder)/\(step.name).bin", expectedBytes: bytes.count) { (sink) throws(DyadError) in
                try sink.write(bytes)
            }
        }
        try writeInputs(program, from: source, tokens: tokens, in: folder)
    }

    /// What does not need Qualcomm's compiler.
    func writeInputs(
        _ program: IntegerProgram, from source: ExportSource, tokens: [Int32], in folder: String
    ) throws(DyadError) {
        try check(program, tokens)
        for step in steps {
            let (graph, shape, observed) = try observe(program, tokens, step)
            try ExportManifest.makeFolder("\(folder)/inputs/\(step.name)")
            var list: [String] = []
            for (index, (name, bytes)) in try observed.inputs(of: graph, program, shape).enumerated() {
                // Numbers: a name may hold what a file's must not.
                let file = "inputs/\(step.name)/\(index).raw"
                guard !name.contains(where: { $0.isWhitespace || $0.isNewline }), !name.contains(":=") else {
                    throw DyadError(
                        .unsupported, subject: name, found: "a blank or := in the name of an input",
                        expected: "a name that qnn-net-run's list of inputs can hold",
                        remedy: "Quantise the model again.")
                }
                try AtomicFile.write("\(folder)/\(file)", expectedBytes: bytes.count) { (sink) throws(DyadError) in
                    try sink.write(bytes)
                }
                list.append("\(name):=\(file)")
            }
            try AtomicFile.write("\(folder)/inputs/\(step.name).txt", text: list.joined(separator: " ") + "\n")
        }
        try writeScript(to: "\(folder)/run.sh")
        let settings = JSONValue.object(
            JSONObject([
                ("source", .string(source.name)), ("source_sha256", .string(source.sha256)),
                ("target", .string(target.rawValue)), ("context", .integer(context)), ("chunk", .integer(chunk)),
                ("repetitions", .integer(repetitions)),
                ("tokens", .array(tokens.prefix(chunk + 1).map { .integer(Int($0)) })),
            ]))
        try AtomicFile.write("\(folder)/\(Self.settings)", text: settings.text() + "\n")
    }

    private func check(_ program: IntegerProgram, _ tokens: [Int32]) throws(DyadError) {
        let capacity = program.graph.maximumContext - program.graph.prefixTokens.count
        guard target.isHTP, chunk >= 1, chunk < context, context <= capacity, tokens.count > chunk, repetitions >= 1
        else {
            throw DyadError(
                .mismatch, subject: "phone benchmark",
                found: "\(target.rawValue), \(tokens.count) tokens, chunk \(chunk) of \(context), \(repetitions) runs",
                expected:
                    "a Qualcomm chip, a chunk shorter than text and context, a context of at most \(capacity), 1 run",
                remedy: "Give a longer prompt, a shorter chunk, or another context.")
        }
    }

    private func observe(
        _ program: IntegerProgram, _ tokens: [Int32], _ step: (name: String, start: Int, tokens: Int)
    ) throws(DyadError) -> (StaticGraph, StaticShape, TargetVerification.Observation) {
        let shape = StaticShape(tokens: step.tokens, context: context, logits: .one)
        let graph = try StaticGraph.lowered(program, part: .whole(of: program.graph), shape: shape, for: target)
        let observed = try TargetVerification.Observation(
            program, tokens: tokens, start: step.start, count: step.tokens)
        return (graph, shape, observed)
    }

    private func writeScript(to path: String) throws(DyadError) {
        guard let htp = target.htp,
            let file = Bundle.module.url(forResource: "phone_run", withExtension: "sh", subdirectory: "Scripts")
        else {
            throw DyadError(
                .missing, subject: "phone_run.sh", found: "no such resource", expected: "it, beside the program",
                remedy: "Install Dyad again.")
        }
        let template = try FileBytes(file.path)
        let text = withExtendedLifetime(template) { String(decoding: template.bytes, as: UTF8.self) }
            .replacing("@ARCHITECTURE@", with: String(htp.architecture))
            .replacing("@CHIP@", with: target.rawValue.uppercased())
            .replacing("@REPETITIONS@", with: String(repetitions))
            .replacing("@VERSION@", with: "2.51 for onnxruntime-qnn 2.7.0")
        try AtomicFile.write(path, text: text)
        chmod(path, 0o755)
    }

    // MARK: What came back

    /// One graph on the phone.
    public struct Result: Sendable {
        /// `prefill` or `decode`.
        public var name: String
        /// Tokens of one run.
        public var tokens: Int
        /// Microseconds of every run, by QNN's name of what was timed.
        public var microseconds: [(event: String, times: [Double])]
        /// Whether the phone's best token is the integer graph's.
        public var argmaxAgrees: Bool
        /// Of the logits, in dB.
        public var signalToNoise: Double

        /// The median of a run as the caller sees it, in microseconds; nil where the profile does not say.
        public var median: Double? {
            microseconds.first { $0.event == Self.run }.map { TargetProfile.median($0.times) }
        }
        /// Tokens a second at the median.
        public var tokensPerSecond: Double? { median.flatMap { $0 > 0 ? Double(tokens) / $0 * 1e6 : nil } }
        private static let run = "QNN (execute) time"

        /// For `--json`.
        public func json() -> JSONValue {
            .object(
                JSONObject([
                    ("graph", .string(name)), ("tokens", .integer(tokens)),
                    ("median_microseconds", median.map(JSONValue.measured) ?? .null),
                    ("tokens_per_second", tokensPerSecond.map(JSONValue.measured) ?? .null),
                    ("argmax_agrees", .bool(argmaxAgrees)), ("sqnr_db", .measured(signalToNoise)),
                    (
                        "microseconds",
                        .object(
                            JSONObject(microseconds.map { ($0.event, .array($0.times.map(JSONValue.measured))) }))
                    ),
                ]))
        }
    }

    /// Reads the settings of a folder.
    ///
    /// - Throws: ``DyadError`` `missing`, `malformed`, or `mismatch` for a folder made of another program.
    public static func settings(
        of folder: String, for source: ExportSource
    ) throws(DyadError) -> (benchmark: PhoneBenchmark, tokens: [Int32]) {
        let path = "\(folder)/\(settings)"
        let document = JSONField(try JSONValue.read(path), file: path)
        guard try document.member("source_sha256").value.string == source.sha256 else {
            throw DyadError(
                .mismatch, file: path, subject: "source_sha256",
                found: document.value["source_sha256"]?.string ?? "none", expected: source.sha256,
                remedy: "Name the program that the folder was made of.")
        }
        guard let target = document.value["target"]?.string.flatMap(ExportTarget.init(rawValue:)),
            let context = document.value["context"]?.integer, let chunk = document.value["chunk"]?.integer,
            let repetitions = document.value["repetitions"]?.integer, let tokens = document.value["tokens"]?.array,
            target.isHTP, chunk >= 1, context > chunk, tokens.count == chunk + 1
        else {
            throw document.failure(
                .malformed, found: "settings that do not fit", expected: "what dyad benchmark --target writes",
                remedy: "Make the folder again.")
        }
        return (
            PhoneBenchmark(target: target, context: context, chunk: chunk, repetitions: repetitions),
            tokens.map { Int32(clamping: $0.integer ?? -1) }
        )
    }

    /// Reads what `run.sh` brought back.
    ///
    /// - Throws: ``DyadError`` `missing` for a folder that was not run, `malformed` or `mismatch` naming the file.
    public func results(
        of program: IntegerProgram, tokens: [Int32], in folder: String
    ) throws(DyadError) -> [Result] {
        var results: [Result] = []
        for step in steps {
            let place = "\(folder)/results/\(step.name)"
            let profile = try TargetProfile.read("\(place)/profile.csv")
            let (graph, _, observed) = try observe(program, tokens, step)
            guard let id = graph.outputs.last(where: { graph.values[$0].shape.last == program.graph.vocabularySize }),
                let number = program.graph.tensors.firstIndex(where: { $0.name == graph.values[id].name }),
                let all = observed.tensors[graph.values[id].name]
            else {
                throw DyadError(
                    .mismatch, subject: "logits", found: "no such output", expected: "the logits",
                    remedy: "Report this as a defect of Dyad.")
            }
            let value = graph.values[id], vocabulary = program.graph.vocabularySize
            let found = value.integers(try Self.output(value.name, in: place, bytes: vocabulary * 2))
            let expected = Array(all.suffix(vocabulary))
            let row = TargetVerification.row(
                program.graph.tensors[number], expected, value, found, part: step.name, tokens: step.tokens)
            // Among equal u16 logits any may be the integer graph's best.
            let agrees = expected.indexOfLargest.map { found[$0] == found.max() } ?? false
            results.append(
                Result(
                    name: step.name, tokens: step.tokens, microseconds: profile, argmaxAgrees: agrees,
                    signalToNoise: row.signalToNoise))
        }
        return results
    }

    /// The bytes of an output of the first run: `qnn-net-run` adds `_native` to the names of files in the graph's own types.
    private static func output(_ name: String, in place: String, bytes: Int) throws(DyadError) -> [UInt8] {
        let folder = "\(place)/Result_0"
        let names = ["\(name)_native.raw", "\(name).raw"]
        let found = names.first { FileManager.default.fileExists(atPath: "\(folder)/\($0)") } ?? names[0]
        let file = try FileBytes("\(folder)/\(found)")
        let content = withExtendedLifetime(file) { Array(file.bytes) }
        guard content.count == bytes else {
            throw DyadError(
                .mismatch, file: "\(folder)/\(found)", subject: name, found: "\(content.count) bytes",
                expected: "\(bytes): \(bytes / 2) values of 16 bits",
                remedy: "Run with --use_native_output_files, as run.sh does.")
        }
        return content
    }
}

/// The times in a profile of QNN, as `qnn-profile-viewer` and ONNX Runtime write it.
enum TargetProfile {
    /// Microseconds by event, in the order of first appearance.
    ///
    /// - Throws: ``DyadError`` `missing`, or `malformed` naming the line.
    static func read(_ path: String) throws(DyadError) -> [(event: String, times: [Double])] {
        let file = try FileBytes(path)
        let text = withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
        func malformed(_ found: String) -> DyadError {
            DyadError(
                .malformed, file: path, found: found,
                expected: "the columns Time, Unit of Measurement and Event Identifier, and a number in each row",
                remedy: "Run run.sh again; the file comes from qnn-profile-viewer.")
        }
        let lines = text.split(whereSeparator: \.isNewline).map {
            $0.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
        }
        guard let start = lines.firstIndex(where: { $0.contains("Event Identifier") }),
            let time = lines[start].firstIndex(of: "Time"), let name = lines[start].firstIndex(of: "Event Identifier"),
            let unit = lines[start].firstIndex(of: "Unit of Measurement")
        else { throw malformed("no such header") }
        var events: [(event: String, times: [Double])] = []
        for (number, cells) in lines.enumerated().dropFirst(start + 1) {
            guard cells.count > max(time, name, unit) else { throw malformed("line \(number + 1) with too few cells") }
            guard cells[unit] == "US" else { continue }
            guard let value = Double(cells[time]), value.isFinite, value >= 0 else {
                throw malformed("\(cells[time]) in line \(number + 1)")
            }
            if let known = events.firstIndex(where: { $0.event == cells[name] }) {
                events[known].times.append(value)
            } else {
                events.append((cells[name], [value]))
            }
        }
        return events
    }

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
