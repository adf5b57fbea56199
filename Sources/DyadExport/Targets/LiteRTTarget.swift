import DyadFormats

extension TargetDescriptor {
    /// LiteRT on any machine.
    static let liteRT = TargetDescriptor(
        formats: [.litert], isSigned: true, largestPart: largestFile, exporter: { LiteRTExporter($0) },
        checker: liteRTChecker,
        observed: (
            "graph.tflite",
            { (part, program, shape, target, observing, path) throws(DyadError) in
                try LiteRTExporter.writeObserved(
                    part, of: program, shape: shape, target: target, observing: observing, to: path)
            }
        ))

    /// For every target that takes LiteRT's form.
    static let liteRTChecker: Checker = { (folder, manifest, program) throws(DyadError) in
        try LiteRTExporter.check(folder, manifest, against: program)
    }
}
