import DyadFormats
import DyadGraph
import Foundation
import SwiftProtobuf

/// Core ML packages for iOS 18: one for prefill chunks and one for single steps, keys and values in states.
public struct CoreMLExporter: Exporter {
    /// For ``ExportTarget/coreml``.
    public var plan: ExportPlan

    /// Creates an exporter.
    public init(_ plan: ExportPlan) { self.plan = plan }

    /// See ``Exporter``. A package is a folder; its files are written beside their names and renamed.
    public func export(
        _ program: IntegerProgram, from source: ExportSource, to path: String
    ) throws(DyadError) -> ExportReport {
        try plan.export(program, from: source, to: path, ending: "mlpackage") { (piece, graph) throws(DyadError) in
            let (model, weights) = try CoreMLWriter.model(
                of: graph, shape: piece.shape, metadata: source.metadata(.coreml, piece.shape))
            let folder = "\(path)/\(piece.file)"
            try ExportManifest.makeFolder("\(folder)/Data/com.apple.CoreML/weights")
            try weights.write(to: "\(folder)/Data/com.apple.CoreML/weights/weight.bin")
            let bytes = try Self.serialized(model, piece.file)
            try AtomicFile.write("\(folder)/Data/com.apple.CoreML/model.mlmodel", expectedBytes: bytes.count) {
                (sink) throws(DyadError) in try sink.write(bytes)
            }
            try AtomicFile.write("\(folder)/Manifest.json", text: Self.manifest)
            return (weights.count + bytes.count + Self.manifest.utf8.count, Self.entry(model, piece))
        }
    }

    /// What the package itself takes, keeps and gives: float16 and int32, names without dots.
    private static func entry(_ model: CoreMLModel, _ piece: ExportPiece) -> JSONValue {
        func line(_ name: String, _ array: CoreMLArrayFeatureType) -> JSONValue {
            .object(
                JSONObject([
                    ("name", .string(name)), ("shape", .array(array.shape.map { .integer(Int($0)) })),
                    ("type", .string(array.dataType == CoreMLWriter.int32Arrays ? "i32" : "f16")),
                ]))
        }
        let description = model.description_p
        return piece.entry([
            ("inputs", .array(description.input.map { line($0.name, $0.type.multiArrayType) })),
            ("states", .array(description.state.map { line($0.name, $0.type.stateType.arrayType) })),
            ("outputs", .array(description.output.map { line($0.name, $0.type.multiArrayType) })),
        ])
    }

    private static func serialized(_ model: CoreMLModel, _ file: String) throws(DyadError) -> [UInt8] {
        do {
            // Maps in a fixed order: equal programs give equal bytes.
            var options = BinaryEncodingOptions()
            options.useDeterministicOrdering = true
            return try [UInt8](model.serializedData(options: options))
        } catch {
            throw DyadError(
                .failed, file: file, found: "\(error)", expected: "a model of less than 2 GiB",
                remedy: "Export fewer layers in one package with --split.")
        }
    }

    /// The package's own list of its files. The identifiers only link them.
    private static let manifest = """
        {
            "fileFormatVersion": "1.0.0",
            "itemInfoEntries": {
                "6479AD00-0000-4000-8000-000000000001": {
                    "author": "com.apple.CoreML",
                    "description": "CoreML Model Specification",
                    "name": "model.mlmodel",
                    "path": "com.apple.CoreML/model.mlmodel"
                },
                "6479AD00-0000-4000-8000-000000000002": {
                    "author": "com.apple.CoreML",
                    "description": "CoreML Model Weights",
                    "name": "weights",
                    "path": "com.apple.CoreML/weights"
                }
            },
            "rootModelIdentifier": "6479AD00-0000-4000-8000-000000000001"
        }

        """
}

extension CoreMLExporter {
    /// As ``ExportManifest/check(_:against:)``: operation by operation, and the weight file byte by byte.
    static func check(_ folder: String, _ manifest: ExportManifest, against program: IntegerProgram) throws(DyadError)
        -> Int
    {
        var count = 0
        for (index, piece) in manifest.graphs.enumerated() {
            let (graph, line) = try piece.lowered(program, for: .coreml)
            let (model, weights) = try CoreMLWriter.model(
                of: graph, shape: piece.shape, metadata: manifest.source.metadata(.coreml, piece.shape))
            let path = "\(folder)/\(piece.file)/Data/com.apple.CoreML"
            try manifest.check(entry(model, piece), at: index)
            try compare(model, with: "\(path)/model.mlmodel")
            try weights.compare(with: "\(path)/weights/weight.bin")
            count += line.encodings
        }
        return count
    }

    private static func compare(_ expected: CoreMLModel, with path: String) throws(DyadError) {
        let file = try FileBytes(path)
        let found: CoreMLModel
        do {
            found = try CoreMLModel(serializedBytes: withExtendedLifetime(file) { Data(file.bytes) })
        } catch {
            throw DyadError(
                .malformed, file: path, found: "\(error)", expected: "a Core ML model",
                remedy: "The file is damaged: export the program again.")
        }
        guard found != expected else { return }
        func operations(_ model: CoreMLModel) -> [CoreMLOperation] {
            model.mlProgram.functions["main"]?.blockSpecializations[CoreMLWriter.opset]?.operations ?? []
        }
        // By output: a lost operation shifts the others, and the one that is missed should be named.
        let there = Dictionary(operations(found).map { ($0.outputs.first?.name ?? "", $0) }, uniquingKeysWith: { $1 })
        for operation in operations(expected) {
            let name = operation.outputs.first?.name ?? ""
            guard !name.isEmpty, there[name] != operation else { continue }
            let found = there[name].map { "another \($0.type)" } ?? "no \(operation.type)"
            // Equal numbers are one constant: the tensor whose scale or zero point it is says more than its name.
            let user = operations(expected).first { user in
                operation.type == "const"
                    && user.inputs.values.contains { $0.arguments.contains { $0.name == name } }
            }
            throw mismatch(path, user?.outputs.first?.name ?? name, user == nil ? found : "\(found) \(name)")
        }
        throw mismatch(path, "model", "other inputs, outputs or states, or further operations")
    }

    fileprivate static func mismatch(_ path: String, _ subject: String, _ found: String) -> DyadError {
        DyadError(
            .mismatch, file: path, subject: subject, found: found, expected: "the program's",
            remedy: "The exported file is not what this program says: export it again.")
    }
}

extension CoreMLBlob {
    fileprivate func compare(with path: String) throws(DyadError) {
        let file = try FileBytes(path)
        guard file.count == count else {
            throw CoreMLExporter.mismatch(path, "weights", "\(file.count) bytes instead of \(count)")
        }
        let other = withExtendedLifetime(file) { firstDifference(from: file.bytes) }
        if let other { throw CoreMLExporter.mismatch(path, other, "other weights") }
    }
}
