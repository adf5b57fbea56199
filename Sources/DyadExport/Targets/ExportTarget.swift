import DyadFormats
import DyadGraph

/// What a program is exported for.
public enum ExportTarget: String, CaseIterable, Sendable {
    /// ONNX Runtime on any machine.
    case onnxruntime
    /// Snapdragon 8 Gen 3.
    case sm8650
    /// Snapdragon 8 Elite.
    case sm8750
    /// LiteRT on any machine.
    case litert
    /// Arm's Ethos-U85 with 256 multipliers.
    case ethosU85 = "ethos-u85-256"
    /// Core ML on iOS 18 and macOS 15.
    case coreml
}

extension ExportTarget {
    /// What is known of it: the module's one switch over all targets.
    var descriptor: TargetDescriptor {
        switch self {
        case .onnxruntime: .onnxRuntime
        case .sm8650: .sm8650
        case .sm8750: .sm8750
        case .litert: .liteRT
        case .ethosU85: .ethosU85
        case .coreml: .coreML
        }
    }

    /// Whether it is a Qualcomm HTP.
    public var isHTP: Bool { htp != nil }
    /// QNN's number of the chip and the version of its HTP.
    public var htp: (chip: Int, architecture: Int)? { descriptor.htp }

    /// Writes one graph for a comparison into `folder`: every tensor of the integer graph in it becomes an output if it is observed.
    ///
    /// - Returns: the file, and the graph as written.
    /// - Throws: as ``Exporter/export(_:from:to:)``; `unsupported` where nothing executes the target's form here.
    public func writeObserved(
        _ part: ProgramPart, of program: IntegerProgram, shape: StaticShape, observing: Bool, to folder: String
    ) throws(DyadError) -> (file: String, graph: StaticGraph) {
        guard let (file, write) = descriptor.observed else {
            throw DyadError(
                .unsupported, subject: rawValue, found: "a target that no library executes here",
                expected: "another", remedy: "Compare with the library of another target.")
        }
        return ("\(folder)/\(file)", try write(part, program, shape, self, observing, folder))
    }
}

/// The forms that tool chains read.
public enum ExportFormat: String, CaseIterable, Sendable {
    /// ONNX with quantise and dequantise operators.
    case onnx
    /// The same, compiled for one Qualcomm chip.
    case qnn
    /// LiteRT's FlatBuffer.
    case litert
    /// Core ML packages.
    case coreml
    /// One file for llama.cpp: the weights only.
    case gguf

    /// What it can be written for; the first is the default.
    public var targets: [ExportTarget] { ExportTarget.allCases.filter { $0.descriptor.formats.contains(self) } }
}

extension ExportPlan {
    /// What writes a folder for the plan's target.
    public var exporter: any Exporter { target.descriptor.exporter(self) }
}
