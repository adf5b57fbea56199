import DyadFormats
import DyadGraph

/// All that exporting knows of one target. Each is an entry of a file of this folder; ``ExportTarget`` forwards to it.
struct TargetDescriptor: Sendable {
    /// Formats in which a program is exported for it.
    let formats: [ExportFormat]
    /// QNN's number of the chip and the version of its HTP, whose rules then apply; nil for everyone else.
    var htp: (chip: Int, architecture: Int)?
    /// Whether its operations on integers include exponentials, logarithms and comparisons.
    var hasExponentials = false
    /// Whether it takes LiteRT's signed form.
    var isSigned = false
    /// The most bytes of weights in one file; nil where the weights stand in a file of their own.
    var largestPart: Int?
    /// Writes a folder for it.
    let exporter: @Sendable (ExportPlan) -> any Exporter
    /// Compares such a folder with what a program exports to; the number of tensors with an encoding that were compared.
    let checker: Checker
    /// The file of one graph written for a comparison, and its writer; nil where no library executes it here.
    var observed: (file: String, write: ObservedWriter)?

    /// See ``ExportManifest/check(_:against:)``.
    typealias Checker =
        @Sendable (_ folder: String, _ manifest: ExportManifest, _ program: IntegerProgram) throws(DyadError) -> Int

    /// Writes one graph into a folder: every tensor of the integer graph in it becomes an output where it is observed.
    typealias ObservedWriter =
        @Sendable (
            _ part: ProgramPart, _ program: IntegerProgram, _ shape: StaticShape, _ target: ExportTarget,
            _ observing: Bool, _ path: String
        ) throws(DyadError) -> StaticGraph

    /// Offsets of a FlatBuffer, and the protobuf message around a context binary, end at 2 GiB. A tenth is left for the graph
    /// and what compilers add.
    static let largestFile = (1 << 31) - (1 << 31) / 10
}
