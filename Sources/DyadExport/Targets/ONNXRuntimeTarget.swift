import DyadFormats

extension TargetDescriptor {
    /// ONNX Runtime on any machine.
    static let onnxRuntime = TargetDescriptor(
        formats: [.onnx], hasExponentials: true, exporter: { ONNXExporter($0) }, observed: onnxGraph)

    /// For ONNX Runtime and its provider for Qualcomm's chips.
    static let onnxGraph: (file: String, write: ObservedWriter) = (
        "graph.onnx",
        { (part, program, shape, target, observing, path) throws(DyadError) in
            try ONNXExporter.writeObserved(
                part, of: program, shape: shape, target: target, observing: observing, to: path)
        }
    )
}
