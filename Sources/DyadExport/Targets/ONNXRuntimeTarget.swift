import DyadFormats

extension TargetDescriptor {
    /// ONNX Runtime on any machine.
    static let onnxRuntime = TargetDescriptor(
        formats: [.onnx], hasExponentials: true, exporter: { ONNXExporter($0) }, checker: onnxChecker,
        observed: onnxGraph)

    /// For every target that takes ONNX.
    static let onnxChecker: Checker = { (folder, manifest, program) throws(DyadError) in
        try ONNXExporter.check(folder, manifest, against: program)
    }

    /// For ONNX Runtime and its provider for Qualcomm's chips.
    static let onnxGraph: (file: String, write: ObservedWriter) = (
        "graph.onnx",
        { (part, program, shape, target, observing, path) throws(DyadError) in
            try ONNXExporter.writeObserved(
                part, of: program, shape: shape, target: target, observing: observing, to: path)
        }
    )
}
