/// A set of scalar values as disjoint ranges in ascending order.
struct ScalarSet: Hashable, Sendable {
    private(set) var ranges: [ClosedRange<UInt32>]

    static let largest: UInt32 = 0x10_ffff

    /// The empty set.
    init() { ranges = [] }

    /// The union of ranges in any order. O(n log n).
    init(_ parts: [ClosedRange<UInt32>]) {
        ranges = []
        for part in parts.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = ranges.last, part.lowerBound <= last.upperBound &+ 1 {
                ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, part.upperBound)
            } else {
                ranges.append(part)
            }
        }
    }

    /// One scalar.
    init(_ value: UInt32) { ranges = [value...value] }

    /// One range.
    init(_ range: ClosedRange<UInt32>) { ranges = [range] }

    /// Logarithmic in the number of ranges.
    func contains(_ value: UInt32) -> Bool {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].lowerBound <= value
    }

    func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }

    var complement: ScalarSet {
        var gaps: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { gaps.append(next...range.lowerBound - 1) }
            next = range.upperBound + 1
        }
        if next <= Self.largest { gaps.append(next...Self.largest) }
        return ScalarSet(gaps)
    }

    func intersection(_ other: ScalarSet) -> ScalarSet { complement.union(other.complement).complement }
}
