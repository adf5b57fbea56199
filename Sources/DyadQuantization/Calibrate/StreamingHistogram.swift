/// A histogram of a stream of values whose range need not be known: it covers `[−limit, limit)` and doubles `limit`,
/// merging bins in pairs, whenever a larger value arrives.
///
/// Deterministic: the counts depend only on the multiset of values and the order of magnitude at which each arrived.
/// Memory is `binCount` numbers, whatever the length of the stream.
struct StreamingHistogram: Equatable, Sendable {
    /// Fixed and even; 32 bins for each of 256 steps when a range fills one side.
    static let binCount = 16384

    /// Values in each bin, or the sum of their weights.
    private(set) var counts = [Double](repeating: 0, count: binCount)
    private(set) var limit: Float = 1.0 / 1024
    /// Exact extremes of everything added.
    private(set) var minimum: Float = .infinity
    private(set) var maximum: Float = -.infinity

    var isEmpty: Bool { minimum > maximum }
    var binWidth: Double { 2 * Double(limit) / Double(Self.binCount) }

    /// Makes room for values in `[minimum, maximum]`, both finite.
    mutating func widen(minimum low: Float, maximum high: Float) {
        minimum = min(minimum, low)
        maximum = max(maximum, high)
        while limit <= max(abs(low), abs(high)) {
            limit *= 2
            var merged = [Double](repeating: 0, count: Self.binCount)
            for index in 0..<Self.binCount / 2 {
                merged[Self.binCount / 4 + index] = counts[2 * index] + counts[2 * index + 1]
            }
            counts = merged
        }
    }

    /// Adds counts taken over the present `[−limit, limit)`.
    mutating func add(_ more: [Double]) {
        for index in counts.indices { counts[index] += more[index] }
    }

    /// Adds values one by one (tests; the calibrator counts with the tensor library).
    mutating func add(values: [Float]) {
        guard let low = values.min(), let high = values.max() else { return }
        widen(minimum: low, maximum: high)
        for value in values {
            let bin = Int(((Double(value) + Double(limit)) / binWidth).rounded(.down))
            counts[min(max(bin, 0), Self.binCount - 1)] += 1
        }
    }

    /// The occupied bins as (centre, count).
    var occupied: [(value: Double, count: Double)] {
        counts.enumerated().compactMap { index, count in
            count == 0 ? nil : (-Double(limit) + (Double(index) + 0.5) * binWidth, count)
        }
    }

    /// Mean, variance and kurtosis (fourth moment over squared variance), to a bin's width; 0, 0 and 3 for a constant 0.
    var moments: (mean: Double, variance: Double, kurtosis: Double) {
        let bins = occupied
        let total = bins.reduce(0) { $0 + $1.count }
        guard total > 0 else { return (0, 0, 3) }
        let mean = bins.reduce(0) { $0 + $1.count * $1.value } / total
        var (second, fourth) = (0.0, 0.0)
        for (value, count) in bins {
            let square = (value - mean) * (value - mean)
            second += count * square
            fourth += count * square * square
        }
        (second, fourth) = (second / total, fourth / total)
        return (mean, second, second > 0 ? fourth / (second * second) : 3)
    }

    /// The value below which the given share of the stream lies, to a bin's width.
    func quantile(_ share: Double) -> Double {
        let total = counts.reduce(0, +)
        var sum = 0.0
        for (index, count) in counts.enumerated() {
            sum += count
            if sum >= share * total {
                let value = -Double(limit) + (Double(index) + 0.5) * binWidth
                return min(max(value, Double(minimum)), Double(maximum))
            }
        }
        return Double(maximum)
    }
}
