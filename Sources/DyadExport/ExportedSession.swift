import DyadFormats
import DyadGraph
import Foundation

/// Runs an exported folder as the host on a device does, by its manifest alone: prefill chunks, then single steps; the rows that a
/// step makes go into the caches that the next one is given.
public final class ExportedSession {
    /// Executes a file of the folder on raw bytes, and returns the bytes of the outputs named.
    public typealias Execute = (
        _ file: String, _ inputs: [(name: String, bytes: [UInt8])], _ outputs: [String]
    ) throws -> [String: [UInt8]]

    /// What the folder was exported for.
    public var target: ExportTarget { manifest.target }
    /// Tokens of a prefill chunk; nil for a folder of single steps.
    public let chunk: Int?
    /// Tokens that can be run in all.
    public let context: Int
    /// Tokens run so far.
    public private(set) var count = 0

    private let manifest: ExportManifest
    private let folder: String
    /// What the inputs and outputs of one graph may take, in bytes: 128 MiB, and 16 for every byte of the folder, as a run of a program may.
    private let memoryLimit: Int
    /// Of every cache the row of each token, `[heads · size]`.
    private var rows: [String: [[UInt8]]] = [:]

    /// Reads the manifest.
    ///
    /// - Throws: ``DyadError``: `missing` or `malformed`; `unsupported` for Core ML, whose caches are states.
    public init(_ folder: String) throws(DyadError) {
        manifest = try ExportManifest(of: folder)
        self.folder = folder
        memoryLimit = 128 << 20 + 16 * Self.byteCount(of: folder)
        chunk = manifest.graphs.map(\.shape.tokens).first { $0 > 1 }
        context = manifest.graphs.map(\.shape.context).min() ?? 0
        let shapes = manifest.graphs.map(\.shape)
        guard !shapes.isEmpty,
            shapes.allSatisfy({ $0.tokens == 1 || $0.tokens == chunk }),
            shapes.allSatisfy({ $0.tokens >= 1 && $0.tokens <= context && $0.context == context && context < 1 << 20 })
        else {
            throw DyadError(
                .malformed, file: folder, subject: "manifest.json", found: "graphs of other tokens or contexts",
                expected: "one length of chunk, single steps, and one context", remedy: "Export the program again.")
        }
        guard manifest.target != .coreml else {
            throw DyadError(
                .unsupported, file: folder, subject: "target", found: "coreml", expected: "onnx or litert",
                remedy: "Run the packages on an Apple device.")
        }
    }

    /// Runs tokens behind those before, in chunks where there are graphs for them; the last chunk is filled up with tokens that nothing sees.
    ///
    /// - Returns: the logits of the last token of every chunk and of every single step, `[vocabularySize]` each, with the number of tokens
    ///   run until then.
    /// - Throws: ``DyadError``: `mismatch` for more tokens than the context has, or outputs of another size than the manifest says;
    ///   `malformed` for inputs and outputs beyond 128 MiB and 16 bytes for every byte of the folder; what the executor throws.
    public func advance(_ tokens: [Int32], execute: Execute) throws -> [(count: Int, logits: [Float])] {
        guard count + tokens.count <= context else {
            throw mismatch("tokens", "\(count + tokens.count)", "at most \(context)")
        }
        var results: [(count: Int, logits: [Float])] = []
        var rest = tokens[...]
        while !rest.isEmpty {
            let isChunk = rest.count > 1 && chunk.map { count + $0 <= context } ?? false
            let part = rest.prefix(isChunk ? chunk ?? 1 : 1)
            let logits = try run(Array(part), isStep: !isChunk, execute)
            rest = rest.dropFirst(part.count)
            results.append((count, logits))
        }
        return results
    }

