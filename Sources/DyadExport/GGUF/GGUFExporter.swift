import DyadCheckpoint
import DyadFormats
import DyadGraph

/// The weights of a program for llama.cpp: our integers in GGUF's own grids.
///
/// An 8-bit row is written as Q8_0 and a 4-bit row as Q4_0, whose blocks of 32 all get the row's scale: the integers stay what they are,
/// and the scale is rounded to float16. Rows that are no multiple of 32 long, gains and biases are float32. Activations are llama.cpp's own business; a rotation at run time has no
/// place there, so only programs with folded rotations can be written.
public struct GGUFExporter: Exporter {
    /// A GGUF file of the same model, whose settings and tokenizer are taken.
    public var template: String

    /// Creates an exporter.
    public init(template: String) { self.template = template }

    /// Writes one file, `path` itself.
    ///
    /// A constant prefix of one token becomes the file's token of the beginning of a text, which llama.cpp puts in front of every prompt.
    ///
    /// - Throws: ``DyadError``: `unsupported` naming the operation that llama.cpp does not have; `mismatch` for a template of another model;
    ///   `cannotWrite`.
    public func export(_ program: IntegerProgram, from source: ExportSource, to path: String) throws(DyadError)
        -> ExportReport
    {
        guard let family = program.configuration.object?["family"]?.string, let layout = GGUFLayout(family: family)
        else {
            throw unsupported(
                "family", program.configuration.object?["family"]?.string ?? "none", "llama, qwen2 or qwen3")
        }
        guard let headDimension = program.configuration.object?["head_dimension"]?.integer else {
            throw unsupported("configuration", "no head_dimension", "one")
        }
        // What llama.cpp computes for these architectures, whatever the file says.
        let activation = program.configuration.object?["activation"]?.string
        guard activation == ActivationFunction.silu.rawValue else {
            throw unsupported("activation", activation ?? "none", "silu, the only one llama.cpp has for \(family)")
        }
        guard program.configuration.object?["gated"]?.bool == true else {
            throw unsupported("gated", "an MLP without a gate", "one with a gate")
        }
        guard program.graph.prefixTokens.count <= 1 else {
            throw unsupported(
                "prefix", "\(program.graph.prefixTokens.count) tokens", "one at most, which llama.cpp puts in front")
        }
        var tensors: [GGUFWriter.Tensor] = []
        let writer = GGUFTensors(program: program, layout: layout, headDimension: headDimension)
        for operation in program.graph.operations { tensors += try writer.tensors(of: operation) }
        let file = try GGUFFile(path: template)
        let metadata = try metadata(program, layout, tensors, source, file)
        if file.contains("rope_freqs.weight") {
            let factors = try file.tensor("rope_freqs.weight")
            tensors.append(GGUFWriter.Tensor("rope_freqs.weight", .f32, factors.shape, try factors.floats()))
        }
        try GGUFWriter.write(path, metadata: metadata, tensors: tensors)
        let bytes = try RandomAccessFile(path).count
        return ExportReport(graphs: [], files: [(path.split(separator: "/").last.map(String.init) ?? path, bytes)])
    }

    private func unsupported(_ subject: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .unsupported, subject: subject, found: found, expected: expected,
            remedy: "Export as onnx or litert, or quantise with another recipe.")
    }

    private func metadata(
        _ program: IntegerProgram, _ layout: GGUFLayout, _ tensors: [GGUFWriter.Tensor], _ source: ExportSource,
        _ file: GGUFFile
    ) throws(DyadError) -> [(key: String, value: GGUFValue)] {
        let configuration = program.configuration.object ?? JSONObject()
        func mismatch(_ key: String, _ found: String?, _ expected: String?) -> DyadError {
            DyadError(
                .mismatch, file: template, subject: key, found: found ?? "none", expected: expected ?? "the program's",
                remedy: "Name a GGUF file of the model that was quantised.")
        }
        func require(_ key: String, _ field: String) throws(DyadError) {
            let found = try file.integer("\(layout.architecture).\(key)"), expected = configuration[field]?.integer
            guard let found, let expected, found == expected else {
                throw mismatch("\(layout.architecture).\(key)", found.map(String.init), expected.map(String.init))
            }
        }
        func require(_ key: String, near expected: Double, standing: Double? = nil) throws(DyadError) {
            let found = try file.double("\(layout.architecture).\(key)") ?? standing
            guard let found, abs(found - expected) <= 1e-5 * abs(expected) else {
                throw mismatch("\(layout.architecture).\(key)", found.map { "\($0)" }, "\(expected)")
            }
        }
        try require("block_count", "layer_count")
        try require("embedding_length", "hidden_size")
        try require("feed_forward_length", "intermediate_size")
        try require("attention.head_count", "head_count")
        try require("attention.head_count_kv", "key_value_head_count")
        // What a model of the same sizes may have otherwise, and llama.cpp would compute with.
        if let theta = configuration["rope_theta"]?.double {
            try require("rope.freq_base", near: theta, standing: 10000)
        }
        for operation in program.graph.operations {
            guard case .rmsNorm(let norm) = operation.kind else { continue }
            try require("attention.layer_norm_rms_epsilon", near: Double(norm.epsilon))
        }
        try checkRotation(program, layout, file)
        let tokenizer = GGUFTokenizerMetadata(program: program, file: file)
        try tokenizer.checkTokens()
        let replaced: [(key: String, value: GGUFValue)] =
            [
                ("general.quantization_version", .uint32(2)),
                ("dyad.source", .string(source.name)), ("dyad.source_sha256", .string(source.sha256)),
                // MOSTLY_Q8_0 or MOSTLY_Q4_0: what most tensors are.
                ("general.file_type", .uint32(tensors.contains { $0.type == .q40 } ? 2 : 7)),
            ] + tokenizer.values
        let keys = Set(replaced.map(\.key))
        return file.metadata.filter { !keys.contains($0.key) && !Self.isOfTheTemplateAlone($0.key) } + replaced
    }

    /// Keys that say how the template was written: in how many files, and how its own weights were rounded; and those that
    /// ``GGUFTokenizerMetadata`` writes if the program has them.
    private static func isOfTheTemplateAlone(_ key: String) -> Bool {
        key.hasPrefix("split.") || key.hasPrefix("quantize.") || GGUFTokenizerMetadata.isReplaced(key)
    }
}

