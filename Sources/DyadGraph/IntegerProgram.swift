import DyadFormats

/// The packed bytes of one constant: memory of its own, or a range of a mapped file.
public struct ConstantData: Sendable {
    private enum Storage: Sendable {
        case owned([UInt8])
        case mapped(MappedFile, Range<Int>)
    }
    private let storage: Storage

    /// Bytes in memory.
    public init(_ bytes: [UInt8]) { storage = .owned(bytes) }

    /// A range of a mapped file, which is kept open; `range` lies inside it.
    public init(_ file: MappedFile, _ range: Range<Int>) { storage = .mapped(file, range) }

    /// The number of bytes.
    public var count: Int {
        switch storage {
        case .owned(let bytes): bytes.count
        case .mapped(_, let range): range.count
        }
    }

    /// The bytes, valid during the call.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        switch storage {
        case .owned(let bytes): try bytes.withUnsafeBytes(body)
        case .mapped(let file, let range): try body(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
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

/// A complete program: the graph, its constants, and what belongs to it in the file.
public struct IntegerProgram: Equatable, Sendable {
    public var graph: IntegerGraph
    /// Bytes by constant name.
    public var constants: [String: ConstantData]
    /// The tokenizer's document (DyadTokenizer reads it), or `.null`.
    public var tokenizer: JSONValue
    /// The decoder's configuration, for people and exporters.
    public var configuration: JSONValue
    /// Model fingerprint, recipe, seed, calibration hash, versions, scores.
    public var provenance: JSONValue

    /// Creates a program.
    public init(
        graph: IntegerGraph, constants: [String: ConstantData], tokenizer: JSONValue = .null,
        configuration: JSONValue = .null, provenance: JSONValue = .null
    ) {
        self.graph = graph
        self.constants = constants
        self.tokenizer = tokenizer
        self.configuration = configuration
        self.provenance = provenance
    }
}
