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

/// The tool chains, and what each takes.
public enum ExportTarget: String, CaseIterable, Sendable {
    /// ONNX Runtime on any machine.
    case onnxruntime
    /// Snapdragon 8 Gen 3.
    case sm8650
    /// Snapdragon 8 Elite.
    case sm8750
    /// LiteRT on any machine.
    case litert
    /// Arm's Ethos-U85 with 256 multipliers: LiteRT's form, compiled by vela.
    case ethosU85 = "ethos-u85-256"
    /// Core ML on iOS 18 and macOS 15.
    case coreml

    /// Whether it is a Qualcomm HTP, whose rules ``legalized(for:)`` then applies.
    public var isHTP: Bool { htp != nil }
    /// Whether its operations on integers include exponentials, logarithms and comparisons.
    var hasExponentials: Bool { self == .onnxruntime || isHTP }
    /// Whether it takes LiteRT's form.
    public var isLiteRT: Bool { self == .litert || self == .ethosU85 }
    /// The most bytes of weights in one file: offsets of a FlatBuffer, and the protobuf message around a context binary, end at 2 GiB.
    /// A tenth is left for the graph and what compilers add. nil where the weights stand in a file of their own.
    var largestPart: Int? {
        switch self {
        case .sm8650, .sm8750, .litert, .ethosU85: (1 << 31) - (1 << 31) / 10
        case .onnxruntime, .coreml: nil
        }
    }
    /// QNN's number of the chip and the version of its HTP.
    public var htp: (chip: Int, architecture: Int)? {
        switch self {
        case .onnxruntime, .litert, .ethosU85, .coreml: nil
        case .sm8650: (57, 75)
        case .sm8750: (69, 79)
        }
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
