import DyadEvaluation
import DyadExport
import DyadFormats
import Foundation

/// A graph compiled by vela for an Arm Ethos-U. It was not executed: no simulator of Ethos-U is at hand.
public struct EthosBinary: CompiledGraph {
    /// The file, beside the graph.
    public var file: String
    /// Its size.
    public var bytes: Int
    /// Operators that run on the Ethos-U, in vela's own lowered graph.
    public var npuOperators: Int
    /// Operators that vela leaves to the CPU.
    public var cpuOperators: Int
    /// How long it took.
    public var seconds: Double

    /// Compiles the graphs of an exported folder: `decode.tflite` becomes `decode_vela.tflite`.
    ///
    /// - Throws: ``DyadError``: `missing` for the Python package, `failed` with vela's last words.
    public static func compile(
        _ report: ExportReport, in folder: String, for target: ExportTarget, progress: (String) -> Void = { _ in }
    ) throws(DyadError) -> [EthosBinary] {
        let worker = try TargetWorker(TargetWorker.Library(name: "vela"))
        let lock = try FolderLock(folder)
        defer { withExtendedLifetime(lock) {} }
        // Binaries of an earlier export must not pass for this one's, of other parts or where compiling ends early.
        for file in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        where file.hasSuffix("_vela.tflite") {
            unlink("\(folder)/\(file)")
        }
        let partial = "\(folder)/partial-vela"
        defer { try? FileManager.default.removeItem(atPath: partial) }
        var binaries: [EthosBinary] = []
        for graph in report.graphs {
            progress("\(graph.file): compiling for \(target.rawValue)")
            try? FileManager.default.removeItem(atPath: partial)
            let binary = try worker.vela("\(folder)/\(graph.file)", to: partial, accelerator: target.rawValue)
            try ExportManifest.rename("\(partial)/\(binary.file)", to: "\(folder)/\(binary.file)")
            binaries.append(binary)
        }
        try CompiledFiles.write(binaries.map { ($0.file, target.rawValue) }, in: folder)
        return binaries
    }
}

extension EthosBinary {
    /// See ``CompiledGraph``.
    public var facts: [(String, JSONValue)] {
        [("npu_operators", .integer(npuOperators)), ("cpu_operators", .integer(cpuOperators))]
    }
    /// See ``CompiledGraph``.
    public var summary: String {
        "\(bytes) bytes, \(npuOperators) operators on the Ethos-U, \(cpuOperators) on the CPU"
    }
}

extension TargetCompiler {
    /// vela.
    static let vela = TargetCompiler(key: "ethos_binaries") { (report, folder, target, progress) throws(DyadError) in
        try EthosBinary.compile(report, in: folder, for: target, progress: progress)
    }
}
