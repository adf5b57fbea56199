import DyadEvaluation
import DyadExport
import DyadFormats
import Foundation

/// A graph compiled for one Qualcomm chip.
public struct ContextBinary: CompiledGraph {
    /// The file, beside the graph.
    public var file: String
    /// Its size.
    public var bytes: Int
    /// For which chip the binary itself says it is, for example `soc_type=SM8650;arch=75`.
    public var chip: String
    /// How long it took.
    public var seconds: Double

    /// Compiles the graphs of an exported folder: `prefill.onnx` becomes `prefill.sm8650.onnx`, which holds the binary.
    ///
    /// The chip is read back from the binary: QNN takes an impossible architecture without a word and compiles for another.
    ///
    /// - Throws: ``DyadError``: `missing` for the Python package, `failed` with QNN's words, `mismatch` for a binary of another chip.
    public static func compile(
        _ report: ExportReport, in folder: String, for target: ExportTarget, progress: (String) -> Void = { _ in }
    ) throws(DyadError) -> [ContextBinary] {
        guard let htp = target.htp else {
            throw DyadError(
                .usage, subject: "--target", found: target.rawValue, expected: "a Qualcomm chip",
                remedy: "Name sm8650 or sm8750.")
        }
        let worker = try TargetWorker(TargetWorker.Library(name: "qnn", htp: htp))
        let expected = "soc_type=\(target.rawValue.uppercased());arch=\(htp.architecture)"
        func name(_ graph: ExportReport.Graph) -> String {
            graph.file.replacing(".onnx", with: ".\(target.rawValue).onnx")
        }
        let lock = try FolderLock(folder)
        defer { withExtendedLifetime(lock) {} }
        // Binaries of an earlier export must not pass for this one's, of other parts or where compiling ends early.
        for file in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        where file.hasSuffix(".\(target.rawValue).onnx") { unlink("\(folder)/\(file)") }
        var binaries: [ContextBinary] = []
        for graph in report.graphs {
            progress("\(graph.file): compiling for \(target.rawValue)")
            let file = name(graph)
            // ONNX Runtime writes in place, and refuses a name that exists.
            let path = "\(folder)/\(file)", partial = "\(folder)/partial-\(file)"
            try? FileManager.default.removeItem(atPath: partial)
            defer { try? FileManager.default.removeItem(atPath: partial) }
            let made = try worker.compile("\(folder)/\(graph.file)", to: partial)
            guard made.chips == [expected] else {
                throw DyadError(
                    .mismatch, file: "\(folder)/\(file)", subject: "chip",
                    found: made.chips.isEmpty ? "none named" : made.chips.joined(separator: ", "), expected: expected,
                    remedy: "Use the version of onnxruntime-qnn that scripts/npu-requirements.txt names.")
            }
            try ExportManifest.rename(partial, to: path)
            binaries.append(ContextBinary(file: file, bytes: made.bytes, chip: expected, seconds: made.seconds))
        }
        try CompiledFiles.write(binaries.map { ($0.file, $0.chip) }, in: folder)
        return binaries
    }
}

extension ContextBinary {
    /// See ``CompiledGraph``.
    public var facts: [(String, JSONValue)] { [("chip", .string(chip))] }
    /// See ``CompiledGraph``.
    public var summary: String { "\(bytes) bytes, \(chip)" }
}

extension TargetCompiler {
    /// QNN, through ONNX Runtime.
    static let qnn = TargetCompiler(key: "context_binaries") { (report, folder, target, progress) throws(DyadError) in
        try ContextBinary.compile(report, in: folder, for: target, progress: progress)
    }
}
