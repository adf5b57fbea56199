import DyadFormats
import DyadGraph

/// The form of one tool chain.
public protocol Exporter {
    /// Writes a program into the folder `path`, which is made if need be, or, in a format of one file, as the file `path`.
    ///
    /// Every file is written beside its name and renamed; `manifest.json`, which names the others, comes last.
    ///
    /// - Throws: ``DyadError``: `unsupported` naming the operation, the tensor and the rule that the target cannot meet; `cannotWrite`.
    func export(_ program: IntegerProgram, from source: ExportSource, to path: String) throws(DyadError) -> ExportReport
}

/// Which file is exported; goes into the metadata.
public struct ExportSource: Equatable, Sendable {
    /// The `.dyad` file's name, without folders.
    public var name: String
    /// The SHA-256 of its bytes.
    public var sha256: String

    /// Reads a file's digest. Linear in its size.
    public init(path: String) throws(DyadError) {
        name = path.split(separator: "/").last.map(String.init) ?? path
        sha256 = try RandomAccessFile(path).hexDigest()
    }

    /// From its parts.
    public init(name: String, sha256: String) {
        self.name = name
        self.sha256 = sha256
    }
}

/// What of a program is exported, and for what: the settings that all formats share.
public struct ExportPlan: Equatable, Sendable {
    /// What the graphs must run on.
    public var target: ExportTarget
    /// Tokens that a step can see.
    public var context: Int
    /// Tokens of a prefill chunk; nil for none.
    public var chunk: Int?
    /// Layers of one file; nil for as many as one file of the target can hold.
    public var layers: Int?

    /// Creates a plan.
    public init(target: ExportTarget, context: Int, chunk: Int?, layers: Int? = nil) {
        (self.target, self.context, self.chunk, self.layers) = (target, context, chunk, layers)
    }
}

/// What an export wrote, and proof that nothing in it lacks an encoding.
public struct ExportReport: Sendable {
    /// One static graph.
    public struct Graph: Sendable {
        /// The file that holds it.
        public var file: String
        /// Its shapes.
        public var shape: StaticShape
        /// Which part of the program it is.
        public var part: ProgramPart
        /// Its operations.
        public var nodes: Int
        /// Values and constants with an encoding, biases included: all but float gains, indices and conditions.
        public var encodings: Int
        /// Multiply-accumulates of a step's matrix products, and those of them that read 16-bit values.
        public var products: (all: Int, wide: Int)
        /// What the target's rules changed, one sentence each.
        public var rewrites: [String]
    }

    /// The graphs.
    public var graphs: [Graph]
    /// The files with their sizes, in the order in which they were written.
    public var files: [(name: String, bytes: Int)]

    /// For `--json`.
    public func json() -> JSONValue {
        .object(
            JSONObject([
                (
                    "graphs",
                    .array(
                        graphs.map { graph in
                            .object(
                                JSONObject([
                                    ("file", .string(graph.file)), ("tokens", .integer(graph.shape.tokens)),
                                    ("context", .integer(graph.shape.context)), ("nodes", .integer(graph.nodes)),
                                    ("encodings", .integer(graph.encodings)),
                                    ("multiply_accumulates", .integer(graph.products.all)),
                                    ("with_16_bit_inputs", .integer(graph.products.wide)),
                                    ("rewrites", .array(graph.rewrites.map(JSONValue.string))),
                                ]))
                        })
                ),
                (
                    "files",
                    .array(
                        files.map { .object(JSONObject([("name", .string($0.name)), ("bytes", .integer($0.bytes))])) })
                ),
            ]))
    }
}
