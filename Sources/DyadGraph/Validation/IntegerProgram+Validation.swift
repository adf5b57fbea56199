import DyadFormats

extension IntegerProgram {
    /// Checks the graph and that every constant has as many bytes as its description says. No byte is read.
    ///
    /// - Throws: ``DyadError`` naming what is wrong.
    public func validateStructure() throws(DyadError) {
        try graph.validate()
        for constant in graph.constants {
            guard let data = constants[constant.name] else {
                throw DyadError(
                    .malformed, subject: constant.name, found: "no data for this constant",
                    expected: "\(constant.byteCount ?? 0) bytes",
                    remedy: "The file is damaged or incomplete: write or download it again.")
            }
            guard data.count == constant.byteCount else {
                throw DyadError(
                    .malformed, subject: constant.name, found: "\(data.count) bytes",
                    expected: "\(constant.byteCount ?? 0) for the shape \(constant.shape)",
                    remedy: "The file is damaged or incomplete: write or download it again.")
            }
        }
    }

    /// Checks everything: ``validateStructure()``, the values of constants that the arithmetic relies on (4-bit weights
    /// other than −8, rotary tables in [−1, 1], finite scales), and that all multipliers can be derived.
    ///
    /// - Throws: ``DyadError`` naming the operation or constant.
    /// - Cost: one pass over all weights.
    public func validate() throws(DyadError) {
        try validateStructure()
        for operation in graph.operations {
            try operation.kind.definition.checkParameters(self, name: operation.name)
        }
    }
}
