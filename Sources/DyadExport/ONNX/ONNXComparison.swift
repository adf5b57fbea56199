import DyadFormats
import DyadGraph
import Foundation
import SwiftProtobuf

/// Whether an exported folder still says what the program says: every encoding, axis, weight and operation.
///
/// Vendors' tools accept a wrong axis or a lost encoding without a word, and compute something else.
extension ONNXExporter {
    /// Compares the graphs of a folder, and their weights, with those that `program` exports to.
    ///
    /// - Returns: the number of tensors with an encoding that were compared.
    /// - Throws: ``DyadError`` `mismatch` naming the file and the tensor, with what was found and what the program says; `missing` or
    ///   `malformed` for a folder that cannot be read.
    static func check(_ folder: String, _ manifest: ExportManifest, against program: IntegerProgram) throws(DyadError)
        -> Int
    {
        let weightPath = "\(folder)/\(weightFile)"
        let found = try RandomAccessFile(weightPath)
        var count = 0
        var weights = WeightFile()
        var encodings = ExportEncodings()
        for (index, entry) in manifest.graphs.enumerated() {
            let (graph, _) = try entry.lowered(program, for: manifest.target)
            try manifest.check(ExportManifest.entry(graph, entry), at: index)
            encodings.add(graph, file: entry.file)
            let expected = try ONNXWriter.model(
                of: graph, name: entry.file, weights: &weights, weightFile: weightFile, metadata: [])
            let path = "\(folder)/\(entry.file)"
            let comparison = ONNXComparison(file: path, expected: expected.graph, found: try read(path).graph)
            try comparison.run()
            try comparison.compareWeights(of: graph, in: found, weightPath)
            count += try graph.encodingCount()
        }
        try encodings.check(folder)
        return count
    }

    private static func read(_ path: String) throws(DyadError) -> ONNXModel {
        let file = try FileBytes(path)
        do {
            return try ONNXModel(serializedBytes: withExtendedLifetime(file) { Data(file.bytes) })
        } catch {
            throw DyadError(
                .malformed, file: path, found: "\(error)", expected: "an ONNX model",
                remedy: "The file is damaged: export the program again.")
        }
    }
}

/// Two ONNX graphs side by side.
struct ONNXComparison {
    let file: String
    let expected: ONNXGraph
    let found: ONNXGraph

    private func mismatch(_ subject: String, _ found: String, _ expected: String) -> DyadError {
        DyadError(
            .mismatch, file: file, subject: subject, found: found, expected: expected,
            remedy: "The exported file is not what this program says: export it again.")
    }

    /// Throws at the first tensor or operation that differs.
    func run() throws(DyadError) {
        try compareInitializers()
        try compareNodes()
        try compare("the inputs", found.input, expected.input)
        try compare("the outputs", found.output, expected.output)
    }

    /// `X.scale` and `X.zero_point` belong to X, and are named so.
    private static func owner(_ name: String) -> (tensor: String, part: String) {
        for part in ["scale", "zero_point"] where name.hasSuffix(".\(part)") {
            return (String(name.dropLast(part.count + 1)), part.replacingOccurrences(of: "_", with: " "))
        }
        return (name, "value")
    }