/// The tensors of a program in GGUF's forms.
private struct GGUFTensors {
    let program: IntegerProgram
    let layout: GGUFLayout
    let headDimension: Int
    private static let block = 32

    func tensors(of operation: Operation) throws(DyadError) -> [GGUFWriter.Tensor] {
        switch operation.kind {
        case .embed(let o): return [try weight(operation, o.weight, o.scales)]
        case .linear(let o), .logits(let o):
            var tensors = [try weight(operation, o.weight, o.scales)]
            if let bias = o.bias { tensors.append(try self.bias(operation, o, bias)) }
            return tensors
        case .rmsNorm(let o):
            let gain = try o.gain.map { (name) throws(DyadError) in try program.floats(of: name) }
            let (_, name) = try names(operation, "weight")
            let values = gain ?? [Float](repeating: 1, count: o.size)
            return [GGUFWriter.Tensor(name, .f32, [values.count], values)]
        // What llama.cpp's own graph of the architecture does.
        case .rotary, .cacheAppend, .matmul, .mask, .softmax, .exponential, .lateAttention, .lookup, .multiply, .add,
            .requantize:
            return []
        case .layerNorm: throw unsupported(operation, "layer normalisation")
        case .hadamard: throw unsupported(operation, "a rotation at run time")
        case .concatenate, .slice: throw unsupported(operation, "joined projections")
        default: throw unsupported(operation, "an operation that the architecture does not have")
        }
    }

    private func unsupported(_ operation: Operation, _ found: String) -> DyadError {
        DyadError(
            .unsupported, subject: operation.name, found: found, expected: "what llama.cpp computes",
            remedy: "Quantise with a recipe that folds everything: folded-w8a8, dyad-folded-w4a8 and their like.")
    }

    /// The canonical name and GGUF's.
    private func names(_ operation: Operation, _ kind: String) throws(DyadError) -> (canonical: String, gguf: String) {
        let stem = operation.name.hasPrefix("layers.") ? "model.\(operation.name)" : operation.name
        let canonical = "\(stem).\(kind)"
        guard let name = layout.name(of: canonical) else {
            throw unsupported(operation, "an operation without a GGUF name")
        }
        return (canonical, name)
    }

    private func weight(_ operation: Operation, _ weight: String, _ scales: String) throws(DyadError)
        -> GGUFWriter.Tensor
    {
        let (canonical, name) = try names(operation, "weight")
        let program = program
        guard let shape = program.graph.constant(weight)?.shape, shape.count == 2 else {
            throw unsupported(operation, "no matrix")
        }
        let (rows, columns) = (shape[0], shape[1])
        let isNarrow = program.graph.constant(weight)?.type == .i4
        let order = layout.rowOrder(of: canonical, rows: rows, headDimension: headDimension)
        guard columns % Self.block == 0 else {
            let (integers, scales) = (try program.weights(of: weight), try program.floats(of: scales))
            let values = order.flatMap { row in
                integers[row * columns..<(row + 1) * columns].map { Float($0) * scales[row] }
            }
            return GGUFWriter.Tensor(name, .f32, shape, values)
        }
        return GGUFWriter.Tensor(name, isNarrow ? .q40 : .q80, shape) { (sink) throws(DyadError) in
            let (integers, scales) = (try program.weights(of: weight), try program.floats(of: scales))
            for row in order {
                let half = Float16(scales[row]).bitPattern
                let scale = [UInt8(truncatingIfNeeded: half), UInt8(truncatingIfNeeded: half >> 8)]
                var bytes: [UInt8] = []
                for start in stride(from: row * columns, to: (row + 1) * columns, by: Self.block) {
                    bytes += scale
                    if isNarrow {
                        // The first half of a block stands in the low nibbles, 8 larger.
                        bytes += (0..<Self.block / 2).map {
                            UInt8(integers[start + $0] + 8) | UInt8(integers[start + $0 + Self.block / 2] + 8) << 4
                        }
                    } else {
                        bytes += integers[start..<start + Self.block].map { UInt8(bitPattern: $0) }
                    }
                }
                try sink.write(bytes)
            }
        }
    }

    /// A bias counts in steps of the input's scale times the row's.
    private func bias(_ operation: Operation, _ o: Operation.Linear, _ bias: String) throws(DyadError)
        -> GGUFWriter.Tensor
    {
        let (canonical, name) = try names(operation, "bias")
        let scales = try program.floats(of: o.scales)
        let step = Double(program.graph.tensors[o.input].encoding.scale)
        let integers = try program.elements(of: bias, as: Int32.self)
        let values = layout.rowOrder(of: canonical, rows: integers.count, headDimension: headDimension).map {
            Float(Double(integers[$0]) * step * Double(scales[$0]))
        }
        return GGUFWriter.Tensor(name, .f32, [values.count], values)
    }
}
