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
    /// - Cost: about linear in the number of tensors.
    init(
        operations: [any PlannedOperation], tensorCount: Int, kept: [TensorID], rows: Int, columns: Int, isWatched: Bool
    ) {
        var places = [Int?](repeating: nil, count: tensorCount)
        var lives: [Life] = []
        for (step, operation) in operations.enumerated() {
            for tensor in operation.outputs + (isWatched ? operation.internals : []) {
                places[tensor.id] = lives.count
                lives.append(Life(tensor, first: step, rows: rows, columns: columns))
            }
            for input in operation.inputs {
                if let place = places[input] { lives[place].last = step }
            }
        }
        for tensor in kept {
            if let place = places[tensor] { lives[place].last = operations.count }
        }

        // The largest first, each at the lowest place where no living neighbour is.
        var placed = PlacedLives(steps: operations.count + 1)
        var offsets = [Int?](repeating: nil, count: tensorCount)
        var end = 0
        for life in lives.sorted(by: { ($1.bytes, $0.id) < ($0.bytes, $1.id) }) {
            var start = 0
            if let neighbours = placed.neighbours(of: life) {
                for neighbour in neighbours.sorted(by: { $0.start < $1.start }) {
                    if start + life.bytes <= neighbour.start { break }
                    start = max(start, neighbour.start + neighbour.life.bytes)
                }
            } else {
                start = end
            }
            placed.insert(life, at: start)
            offsets[life.id] = start
            end = max(end, start + life.bytes)
        }
        self.offsets = offsets
        byteCount = end
    }
}

/// From where to where in a plan a tensor is needed, and how large it is.
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
}

/// The tensors that have a place, found by the steps in which they live: a tree over the steps, each node with the lives that
/// span its steps.
private struct PlacedLives {
    typealias Placed = (life: Life, start: Int)

    private let steps: Int
    /// Node n has the nodes 2n and 2n + 1 below it; step s is the node `steps + s`.
    private var spanning: [[Placed]]
    private var beginning: [[Placed]]

    /// Neighbours, and steps of a life, up to which a tensor's place is searched. A decoder has some ten of each.
    private static let limit = 256

    init(steps: Int) {
        self.steps = steps
        spanning = Array(repeating: [], count: 2 * steps)
        beginning = Array(repeating: [], count: steps)
    }

    mutating func insert(_ life: Life, at start: Int) {
        beginning[life.first].append((life, start))
        var (low, high) = (life.first + steps, life.last + steps + 1)
        while low < high {
            if low % 2 == 1 {
                spanning[low].append((life, start))
                low += 1
            }
            if high % 2 == 1 {
                high -= 1
                spanning[high].append((life, start))
            }
            (low, high) = (low / 2, high / 2)
        }
    }

    /// The placed tensors that live at the same time; nil where there are too many to look at.
    func neighbours(of life: Life) -> [Placed]? {
        guard life.last - life.first <= 16 * Self.limit else { return nil }
        var found: [Placed] = []
        for step in life.first...life.last {
            found += beginning[step].prefix(Self.limit)
            guard found.count < Self.limit else { return nil }
        }
        var node = life.first + steps
        while node > 0 {
            for placed in spanning[node] where placed.life.first < life.first {
                found.append(placed)
                guard found.count < Self.limit else { return nil }
            }
            node /= 2
        }
        return found
    }
}
