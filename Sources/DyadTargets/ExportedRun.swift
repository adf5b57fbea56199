import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph
import Foundation

/// An exported folder's own files in a vendor's library, prefill chunks and single steps one behind the other, as on a device, beside
/// the integer graph on the same tokens.
public struct ExportedRun: Sendable {
    /// The files that ran: for a Qualcomm chip the compiled ones, where the folder has them.
    public var files: [String]
    /// Tokens run in prefill chunks, and then in single steps.
    public var prefilled: Int
    /// See ``prefilled``.
    public var steps: Int
    /// Positions with logits: the last of every chunk, and every single step.
    public var positions: Int
    /// Those whose best token is the integer graph's.
    public var equalBestTokens: Int
    /// Signal to difference of all logits, in decibels of power.
    public var signalToNoise: Double

    /// A session of a folder that was exported for what a library is.
    ///
    /// - Throws: ``DyadError``: `mismatch` for a folder of another target.
    @discardableResult
    static func session(_ folder: String, for library: TargetLibrary) throws(DyadError) -> ExportedSession {
        let session = try ExportedSession(folder)
        guard session.target == library.target else {
            throw DyadError(
                .mismatch, file: folder, subject: "target", found: session.target.rawValue,
                expected: library.target.rawValue, remedy: "Compare with what the folder was exported for.")
        }
        return session
    }

    /// Runs a chunk and half of another, then `steps` single tokens of the text.
    ///
    /// - Throws: ``DyadError``: `mismatch` for a folder of another target, or one without room; `missing` for a Python package; `failed`
    ///   with the library's own words.
    static func run(
        _ folder: String, of program: IntegerProgram, in library: TargetLibrary, tokens: [Int32], steps: Int,
        progress: (String) -> Void
    ) throws -> ExportedRun {
        // A process for each file: the libraries are not at ease with two graphs.
        var workers: [String: TargetWorker] = [:]
        var files: Set<String> = []
        func execute(
            _ file: String, _ inputs: [(name: String, bytes: [UInt8])], _ outputs: [String]
        ) throws -> [String: [UInt8]] {
            let compiled = file.replacing(".onnx", with: ".\(library.target.rawValue).onnx")
            let used =
                library.target.isHTP && FileManager.default.fileExists(atPath: "\(folder)/\(compiled)")
                ? compiled : file
            if workers[used] == nil {
                // Chunks are over when single steps begin; Qualcomm's emulator is busy even when it has nothing to do.
                if file.hasPrefix("decode") { workers = workers.filter { !$0.key.hasPrefix("prefill") } }
                files.insert(used)
                progress("\(library.rawValue): loading \(folder)/\(used)")
                let worker = try TargetWorker(library.worker)
                try worker.load("\(folder)/\(used)")
                workers[used] = worker
            }
            return try workers[used]?.run(inputs, outputs: outputs).outputs ?? [:]
        }
        let session = try session(folder, for: library)
        let room = min(session.context, tokens.count)
        let prefilled = session.chunk.map { min($0 + $0 / 2, room - steps) } ?? 0
        guard prefilled >= 0, steps >= 1, prefilled + steps <= room else {
            throw DyadError(
                .mismatch, file: folder, subject: "context", found: "\(room) tokens", expected: "more than \(steps)",
                remedy: "Give a longer text, fewer --steps, or export with a larger --context.")
        }
        let text = Array(tokens.prefix(prefilled + steps))
        var made = try session.advance(Array(text.prefix(prefilled)), execute: execute)
        for (index, token) in text.dropFirst(prefilled).enumerated() {
            progress("\(library.rawValue): single step \(index + 1)/\(steps)")
            made += try session.advance([token], execute: execute)
        }
        return try compared(program, text, made, files: files.sorted(), steps: steps)
    }

    private static func compared(
        _ program: IntegerProgram, _ text: [Int32], _ made: [(count: Int, logits: [Float])], files: [String], steps: Int
    ) throws -> ExportedRun {
        let wanted = Dictionary(uniqueKeysWithValues: made.map { ($0.count - 1, $0.logits) })
        var run = ExportedRun(
            files: files, prefilled: text.count - steps, steps: steps, positions: made.count, equalBestTokens: 0,
            signalToNoise: 0)
        let width = program.graph.vocabularySize
        var (signal, noise) = (0.0, 0.0)
        try IntegerModel(program, name: "integer").evaluate(window: text) { range, logits in
            for position in range {
                guard let found = wanted[position] else { continue }
                let own = Array(
                    logits[((position - range.lowerBound) * width)..<((position + 1 - range.lowerBound) * width)])
                if own.indexOfLargest == found.indexOfLargest { run.equalBestTokens += 1 }
                for (a, b) in zip(own, found) {
                    signal += Double(a * a)
                    noise += Double((a - b) * (a - b))
                }
            }
        }
        run.signalToNoise = noise == 0 ? .infinity : 10 * log10(signal / noise)
        return run
    }

    /// For `--json`.
    var json: JSONValue {
        .object(
            JSONObject([
                ("files", .array(files.map(JSONValue.string))), ("prefilled_tokens", .integer(prefilled)),
                ("single_steps", .integer(steps)), ("positions", .integer(positions)),
                ("argmax_agreement", .measured(Double(equalBestTokens) / Double(max(positions, 1)))),
                ("sqnr_db", .measured(signalToNoise)),
            ]))
    }
}
