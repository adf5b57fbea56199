import DyadGraph

/// Where every stored tensor lies in one block of memory. Tensors whose lives do not overlap share bytes.
struct BufferLayout: Sendable {
    /// Bytes from the start of the block, by tensor; nil where nothing is stored.
    let offsets: [Int?]
    /// Size of the block.
    let byteCount: Int

    /// Lays out the tensors of `operations` for steps of up to `rows` tokens and `columns` columns.
    ///
    /// - Parameters:
    ///   - kept: tensors read after the last operation.
    ///   - isWatched: also store the tensors between fused operations.
    /// - Cost: quadratic in the number of tensors.
    init(
        operations: [any PlannedOperation], tensorCount: Int, kept: [TensorID], rows: Int, columns: Int, isWatched: Bool
    ) {
        var lives: [TensorID: Life] = [:]
        for (step, operation) in operations.enumerated() {
            for tensor in operation.outputs {
                lives[tensor.id] = Life(tensor, first: step, rows: rows, columns: columns)
            }
            for tensor in operation.internals where isWatched {
                lives[tensor.id] = Life(tensor, first: step, rows: rows, columns: columns)
            }
            for input in operation.inputs { lives[input]?.last = step }
        }
        for tensor in kept { lives[tensor]?.last = operations.count }

        // The largest first, each at the lowest place where no living neighbour is.
        var placed: [(life: Life, start: Int)] = []
        var offsets = [Int?](repeating: nil, count: tensorCount)
        var end = 0
        for life in lives.values.sorted(by: { ($1.bytes, $0.id) < ($0.bytes, $1.id) }) {
            var start = 0
            let neighbours = placed.filter { $0.life.overlaps(life) }.sorted { $0.start < $1.start }
            for neighbour in neighbours {
                if start + life.bytes <= neighbour.start { break }
                start = max(start, neighbour.start + neighbour.life.bytes)
            }
            placed.append((life, start))
            offsets[life.id] = start
            end = max(end, start + life.bytes)
        }
        self.offsets = offsets
        byteCount = end
    }

    private struct Life {
        let id: TensorID
        let bytes: Int
        let first: Int
        var last: Int

        init(_ tensor: PlannedTensor, first: Int, rows: Int, columns: Int) {
            id = tensor.id
            let size = tensor.count(rows: rows, columns: columns) * tensor.storedType.byteCount
            bytes = (size + AlignedMemory.padding + 63) / 64 * 64
            self.first = first
            last = first
        }

        func overlaps(_ other: Life) -> Bool { first <= other.last && other.first <= last }
    }
}
