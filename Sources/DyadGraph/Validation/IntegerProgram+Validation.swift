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
        for operation in graph.operations { try validateParameters(of: operation) }
    }

    /// Derives what ``ReferenceInterpreter`` and the runtime will derive, and drops it.
    private func validateParameters(of operation: Operation) throws(DyadError) {
        let name = operation.name
        switch operation.kind {
        case .embed(let o): _ = try embedMultipliers(o, name: name)
        case .rmsNorm(let o), .layerNorm(let o): _ = try normalizationParameters(o, name: name)
        case .linear(let o), .logits(let o): _ = try linearParameters(o, name: name)
        case .rotary(let o):
            _ = try graph.rotaryMultiplier(o, name: name)
            _ = try rotaryTables(o, name: name)
        case .matmul(let o): _ = try graph.matmulMultiplier(o, name: name)
        case .softmax(let o): _ = try graph.exponentMultiplier(ofScores: o.input, name: name)
        case .exponential(let o): _ = try graph.exponentMultiplier(ofScores: o.input, name: name)
        case .lateAttention(let o): _ = try graph.lateAttentionMultiplier(o, name: name)
        case .multiply(let o): _ = try graph.multiplyMultiplier(o, name: name)
        case .add(let o): _ = try graph.addMultipliers(o, name: name)
        case .requantize(let o): _ = try graph.requantizeMultiplier(o, name: name)
        case .cacheAppend, .mask, .lookup, .hadamard, .concatenate, .slice: break
        }
    }
}

extension IntegerProgram {
    /// The tables of a rotary operation, `[maximumContext, rotated/2]` in Q1.14.
    ///
    /// - Throws: ``DyadError`` where a value is outside [−2¹⁴, 2¹⁴], on which the operation's bound relies.
    public func rotaryTables(
        _ rotary: Operation.Rotary, name: String
    ) throws(DyadError) -> (cosine: [Int16], sine: [Int16]) {
        let cosine = try elements(of: rotary.cosine, as: Int16.self)
        let sine = try elements(of: rotary.sine, as: Int16.self)
        for (table, constant) in [(cosine, rotary.cosine), (sine, rotary.sine)] {
            if let wrong = table.first(where: { $0 < -16384 || $0 > 16384 }) {
                throw DyadError(
                    .malformed, subject: "\(name): \(constant)", found: "the value \(wrong)",
                    expected: "−16384 … 16384, a sine or cosine in Q1.14",
                    remedy: "The file is damaged or was made by another tool: quantise the model again.")
            }
        }
        return (cosine, sine)
    }

    /// The entries of a lookup's table in the order of the stored input.
    ///
    /// - Throws: ``DyadError`` where the constant is missing or has the wrong size.
    public func table(_ lookup: Operation.Lookup) throws(DyadError) -> [Int32] {
        graph.tensors[lookup.output].type == .u8
            ? try elements(of: lookup.table, as: UInt8.self).map(Int32.init)
            : try elements(of: lookup.table, as: UInt16.self).map(Int32.init)
    }
}
