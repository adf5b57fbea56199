import DyadEvaluation
import DyadExport
import DyadFormats
import DyadGraph
import DyadRuntime
import Foundation

/// A vendor's library that can execute an exported program here.
public enum TargetLibrary: String, CaseIterable, Sendable {
    /// ONNX Runtime's CPU provider.
    case onnxruntime
    /// Qualcomm's HTP emulator as Snapdragon 8 Gen 3.
    case sm8650 = "qnn-sm8650"
    /// Qualcomm's HTP emulator as Snapdragon 8 Elite.
    case sm8750 = "qnn-sm8750"
    /// LiteRT's interpreter, its own integer kernels.
    case litert

    var target: ExportTarget {
        switch self {
        case .onnxruntime: .onnxruntime
        case .sm8650: .sm8650
        case .sm8750: .sm8750
        case .litert: .litert
        }
    }

    var worker: TargetWorker.Library {
        TargetWorker.Library(name: target.isHTP ? "qnn" : rawValue, htp: target.htp)
    }

    /// Writes one graph for a comparison into `folder`.
    ///
    /// - Returns: the file, and the graph as written: its outputs hold the integer graph's tensors too, if they are observed.
    func write(
        _ part: ProgramPart, of program: IntegerProgram, shape: StaticShape, observing: Bool, to folder: String
    ) throws(DyadError) -> (file: String, graph: StaticGraph) {
        try target.writeObserved(part, of: program, shape: shape, observing: observing, to: folder)
    }
}