    private func run(_ tokens: [Int32], isStep: Bool, _ execute: Execute) throws -> [Float] {
        var logits: [Float] = []
        /// What one part of the layers gives the next.
        var crossing: [String: [UInt8]] = [:]
        var made: [String: [[UInt8]]] = [:]
        for (index, graph) in manifest.graphs.enumerated() where (graph.shape.tokens == 1) == isStep {
            let (inputs, outputs) = try manifest.interface(at: index)
            try checkMemory(inputs + outputs, graph)
            let given = try inputs.map { port in
                (name: port.name, bytes: try bytes(of: port, graph.shape, tokens, crossing))
            }
            let results = try execute(graph.file, given, outputs.map(\.name))
            for port in outputs {
                let found = results[port.name] ?? []
                guard found.count == port.byteCount else {
                    throw mismatch(port.name, "\(found.count) bytes of it", "\(port.byteCount)")
                }
                if case .newRows(let cache) = HostPort(name: port.name), port.shape.count == 4 {
                    made[cache] = Self.rows(of: found, port.shape, tokens.count)
                } else if graph.part.hasHead {
                    logits = port.reals(found)
                } else {
                    crossing[port.name] = found
                }
            }
        }
        for (cache, new) in made { rows[cache, default: []] += new }
        count += tokens.count
        return logits
    }

    /// Refuses what a manifest merely claims, before it is taken.
    private func checkMemory(_ ports: [ExportManifest.Port], _ graph: ExportPiece) throws(DyadError) {
        let visible = graph.shape.tokens * (manifest.prefixCount + graph.shape.context)
        let bytes = ports.reduce(visible) { $0 + $1.byteCount }
        guard bytes <= memoryLimit else {
            throw DyadError(
                .malformed, file: "\(folder)/manifest.json", subject: graph.file,
                found:
                    "inputs and outputs of \(bytes) bytes for \(graph.shape.tokens) tokens and a context of \(context)",
                expected: "at most \(memoryLimit) for the files of this folder",
                remedy: "Export the program again, or with a shorter context.")
        }
    }

    /// The bytes of the files of a folder.
    private static func byteCount(of folder: String) -> Int {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.reduce(0) { sum, name in
            let file = ("\(folder)/\(name)" as NSString).resolvingSymlinksInPath
            return sum + ((try? FileManager.default.attributesOfItem(atPath: file)[.size] as? Int) ?? 0)
        }
    }

    private func bytes(
        of port: ExportManifest.Port, _ shape: StaticShape, _ tokens: [Int32], _ crossing: [String: [UInt8]]
    ) throws(DyadError) -> [UInt8] {
        func raw(_ numbers: [Int32]) -> [UInt8] { numbers.withUnsafeBytes { Array($0) } }
        switch HostPort(name: port.name) {
        case .tokenIDs: return raw(tokens + [Int32](repeating: 0, count: shape.tokens - tokens.count))
        case .positionIDs: return raw((0..<shape.tokens).map { Int32(manifest.prefixCount + count + $0) })
        case .logitRow: return raw([Int32(tokens.count - 1)])
        case .visible: return StepInputs.visible(shape, prefix: manifest.prefixCount, start: count)
        case .pastRows(let cache) where port.shape.count == 4:
            let (heads, past, size) = (port.shape[1], port.shape[2], port.shape[3])
            var result = [UInt8](repeating: 0, count: heads * past * size)
            for (row, values) in (rows[cache] ?? []).enumerated() where row < past && values.count == heads * size {
                for head in 0..<heads {
                    let place = (head * past + row) * size
                    result.replaceSubrange(place..<place + size, with: values[head * size..<(head + 1) * size])
                }
            }
            return result
        case .pastRows, .newRows, .tensor:
            guard let given = crossing[port.name], given.count == port.byteCount else {
                throw mismatch(port.name, "no part that makes it", "an output of the part before")
            }
            return given
        }
    }

    /// `[1, heads, tokens, size]` as the rows of the first `count` tokens.
    private static func rows(of bytes: [UInt8], _ shape: [Int], _ count: Int) -> [[UInt8]] {
        let (heads, tokens, size) = (shape[1], shape[2], shape[3])
        return (0..<min(count, tokens)).map { row in
            var result: [UInt8] = []
            for head in 0..<heads {
                let place = (head * tokens + row) * size
                result += bytes[place..<place + size]
            }
            return result
        }
    }

    private func mismatch(_ subject: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .mismatch, subject: subject, found: found, expected: expected,
            remedy: "Export the program again, or give fewer tokens.")
    }
}
