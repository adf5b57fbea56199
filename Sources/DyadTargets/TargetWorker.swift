import DyadEvaluation
import DyadExport
import DyadFormats
import Foundation

/// A vendor's library in a process of its own: `Scripts/npu_worker.py` says how the two talk.
///
/// The interpreter is `DYAD_PYTHON`, else `.deps/npu/bin/python` where that exists, else `python3`.
final class TargetWorker {
    /// The library, and for QNN the chip.
    struct Library: Equatable, Sendable {
        var name: String
        var htp: (chip: Int, architecture: Int)?

        static func == (a: Library, b: Library) -> Bool { a.name == b.name && a.htp?.chip == b.htp?.chip }
    }

    private let process = Process()
    private let requests = Pipe()
    private let replies = Pipe()
    private let library: Library
    /// Bytes that came behind the last whole line.
    private var rest: [UInt8] = []
    /// Where tensors are handed over.
    private let scratch: ScratchFolder
    private var folder: String { scratch.path }
    private var messages: String { folder + "/messages" }
    /// Versions of the vendor's packages, as the last model was loaded.
    private(set) var versions: [String: String] = [:]

    init(_ library: Library, interpreter given: String? = nil) throws(DyadError) {
        self.library = library
        scratch = try ScratchFolder()
        guard let script = Bundle.module.url(forResource: "npu_worker", withExtension: "py", subdirectory: "Scripts")
        else {
            throw Self.failure(
                "no npu_worker.py beside the program", "the resources of DyadTargets", "Install Dyad again.")
        }
        let local = ".deps/npu/bin/python"
        let interpreter =
            given ?? ProcessInfo.processInfo.environment["DYAD_PYTHON"]
            ?? (FileManager.default.isExecutableFile(atPath: local) ? local : "python3")
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [interpreter, script.path]
        process.standardInput = requests
        process.standardOutput = replies
        // A worker that died becomes an error of the write that meets it, as in every command of Dyad.
        signal(SIGPIPE, SIG_IGN)
        do {
            // The libraries say there which nodes they refuse, and a process that dies why.
            _ = FileManager.default.createFile(atPath: messages, contents: nil)
            process.standardError = FileHandle(forWritingAtPath: messages) ?? FileHandle.nullDevice
            try process.run()
        } catch {
            throw Self.failure(error.localizedDescription, "to start \(interpreter)", Self.installation)
        }
    }

    deinit {
        try? requests.fileHandleForWriting.close()
        if process.isRunning { process.terminate() }
    }

    static let installation =
        "Install the packages: scripts/npu (or name a Python that has those of scripts/npu-requirements.txt in DYAD_PYTHON)."

    private static func failure(_ found: String, _ expected: String, _ remedy: String) -> DyadError {
        DyadError(.failed, subject: "the vendor's library", found: found, expected: expected, remedy: remedy)
    }

    private func ask(_ request: [(String, JSONValue)]) throws(DyadError) -> JSONObject {
        let question = JSONValue.object(JSONObject(request)).text() + "\n"
        do {
            try requests.fileHandleForWriting.write(contentsOf: Data(question.utf8))
        } catch {
            throw ended()
        }
        let line = String(decoding: try readLine(), as: UTF8.self)
        guard case .object(let reply) = try JSONValue.parse(line, file: "npu_worker.py") else {
            throw Self.failure("a reply that is no object", "one", "Report this as a defect.")
        }
        if case .string(let missing)? = reply["missing"] {
            throw DyadError(
                .missing, subject: missing, found: "no such Python package", expected: "it, to run \(library.name)",
                remedy: Self.installation)
        }
        if case .string(let error)? = reply["error"] {
            throw Self.failure(error, "\(library.name) to take the graph", "See what the page Exporting says of it.")
        }
        return reply
    }

    /// How the worker ended, with the last line that it or its library wrote.
    private func ended() -> DyadError {
        process.waitUntilExit()
        let text = (try? String(contentsOfFile: messages, encoding: .utf8)) ?? ""
        let last = text.split(whereSeparator: \.isNewline).last.map { ": \($0.prefix(300))" } ?? ""
        let status = process.terminationStatus
        if process.terminationReason == .uncaughtSignal {
            return Self.failure(
                "a worker that signal \(status) ended\(last)", "one that answers",
                status == SIGKILL
                    ? "Free memory, or run fewer tokens (--chunk, --context)." : "Report it to the library's makers.")
        }
        return Self.failure("a worker that ended with \(status)\(last)", "one that answers", Self.installation)
    }

