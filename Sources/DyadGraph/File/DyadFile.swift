import DyadFormats

/// The `.dyad` file: a safetensors file whose tensors are the constants and whose `__metadata__` holds JSON documents.
///
/// | metadata | holds |
/// |---|---|
/// | `dyad.version` | ``IntegerProgram/fileVersion`` |
/// | `dyad.graph` | the graph: see `Graph+Encoding.swift` |
/// | `dyad.tokenizer`, `dyad.configuration`, `dyad.provenance` | the documents of the same name |
///
/// An i4 constant `[out, in]` is stored as U8 `[out, in/2]`, low nibble first; float32 scales as F32, all others as
/// the type of their name.
extension IntegerProgram {
    /// The version of the layout; a reader refuses any other.
    public static let fileVersion = 1

    /// Opens a file and checks its structure (``validateStructure()``); constants are read when they are used, and the file stays open.
    ///
    /// - Throws: ``DyadError`` naming the file and the field: `missing`, `malformed`, `unsupported`.
    /// - Cost: linear in the header. ``validate()`` also checks the constants' values.
    public static func load(_ path: String) throws(DyadError) -> IntegerProgram {
        let file = try SafetensorsFile(path: path)
        do {
            let program = try read(file)
            try program.validateStructure()
            return program
        } catch {
            throw error.inFile(path)
        }
    }

    /// Writes the program beside `path` and renames it. Equal programs give equal bytes.
    ///
    /// - Throws: ``DyadError``: `cannotWrite`, or what ``validateStructure()`` finds.
    public func write(to path: String) throws(DyadError) {
        try validateStructure()
        var tensors: [SafetensorsWriter.Tensor] = []
        for constant in graph.constants {
            let data = try checkedData(of: constant.name)
            tensors.append(
                SafetensorsWriter.Tensor(constant.name, constant.elementType, constant.storedShape) {
                    (sink) throws(DyadError) in
                    try data.write(to: sink)
                })
        }
        try SafetensorsWriter.write(
            path, tensors,
            metadata: [
                "dyad.version": JSONValue.integer(Self.fileVersion).text(), "dyad.graph": graph.json.text(),
                "dyad.tokenizer": tokenizer.text(), "dyad.configuration": configuration.text(),
                "dyad.provenance": provenance.text(),
            ])
    }

    private static func read(_ file: SafetensorsFile) throws(DyadError) -> IntegerProgram {
        let version = try document("dyad.version", of: file)
        guard version.value == .integer(fileVersion) else {
            throw version.failure(
                .unsupported, found: "version \(version.value.text())", expected: "\(fileVersion)",
                remedy: "Quantise the model again with this version of Dyad, or use the one that wrote the file.")
        }
        let graph = try IntegerGraph(try document("dyad.graph", of: file))
        var constants: [String: ConstantSource] = [:]
        for constant in graph.constants { constants[constant.name] = try data(of: constant, in: file) }
        if let extra = file.names.first(where: { constants[$0] == nil }) {
            throw DyadError(
                .malformed, subject: extra, found: "a tensor that the graph does not describe", expected: "none",
                remedy: "The file is damaged or was made by another tool: quantise the model again.")
        }
        return IntegerProgram(
            graph: graph, sources: constants, tokenizer: try document("dyad.tokenizer", of: file).value,
            configuration: try document("dyad.configuration", of: file).value,
            provenance: try document("dyad.provenance", of: file).value)
    }

    private static func document(_ key: String, of file: SafetensorsFile) throws(DyadError) -> JSONField {
        guard let text = file.metadata[key] else {
            throw DyadError(
                .malformed, subject: key, found: "no such metadata", expected: "a JSON document",
                remedy: "Give a .dyad file; `dyad quantize` makes one from a checkpoint.")
        }
        return JSONField(
            try JSONValue.parse(text, file: file.file.path, subject: key), file: file.file.path, path: key)
    }

    private static func data(of constant: GraphConstant, in file: SafetensorsFile) throws(DyadError) -> ConstantSource {
        let tensor = try file.tensor(constant.name)
        guard tensor.type == constant.elementType, tensor.shape == constant.storedShape else {
            throw DyadError(
                .malformed, subject: constant.name, found: "\(tensor.type.rawValue) \(tensor.shape)",
                expected: "\(constant.elementType.rawValue) \(constant.storedShape)",
                remedy: "The file is damaged or was made by another tool: quantise the model again.")
        }
        return .file(tensor.file, tensor.range)
    }
}

extension GraphConstant {
    /// The safetensors type that holds it.
    var elementType: ElementType {
        switch type {
        case .i4, .u8: .uint8
        case .i8: .int8
        case .u16: .uint16
        case .i16: .int16
        case .i32: .int32
        case .u32: .uint32
        case nil: .float32
        }
    }

    /// The shape in the file: two i4 share a byte along the last axis.
    var storedShape: [Int] {
        guard type == .i4, let last = shape.last else { return shape }
        return shape.dropLast() + [last / 2 + last % 2]
    }
}

extension ConstantData {
    /// Appends the bytes to a file. Throws `cannotWrite`.
    public func write(to sink: FileSink) throws(DyadError) {
        let result = withUnsafeBytes { bytes in
            Result { () throws(DyadError) in try sink.write(bytes) }
        }
        try result.get()
    }
}

extension DyadError {
    /// The same error with the file named, where it names none.
    fileprivate func inFile(_ path: String) -> DyadError {
        var error = self
        error.file = error.file ?? path
        return error
    }
}