    private func compareInitializers() throws(DyadError) {
        let there = Dictionary(found.initializer.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
        for tensor in expected.initializer {
            let (name, part) = Self.owner(tensor.name)
            guard let other = there[tensor.name] else { throw mismatch(name, "no \(part)", "one") }
            guard other.dims == tensor.dims, other.dataType == tensor.dataType else {
                throw mismatch(
                    name, "a \(part) of type \(other.dataType) and shape \(other.dims)",
                    "type \(tensor.dataType) and shape \(tensor.dims)")
            }
            guard other.rawData == tensor.rawData, other.externalData == tensor.externalData else {
                throw mismatch(
                    name, "the \(part) \(Self.text(other))", Self.text(tensor))
            }
        }
        if found.initializer.count != expected.initializer.count {
            let known = Set(expected.initializer.map(\.name))
            let extra = found.initializer.first { !known.contains($0.name) }
            throw mismatch(extra?.name ?? "constants", "one more constant, or one twice", "none")
        }
    }

    /// The first numbers of a small tensor.
    private static func text(_ tensor: ONNXTensor) -> String {
        let bytes = [UInt8](tensor.rawData.prefix(4))
        guard tensor.externalData.isEmpty, bytes.count > 0 else {
            return tensor.externalData.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        }
        if tensor.dataType == 1, bytes.count == 4 {
            let bits = bytes.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            return "\(Float(bitPattern: bits))"
        }
        return "\(bytes.reversed().reduce(0) { $0 << 8 | Int($1) })"
    }

    private func compareNodes() throws(DyadError) {
        // By output: a lost node shifts the others, and the one that is missed should be named.
        let there = Dictionary(
            found.node.map { ($0.output.first ?? "", $0) }, uniquingKeysWith: { first, _ in first })
        for node in expected.node {
            guard let name = node.output.first else { continue }
            let subject = Self.tensor(of: node)
            guard let other = there[name] else {
                throw mismatch(subject, "no \(node.opType)", "\(node.opType) to \(name)")
            }
            guard other.opType == node.opType, other.input == node.input else {
                throw mismatch(
                    subject, "\(other.opType)(\(other.input.joined(separator: ", ")))",
                    "\(node.opType)(\(node.input.joined(separator: ", ")))")
            }
            guard other.attribute == node.attribute else {
                throw mismatch(
                    subject, "\(node.opType) with \(Self.text(other.attribute))", Self.text(node.attribute))
            }
        }
        if found.node.count != expected.node.count {
            let known = Set(expected.node.compactMap(\.output.first))
            let extra = found.node.first { !known.contains($0.output.first ?? "") }
            throw mismatch(extra?.output.first ?? "operations", "one more operation, or one twice", "none")
        }
    }

    /// The tensor that a node is about: what is (de)quantised, else the result.
    private static func tensor(of node: ONNXNode) -> String {
        let name = node.opType == "DequantizeLinear" ? node.input.first : node.output.first
        for suffix in [".exact", ".real"] {
            if let name, name.hasSuffix(suffix) { return String(name.dropLast(suffix.count)) }
        }
        return name ?? node.opType
    }

    private static func text(_ attributes: [ONNXAttribute]) -> String {
        attributes.map { attribute in
            switch attribute.type {
            case .float: "\(attribute.name) \(attribute.f)"
            case .int: "\(attribute.name) \(attribute.i)"
            case .ints: "\(attribute.name) \(attribute.ints)"
            default: "\(attribute.name) \(String(decoding: attribute.s, as: UTF8.self))"
            }
        }.joined(separator: ", ")
    }

    private func compare(
        _ what: String, _ found: [ONNXValueInfo], _ expected: [ONNXValueInfo]
    ) throws(DyadError) {
        for (index, information) in expected.enumerated() {
            guard index < found.count, found[index] == information else {
                let other = index < found.count ? found[index] : ONNXValueInfo()
                throw mismatch(
                    information.name,
                    "\(what) with \(other.name) of \(other.type.tensorType.shape.dim.map(\.dimValue))",
                    "\(information.type.tensorType.shape.dim.map(\.dimValue))")
            }
        }
        guard found.count == expected.count else {
            throw mismatch(what, "\(found.count)", "\(expected.count)")
        }
    }

    /// The bytes of the weight file, constant by constant.
    func compareWeights(of graph: StaticGraph, in file: RandomAccessFile, _ path: String) throws(DyadError) {
        let constants = Dictionary(
            graph.values.compactMap { value in value.constant.map { (value.name, $0) } }, uniquingKeysWith: { $1 })
        for tensor in expected.initializer where tensor.dataLocation == .external {
            let entries = Dictionary(tensor.externalData.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
            let (name, part) = Self.owner(tensor.name)
            guard let offset = entries["offset"].flatMap(Int.init), let length = entries["length"].flatMap(Int.init),
                offset >= 0, length >= 0, length <= file.count, offset <= file.count - length
            else { throw mismatch(name, "\(file.count) bytes in \(path)", "all of the \(part)") }
            let stored = try file.bytes(offset..<offset + length)
            let isEqual = withExtendedLifetime(stored) {
                constants[tensor.name].map { data in data.withUnsafeBytes { $0.elementsEqual(stored.bytes) } }
                    ?? Self.equalsEncoding(stored.bytes, of: graph, name, part)
            }
            guard isEqual else { throw mismatch(name, "another \(part) in \(path)", "the program's") }
        }
    }

    /// Rows of scales, or of zero points, that were long enough for the weight file.
    private static func equalsEncoding(
        _ bytes: UnsafeRawBufferPointer, of graph: StaticGraph, _ name: String, _ part: String
    ) -> Bool {
        guard let id = graph.value(named: name), case .perRow(_, let scales) = graph.values[id].type else {
            return false
        }
        return part == "scale"
            ? scales.withUnsafeBytes { $0.elementsEqual(bytes) } : bytes.allSatisfy { $0 == 0 }
    }
}
