/// Joins the symbols of one piece: again and again the adjacent pair of the lowest rank, the leftmost of equals.
///
/// Symbols are a doubly linked list, candidate pairs a binary heap of `rank << 32 | position`; a candidate is void
/// when its position no longer holds a pair of that rank. n symbols take O(n log n), whatever the text.
struct MergeQueue {
    /// The symbols; only those that ``symbols`` walks over are alive.
    private var ids: [Int32] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    /// The rank of the pair that starts at a position; -1 for none.
    private var ranks: [Int32] = []
    private var heap: [UInt64] = []

    /// Joins all that can be joined and appends the symbols that remain.
    mutating func merge(_ symbols: [Int32], with merges: MergeTable, into output: inout [Int32]) {
        guard symbols.count > 1 else { return output.append(contentsOf: symbols) }
        load(symbols, merges)
        while let top = pop() {
            let position = Int(truncatingIfNeeded: top & 0xffff_ffff)
            guard ranks[position] == Int32(truncatingIfNeeded: top >> 32) else { continue }
            let right = Int(next[position])
            guard let merge = merges[ids[position], ids[right]] else { continue }
            ids[position] = merge.id
            ranks[right] = -1
            next[position] = next[right]
            if next[right] >= 0 { previous[Int(next[right])] = Int32(position) }
            consider(position, merges)
            if previous[position] >= 0 { consider(Int(previous[position]), merges) }
        }
        var position = 0
        while position >= 0 {
            output.append(ids[position])
            position = Int(next[position])
        }
    }

    private mutating func load(_ symbols: [Int32], _ merges: MergeTable) {
        let count = symbols.count
        ids.removeAll(keepingCapacity: true)
        next.removeAll(keepingCapacity: true)
        previous.removeAll(keepingCapacity: true)
        ranks.removeAll(keepingCapacity: true)
        heap.removeAll(keepingCapacity: true)
        ids.append(contentsOf: symbols)
        for position in 0..<count {
            next.append(position + 1 < count ? Int32(position + 1) : -1)
            previous.append(Int32(position - 1))
            var rank: Int32 = -1
            if position + 1 < count, let merge = merges[symbols[position], symbols[position + 1]] { rank = merge.rank }
            ranks.append(rank)
            if rank >= 0 { heap.append(UInt64(rank) << 32 | UInt64(position)) }
        }
        for place in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sift(down: place) }
    }

    /// Notes the pair that starts at a position, which has changed.
    private mutating func consider(_ position: Int, _ merges: MergeTable) {
        let right = next[position]
        guard right >= 0, let merge = merges[ids[position], ids[Int(right)]] else {
            ranks[position] = -1
            return
        }
        ranks[position] = merge.rank
        heap.append(UInt64(merge.rank) << 32 | UInt64(position))
        var place = heap.count - 1
        let item = heap[place]
        while place > 0 {
            let parent = (place - 1) / 2
            guard item < heap[parent] else { break }
            heap[place] = heap[parent]
            place = parent
        }
        heap[place] = item
    }

    private mutating func pop() -> UInt64? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            sift(down: 0)
        }
        return top
    }

    private mutating func sift(down start: Int) {
        let count = heap.count
        var place = start
        let item = heap[place]
        while true {
            var child = 2 * place + 1
            guard child < count else { break }
            if child + 1 < count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < item else { break }
            heap[place] = heap[child]
            place = child
        }
        heap[place] = item
    }
}

/// Which pairs of symbols may be joined, in which order of preference, and to what.
struct MergeTable: Sendable {
    struct Merge: Sendable {
        /// Lower ranks are joined first. Not negative.
        var rank: Int32
        var id: Int32
    }

    private var merges: [UInt64: Merge] = [:]

    /// The merge of a pair of symbols.
    @inline(__always)
    subscript(left: Int32, right: Int32) -> Merge? { merges[Self.key(left, right)] }

    /// Adds a merge; a pair that is there already keeps the better rank.
    mutating func insert(_ left: Int32, _ right: Int32, rank: Int32, id: Int32) {
        let key = Self.key(left, right)
        if let known = merges[key], known.rank <= rank { return }
        merges[key] = Merge(rank: rank, id: id)
    }

    mutating func reserveCapacity(_ count: Int) { merges.reserveCapacity(count) }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }
}
