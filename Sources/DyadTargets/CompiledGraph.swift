import DyadExport
import DyadFormats

/// A graph that a vendor's compiler made of an exported one, beside it in the folder.
public protocol CompiledGraph: Sendable {
    /// The file, beside the graph.
    var file: String { get }
    /// Its size.
    var bytes: Int { get }
    /// How long it took.
    var seconds: Double { get }
    /// What the compiler says of it, for `--json`.
    var facts: [(String, JSONValue)] { get }
    /// The same for people.
    var summary: String { get }
}

extension CompiledGraph {
    /// For `--json`.
    public func json() -> JSONValue {
        let values =
            [("file", .string(file)), ("bytes", .integer(bytes))] + facts + [("seconds", JSONValue.measured(seconds))]
        return .object(JSONObject(values))
    }
}

/// What compiles an exported folder further.
public struct TargetCompiler: Sendable {
    /// The name of its list in `--json`.
    public let key: String
    /// Compiles every graph of the folder.
    ///
    /// - Throws: ``DyadError``: `missing` for the vendor's Python package, `failed` with its words.
    public let compile:
        @Sendable (
            _ report: ExportReport, _ folder: String, _ target: ExportTarget, _ progress: (String) -> Void
        ) throws(DyadError) -> [any CompiledGraph]

    /// Every compiler.
    public static let all: [TargetCompiler] = [.qnn, .vela]

    /// Of a format for a target, if there is one.
    public static func of(_ format: ExportFormat, for target: ExportTarget) -> TargetCompiler? {
        if format == .qnn { return .qnn }
        return target == .ethosU85 ? .vela : nil
    }
}
