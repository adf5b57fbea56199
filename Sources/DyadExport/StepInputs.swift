import DyadFormats
import DyadGraph

/// What a static graph is given for one step: the host's side of the exported program.
///
/// The columns of a row of scores are the constant prefix, `past` rows of cache (row i holds token i), and the step's own
/// tokens. A token sees the prefix, the rows that are filled, and itself and what precedes it in the step.
public struct StepInputs {
    private let program: IntegerProgram
    private let shape: StaticShape
    /// The step's tokens.
    public var tokens: [Int32]
    /// How many tokens precede them, at most ``StaticShape/past``.
    public var start: Int

    /// Creates a step of `shape.tokens` tokens.
    public init(_ program: IntegerProgram, shape: StaticShape, tokens: [Int32], start: Int) {
        precondition(tokens.count == shape.tokens && start <= shape.past)
        self.program = program
        self.shape = shape
        self.tokens = tokens
        self.start = start
    }

    /// The raw bytes of an input.
    ///
    /// - Parameters:
    ///   - tensor: the integers of a tensor of the integer graph that a part of it is given.
    ///   - rows: the rows of a cache that are filled, `[start, heads · size]`, as the integer graph stores them (u8, zero point 128).
    /// - Throws: ``DyadError`` `mismatch` for an input that is none of these.
    public func bytes(
        of input: StaticGraph.Value, tensor: (String) -> [Int32]?, rows: (CacheState) -> [UInt8]?
    ) throws(DyadError) -> [UInt8] {
        let prefix = program.graph.prefixTokens.count
        switch HostPort(name: input.name) {
        case .tokenIDs: return Self.raw(tokens)
        case .positionIDs: return Self.raw((0..<shape.tokens).map { Int32(prefix + start + $0) })
        case .logitRow: return Self.raw([Int32(shape.tokens - 1)])
        case .visible: return Self.visible(shape, prefix: prefix, start: start)
        case .pastRows, .newRows, .tensor:
            // A tensor of the graph may have a name that looks like a cache's.
            if case .pastRows(let name) = HostPort(name: input.name),
                let cache = program.graph.caches.first(where: { $0.name == name }), let rows = rows(cache)
            {
                return pastRows(cache, rows)
            }
            let stored = program.graph.tensors.first { $0.name == input.name }?.type
            guard let values = tensor(input.name), let type = input.type.integerType,
                let offset = stored?.offset(of: type), values.count == input.shape.reduce(1, *)
            else {
                throw DyadError(
                    .mismatch, subject: input.name, found: "no values for this input",
                    expected: "\(input.shape.reduce(1, *))", remedy: "Report this as a defect of Dyad.")
            }
            return Self.raw(offset == 0 ? values : values.map { $0 - offset }, as: type)
        }
    }

    /// `[1, 1, tokens, prefix + context]`: what each token of a step behind `start` others sees.
    static func visible(_ shape: StaticShape, prefix: Int, start: Int) -> [UInt8] {
        (0..<shape.tokens).flatMap { row in
            (0..<prefix + shape.context).map { column in
                let own = column - prefix - shape.past
                return own >= 0 ? (own <= row ? 1 : 0) : column < prefix + start ? 1 : 0
            }
        }
    }

    /// `[start, heads · size]` u8 to `[1, heads, past, size]` i8; rows that are not filled hold zero.
    private func pastRows(_ cache: CacheState, _ rows: [UInt8]) -> [UInt8] {
        let (heads, size) = (cache.keyValueHeads, cache.headDimension)
        var result = [UInt8](repeating: 0, count: heads * shape.past * size)
        for head in 0..<heads {
            for row in 0..<start {
                for index in 0..<size {
                    // 128 less: the sign bit turned.
                    result[(head * shape.past + row) * size + index] = rows[(row * heads + head) * size + index] ^ 0x80
                }
            }
        }
        return result
    }

    private static func raw<Element: BitwiseCopyable>(_ elements: [Element]) -> [UInt8] {
        elements.withUnsafeBytes(Array.init)
    }

    private static func raw(_ values: [Int32], as type: IntegerType) -> [UInt8] {
        switch type {
        case .u8, .i8, .i4: values.map { UInt8(truncatingIfNeeded: $0) }
        case .u16, .i16: raw(values.map { UInt16(truncatingIfNeeded: $0) })
        case .i32, .u32: raw(values)
        }
    }
}

extension StaticGraph.Value {
    /// The integers in the raw bytes of a value; empty for what is not quantised.
    public func integers(_ bytes: [UInt8]) -> [Int32] {
        func widened<Element: FixedWidthInteger & BitwiseCopyable>(_ type: Element.Type) -> [Int32] {
            bytes.withUnsafeBytes { bytes in
                (0..<bytes.count / MemoryLayout<Element>.size).map {
                    Int32(bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Element>.size, as: Element.self))
                }
            }
        }
        switch type.integerType {
        case .u8: return widened(UInt8.self)
        case .i8: return widened(Int8.self)
        case .u16: return widened(UInt16.self)
        case .i16: return widened(Int16.self)
        case .i32: return widened(Int32.self)
        case .u32, .i4, nil: return []
        }
    }
}

extension IntegerType {
    /// What an integer of `other` is short of the same one in this type: 0 for the same type, 128 and 32768 for the signed form of u8 and
    /// u16; nil for others.
    public func offset(of other: IntegerType) -> Int32? {
        switch (self, other) {
        case (.u8, .i8): 128
        case (.u16, .i16): 32768
        default: self == other ? 0 : nil
        }
    }
}
