import DyadFormats

extension TargetDescriptor {
    /// Core ML on iOS 18 and macOS 15. No library executes it here.
    static let coreML = TargetDescriptor(
        formats: [.coreml], exporter: { CoreMLExporter($0) },
        checker: { (folder, manifest, program) throws(DyadError) in
            try CoreMLExporter.check(folder, manifest, against: program)
        })
}
