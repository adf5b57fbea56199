/// A tensor of a file: its description and where its bytes are. Nothing is read before it is asked for.
public struct TensorView: Sendable {
    /// The name in the file.
    public let name: String
    /// The type of the elements.
    public let type: ElementType
    /// The dimensions, outermost first; empty for a scalar.
    public let shape: [Int]
    /// The file.
    public let file: RandomAccessFile
    /// Where the elements are in it: row-major, little-endian, not necessarily aligned to the element.
    public let range: Range<Int>

    /// Describes bytes of a file; traps if they are not as many as type and shape say.
    public init(name: String, type: ElementType, shape: [Int], file: RandomAccessFile, range: Range<Int>) {
        precondition(type.byteCount(of: shape) == range.count, "bytes do not fit type and shape")
        self.name = name
        self.type = type
        self.shape = shape
        self.file = file
        self.range = range
    }

    /// The number of elements.
    public var count: Int { range.count / type.byteCount }

    /// A copy of the elements as they are stored, aligned. Linear; allocates it.
    /// - Throws: ``DyadError`` `failed` when the file shrank or changed, cannot be read, or there is no memory.
    public func bytes() throws(DyadError) -> FileBytes { try file.bytes(range) }

    /// Whether the elements of two tensors are stored as the same bytes. Linear, a piece at a time.
    /// - Throws: ``DyadError`` `failed` when a file shrank or changed, or cannot be read.
    public func hasSameBytes(as other: TensorView) throws(DyadError) -> Bool {
        guard range.count == other.range.count else { return false }
        let piece = 1 << 20
        for start in stride(from: 0, to: range.count, by: piece) {
            let size = min(piece, range.count - start)
            let (mine, theirs) = (range.lowerBound + start, other.range.lowerBound + start)
            let pieces = (try file.bytes(mine..<mine + size), try other.file.bytes(theirs..<theirs + size))
            guard withExtendedLifetime(pieces, { pieces.0.bytes.elementsEqual(pieces.1.bytes) }) else { return false }
        }
        return true
    }

    /// The elements as `Float`. Linear; allocates the result.
    /// - Throws: ``DyadError``: `unsupported` unless the type is F64, F32, F16 or BF16; otherwise as ``bytes()``.
    public func floats() throws(DyadError) -> [Float] {
        guard let blockType = GGUFTensorType(type) else {
            throw DyadError(
                .unsupported, file: file.path, subject: name, found: "elements of type \(type.rawValue)",
                expected: "F64, F32, F16 or BF16", remedy: "Convert the checkpoint to one of these types.")
        }
        return try blockType.floats(of: file, range, count: count)
    }
}

extension GGUFTensorType {
    /// The values of whole blocks in a file, a piece at a time, so that little of it is in memory twice.
    func floats(of file: RandomAccessFile, _ range: Range<Int>, count: Int) throws(DyadError) -> [Float] {
        let (blocksAtOnce, blocks) = ((1 << 20) / blockBytes, range.count / blockBytes)
        try FileBytes.checkMemory(count.multipliedReportingOverflow(by: 4).partialValue, file.path)
        var failure: DyadError?
        let floats = [Float](unsafeUninitializedCapacity: count) { output, filled in
            for first in stride(from: 0, to: blocks, by: blocksAtOnce) {
                let some = min(blocksAtOnce, blocks - first)
                let start = range.lowerBound + first * blockBytes
                do throws(DyadError) {
                    let piece = try file.bytes(start..<start + some * blockBytes)
                    let place = UnsafeMutableBufferPointer(
                        rebasing: output[first * blockSize..<(first + some) * blockSize])
                    withExtendedLifetime(piece) { dequantize(piece.bytes, into: place) }
                } catch {
                    failure = error
                    return
                }
                filled = (first + some) * blockSize
            }
        }
        if let failure { throw failure }
        return floats
    }
}