    private func readLine() throws(DyadError) -> [UInt8] {
        while true {
            if let end = rest.firstIndex(of: 0x0A) {
                defer { rest.removeSubrange(...end) }
                return Array(rest[..<end])
            }
            let more = replies.fileHandleForReading.availableData
            guard !more.isEmpty else {
                throw ended()
            }
            rest += more
        }
    }

    /// Loads a model, replacing the one before.
    ///
    /// - Returns: seconds.
    @discardableResult
    func load(_ model: String) throws(DyadError) -> Double {
        var request: [(String, JSONValue)] = [
            ("do", .string("load")), ("model", .string(model)), ("library", .string(library.name)),
        ]
        if let htp = library.htp {
            request += [("chip", .integer(htp.chip)), ("architecture", .integer(htp.architecture))]
        }
        let reply = try ask(request)
        if case .object(let found)? = reply["versions"] {
            for (name, version) in found.members { if case .string(let text) = version { versions[name] = text } }
        }
        return reply["seconds"]?.double ?? 0
    }

    /// Runs the loaded model on raw bytes.
    ///
    /// - Returns: the bytes of the outputs, and seconds.
    func run(
        _ inputs: [(name: String, bytes: [UInt8])], outputs: [String]
    ) throws(DyadError) -> (outputs: [String: [UInt8]], seconds: Double) {
        var given = JSONObject(), wanted = JSONObject()
        for (index, input) in inputs.enumerated() {
            let path = "\(folder)/input-\(index)"
            try AtomicFile.write(path, expectedBytes: input.bytes.count) { (sink) throws(DyadError) in
                try sink.write(input.bytes)
            }
            given[input.name] = .string(path)
        }
        for (index, output) in outputs.enumerated() { wanted[output] = .string("\(folder)/output-\(index)") }
        let reply = try ask([("do", .string("run")), ("inputs", .object(given)), ("outputs", .object(wanted))])
        var result: [String: [UInt8]] = [:]
        for (index, output) in outputs.enumerated() {
            let file = try FileBytes("\(folder)/output-\(index)")
            result[output] = withExtendedLifetime(file) { Array(file.bytes) }
        }
        return (result, reply["seconds"]?.double ?? 0)
    }

    /// Compiles a model into a context binary, and reads back for which chips it says it is.
    func compile(_ model: String, to binary: String) throws(DyadError) -> (bytes: Int, chips: [String], seconds: Double)
    {
        guard let htp = library.htp else {
            throw DyadError(
                .usage, subject: "target", found: library.name, expected: "a Qualcomm chip",
                remedy: "Name sm8650 or sm8750.")
        }
        let reply = try ask([
            ("do", .string("compile")), ("model", .string(model)), ("binary", .string(binary)),
            ("chip", .integer(htp.chip)), ("architecture", .integer(htp.architecture)),
        ])
        var chips: [String] = []
        if case .array(let found)? = reply["chips"] {
            chips = found.compactMap { if case .string(let text) = $0 { text } else { nil } }
        }
        return (Int(reply["bytes"]?.double ?? 0), chips, reply["seconds"]?.double ?? 0)
    }

    /// Compiles a LiteRT model with vela into `folder`.
    func vela(_ model: String, to folder: String, accelerator: String) throws(DyadError) -> EthosBinary {
        let reply = try ask([
            ("do", .string("vela")), ("model", .string(model)), ("folder", .string(folder)),
            ("accelerator", .string(accelerator)),
        ])
        let stem = model.split(separator: "/").last?.replacing(".tflite", with: "") ?? ""
        return EthosBinary(
            file: "\(stem)_vela.tflite", bytes: reply["bytes"]?.integer ?? 0,
            npuOperators: reply["npu_operators"]?.integer ?? 0,
            cpuOperators: reply["cpu_operators"]?.integer ?? 0,
            seconds: reply["seconds"]?.double ?? 0)
    }
}
