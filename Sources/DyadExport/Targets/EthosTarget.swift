extension TargetDescriptor {
    /// Arm's Ethos-U85 with 256 multipliers: LiteRT's form, compiled by vela. No library executes it here.
    static let ethosU85 = TargetDescriptor(
        formats: [.litert], isSigned: true, largestPart: largestFile, exporter: { LiteRTExporter($0) },
        checker: liteRTChecker)
}
