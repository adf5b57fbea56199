import DyadFormats

/// The packed bytes of one constant, in memory.
public struct ConstantData: Sendable {
    private enum Storage: Sendable {
        case array([UInt8])
        case file(FileBytes)
    }
    private let storage: Storage

    /// Bytes that were made.
    public init(_ bytes: [UInt8]) { storage = .array(bytes) }

    /// Bytes that were read.
    public init(_ bytes: FileBytes) { storage = .file(bytes) }

    /// The number of bytes.
    public var count: Int {
        switch storage {
        case .array(let bytes): bytes.count
        case .file(let bytes): bytes.count
        }
    }

    /// The bytes, valid during the call.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        switch storage {
        case .array(let bytes): try bytes.withUnsafeBytes(body)
        case .file(let file): try withExtendedLifetime(file) { try body(file.bytes) }
        }
    }
}

extension ConstantData: Equatable {
    /// Whether the bytes are equal. Linear in their number.
    public static func == (left: ConstantData, right: ConstantData) -> Bool {
        left.withUnsafeBytes { a in
            right.withUnsafeBytes { b in a.elementsEqual(b) }
        }
    }
}

/// Where the bytes of a constant are: in memory, or in a file from which they are read when they are used.
public enum ConstantSource: Sendable {
    /// In memory.
    case memory(ConstantData)
    /// A range of an open file.
    case file(RandomAccessFile, Range<Int>)

    /// The number of bytes.
    public var count: Int {
        switch self {
        case .memory(let data): data.count
        case .file(_, let range): range.count
        }
    }

    /// The bytes in memory. A constant that is in a file is read again at each call.
    ///
    /// - Throws: ``DyadError`` `failed` where the file shrank or changed since it was opened, or there is no memory.
    public func data() throws(DyadError) -> ConstantData {
        switch self {
        case .memory(let data): data
        case .file(let file, let range): ConstantData(try file.bytes(range))
        }
    }
}

extension ConstantSource: Equatable {
    /// Whether the bytes are equal; not if they cannot be read. Linear in their number.
    public static func == (left: ConstantSource, right: ConstantSource) -> Bool {
        guard let left = try? left.data(), let right = try? right.data() else { return false }
        return left == right
    }
}

/// A complete program: the graph, its constants, and what belongs to it in the file.
public struct IntegerProgram: Equatable, Sendable {
    /// What runs.
    public var graph: IntegerGraph
    /// Where each constant's bytes are, by name; ``data(of:)`` reads them.
    public var constants: [String: ConstantSource]
    /// The tokenizer's document (DyadTokenizer reads it), or `.null`.
    public var tokenizer: JSONValue
    /// The decoder's configuration, for people and exporters.
    public var configuration: JSONValue
    /// Model fingerprint, recipe, seed, calibration hash, versions, scores.
    public var provenance: JSONValue

    /// Creates a program whose constants are in memory.
    public init(
        graph: IntegerGraph, constants: [String: ConstantData], tokenizer: JSONValue = .null,
        configuration: JSONValue = .null, provenance: JSONValue = .null
    ) {
        self.init(
            graph: graph, sources: constants.mapValues { .memory($0) }, tokenizer: tokenizer,
            configuration: configuration, provenance: provenance)
    }

    init(
        graph: IntegerGraph, sources: [String: ConstantSource], tokenizer: JSONValue, configuration: JSONValue,
        provenance: JSONValue
    ) {
        self.graph = graph
        constants = sources
        self.tokenizer = tokenizer
        self.configuration = configuration
        self.provenance = provenance
    }
}
