import DyadGraph

/// Where every stored tensor lies in one block of memory. Tensors whose lives do not overlap share bytes.
struct BufferLayout: Sendable {
    /// Bytes from the start of the block, by tensor; nil where nothing is stored.
    let offsets: [Int?]
    /// Size of the block.
    let byteCount: Int

    /// Lays out the tensors of `operations` for steps of up to `rows` tokens and `columns` columns.
    ///
    /// Operation by operation: a tensor gets its place where it is written, and gives it back after its last reader.
    ///
    /// - Parameters:
    ///   - kept: tensors read after the last operation.
    ///   - isWatched: also store the tensors between fused operations.
    /// - Cost: about linear in the number of tensors.
    init(
        operations: [any PlannedOperation], tensorCount: Int, kept: [TensorID], rows: Int, columns: Int, isWatched: Bool
    ) {
        var lastUse = [Int](repeating: 0, count: tensorCount)
        for (step, operation) in operations.enumerated() {
            for tensor in operation.outputs { lastUse[tensor.id] = step }
            for tensor in operation.internals { lastUse[tensor.id] = step }
            for input in operation.inputs { lastUse[input] = step }
        }
        for tensor in kept { lastUse[tensor] = operations.count }

        var offsets = [Int?](repeating: nil, count: tensorCount)
        var ending = [[(start: Int, bytes: Int)]](repeating: [], count: operations.count + 1)
        var space = FreeSpace()
        for (step, operation) in operations.enumerated() {
            let written = (operation.outputs + (isWatched ? operation.internals : [])).map { tensor in
                let size = tensor.count(rows: rows, columns: columns) * tensor.storedType.byteCount
                return (id: tensor.id, bytes: (size + AlignedMemory.padding + 63) / 64 * 64)
            }
            for (id, bytes) in written.sorted(by: { ($1.bytes, $0.id) < ($0.bytes, $1.id) }) {
                let start = space.take(bytes)
                offsets[id] = start
                ending[lastUse[id]].append((start, bytes))
            }
            for (start, bytes) in ending[step] { space.give(back: start, bytes) }
        }
        self.offsets = offsets
        byteCount = space.end
    }
}

/// The gaps of a block of memory that grows at its end.
///
/// Gaps are kept by the power of two of their size, and neighbours are joined, so taking and giving back cost the same
/// however many gaps there are.
private struct FreeSpace {
    private(set) var end = 0
    /// Bytes of the gap that starts there.
    private var gaps: [Int: Int] = [:]
    /// The start of the gap that ends there.
    private var starts: [Int: Int] = [:]
    /// Starts of gaps of 2^k bytes and more, the youngest last. A gap that has grown or gone stays until it is met.
    private var classes = [[Int]](repeating: [], count: 64)

    /// Gaps of the wanted size's own class that are looked at.
    private static let tries = 8

    mutating func take(_ bytes: Int) -> Int {
        let start = gap(of: bytes) ?? lastGap() ?? end
        let found = gaps[start] ?? 0
        remove(start)
        if found > bytes { insert(start + bytes, found - bytes) }
        end = max(end, start + bytes)
        return start
    }

    mutating func give(back start: Int, _ bytes: Int) {
        var (start, length) = (start, bytes)
        if let before = starts[start], let size = gaps[before] {
            remove(before)
            (start, length) = (before, length + size)
        }
        if let size = gaps[start + length] {
            remove(start + length)
            length += size
        }
        insert(start, length)
    }

    /// A gap of at least `bytes`, the best of a few.
    private mutating func gap(of bytes: Int) -> Int? {
        let own = Self.class(of: bytes)
        var (best, bestSize): (Int?, Int) = (nil, .max)
        var seen: [Int] = []
        while seen.count < Self.tries, let start = classes[own].popLast() {
            guard let size = gaps[start], Self.class(of: size) == own else { continue }
            seen.append(start)
            if size >= bytes, size < bestSize { (best, bestSize) = (start, size) }
        }
        classes[own] += seen.reversed()
        if let best { return best }
        for larger in own + 1..<classes.count {
            while let start = classes[larger].last {
                if let size = gaps[start], Self.class(of: size) == larger { return start }
                classes[larger].removeLast()
            }
        }
        return nil
    }

    /// The gap before the end, which can grow.
    private func lastGap() -> Int? { starts[end] }

    private mutating func insert(_ start: Int, _ bytes: Int) {
        gaps[start] = bytes
        starts[start + bytes] = start
        classes[Self.class(of: bytes)].append(start)
    }

    private mutating func remove(_ start: Int) {
        guard let bytes = gaps.removeValue(forKey: start) else { return }
        starts[start + bytes] = nil
    }

    private static func `class`(of bytes: Int) -> Int { Int.bitWidth - 1 - bytes.leadingZeroBitCount }
}
