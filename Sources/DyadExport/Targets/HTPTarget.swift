extension TargetDescriptor {
    /// A chip with Qualcomm's HTP. Another one is an entry here and a case of ``ExportTarget``.
    private static func htp(chip: Int, architecture: Int) -> TargetDescriptor {
        TargetDescriptor(
            formats: [.onnx, .qnn], htp: (chip, architecture), hasExponentials: true, largestPart: largestFile,
            exporter: { ONNXExporter($0) }, checker: onnxChecker, observed: onnxGraph)
    }

    static let sm8650 = htp(chip: 57, architecture: 75)
    static let sm8750 = htp(chip: 69, architecture: 79)
}
