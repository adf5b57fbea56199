/// Attention: products with the caches, mask, softmax and its late-division form.
///
/// A cache is `[column, keyValueHeads, headDimension]`, stored u8 with zero point 128; query head h reads key/value head
/// `h / (heads / keyValueHeads)`. Scores are `[heads, tokens, context]`; token t sees columns `0 … position + t`.
extension ReferenceOperations {
    /// Σ_d q·k for every column: scores.
    static func queryKey(
        _ q: [Int32], _ input: GraphTensor, _ cache: [UInt8], _ description: CacheState, tokens: Int,
        _ multiplier: DyadicMultiplier, to output: GraphTensor
    ) -> [Int32] {
        let (size, columnWidth) = (description.headDimension, description.keyValueHeads * description.headDimension)
        let (heads, context) = (q.count / tokens / size, cache.count / columnWidth)
        var result: [Int32] = []
        result.reserveCapacity(heads * tokens * context)
        for head in 0..<heads {
            let keyHead = head / (heads / description.keyValueHeads)
            for token in 0..<tokens {
                let start = (token * heads + head) * size
                let query = q[start..<start + size].map { Int16(truncatingIfNeeded: $0 &- input.encoding.zeroPoint) }
                for column in 0..<context {
                    let sum = cache.withUnsafeBufferPointer { cache in
                        query.withUnsafeBufferPointer { query in
                            let key = column &* columnWidth &+ keyHead &* size
                            var sum: Int32 = 0  // at most 255 · 128 · headDimension
                            for index in 0..<size {
                                sum &+= Int32(query[index]) &* (Int32(cache[key &+ index]) &- 128)
                            }
                            return sum
                        }
                    }
                    result.append(output.stored(multiplier.rescale(Int64(sum))))
                }
            }
        }
        return result
    }

    /// Σ_columns p·v; masked columns have p = 0.
    static func weightedValues(
        _ q: [Int32], _ input: GraphTensor, _ cache: [UInt8], _ description: CacheState, tokens: Int,
        _ multiplier: DyadicMultiplier, to output: GraphTensor
    ) -> [Int32] {
        let context = cache.count / (description.keyValueHeads * description.headDimension)
        return forEachRow(q, cache, description, tokens: tokens) { row, values in
            values(0..<context, { Int64(row[$0]) }).map { output.stored(multiplier.rescale($0)) }
        }
    }

    /// (Σ e·v + Σ w·v_prefix)/(Σ e + Σ w) with one reciprocal a row.
    static func lateAttention(
        _ exponentials: [Int32], prefixWeights: [Int32], _ cache: [UInt8], _ description: CacheState, tokens: Int,
        prefix: Int, _ rho: DyadicMultiplier, to output: GraphTensor
    ) -> [Int32] {
        let context = cache.count / (description.keyValueHeads * description.headDimension)
        var rowIndex = 0
        return forEachRow(exponentials, cache, description, tokens: tokens) { row, values in
            let weights = prefixWeights[rowIndex * prefix..<(rowIndex + 1) * prefix].map {
                Int64(UInt32(bitPattern: $0))
            }
            rowIndex += 1
            let weight: (Int) -> Int64 = { $0 < prefix ? weights[$0] : Int64(row[$0]) }
            let numerators = values(0..<context, weight)
            let mass = (0..<context).reduce(0) { $0 &+ weight($1) }
            let bits = 64 - mass.leadingZeroBitCount
            let precision = min(30, 54 - bits)
            let extra = Int64(max(0, precision + bits - 31))
            let reciprocal = (rho.multiplier &<< extra) / mass
            let shift = rho.shift + extra
            return numerators.map { output.stored(($0 &* reciprocal &+ (1 &<< (shift &- 1))) &>> shift) }
        }
    }

    /// Calls `body` for every row (head, token) of `[heads, tokens, context]` and collects `[tokens, heads · d]`.
    ///
    /// `body` gets the row, and a function that sums weight(column)·(v − 128) over columns, `[d]`.
    private static func forEachRow(
        _ q: [Int32], _ cache: [UInt8], _ description: CacheState, tokens: Int,
        body: (ArraySlice<Int32>.SubSequence, (Range<Int>, (Int) -> Int64) -> [Int64]) -> [Int32]
    ) -> [Int32] {
        let (size, columnWidth) = (description.headDimension, description.keyValueHeads * description.headDimension)
        let context = cache.count / columnWidth
        let heads = q.count / tokens / context
        var result = [Int32](repeating: 0, count: tokens * heads * size)
        for head in 0..<heads {
            let valueHead = head / (heads / description.keyValueHeads)
            for token in 0..<tokens {
                let start = (head * tokens + token) * context
                let values = body(Array(q[start..<start + context])[...]) { columns, weight in
                    var sums = [Int64](repeating: 0, count: size)
                    for column in columns {
                        let (factor, value) = (weight(column), column * columnWidth + valueHead * size)
                        if factor == 0 { continue }
                        for index in 0..<size { sums[index] &+= factor &* (Int64(cache[value + index]) &- 128) }
                    }
                    return sums
                }
                let place = (token * heads + head) * size
                result.replaceSubrange(place..<place + size, with: values)
            }
        }
        return result
    }

    /// Later columns get the type's lowest value.
    static func mask(_ q: [Int32], tokens: Int, position: Int, to output: GraphTensor) -> [Int32] {
        let (context, lowest) = (position + tokens, Int32(truncatingIfNeeded: output.type.range.lowerBound))
        return q.enumerated().map { index, value in
            index % context <= position + index / context % tokens ? value : lowest
        }
    }

    /// Probabilities in steps of 1/65,535.
    static func softmax(_ q: [Int32], tokens: Int, position: Int, _ multiplier: DyadicMultiplier) -> [Int32] {
        let context = position + tokens
        var result: [Int32] = []
        result.reserveCapacity(q.count)
        for start in stride(from: 0, to: q.count, by: context) {
            let visible = position + start / context % tokens + 1
            let row = softmaxRow(q[start..<start + visible], multiplier)
            result += row + [Int32](repeating: 0, count: context - visible)
        }
        return result
    }

    /// One row of visible scores: 30-bit exponentials, their exact sum, one normalised reciprocal.
    public static func softmaxRow(_ scores: ArraySlice<Int32>, _ multiplier: DyadicMultiplier) -> [Int32] {
        let maximum = Int64(scores.max() ?? 0)
        let exponentials = scores.map {
            FixedPoint.exponential(unit: 1 << 30, exponent: multiplier.rescale(Int64($0) &- maximum))
        }
        let sum = exponentials.reduce(0, &+)
        let shift = Int64(64 - sum.leadingZeroBitCount) + 14
        let reciprocal = Int64((UInt128(65535) << UInt128(shift)) / UInt128(sum))
        return exponentials.map { Int32(truncatingIfNeeded: ($0 &* reciprocal &+ (1 &<< (shift &- 1))) &>> shift) }
    }

    /// exp(score − m), m the maximum over the row's visible columns after the prefix, and the prefix's weights apart.
    static func exponential(
        _ q: [Int32], tokens: Int, position: Int, prefix: Int, _ multiplier: DyadicMultiplier, to output: GraphTensor
    ) -> (exponentials: [Int32], prefixWeights: [Int32]) {
        let (context, unit) = (position + tokens, output.type.range.upperBound)
        var (exponentials, weights): ([Int32], [Int32]) = ([], [])
        exponentials.reserveCapacity(q.count)
        for start in stride(from: 0, to: q.count, by: context) {
            let visible = position + start / context % tokens + 1
            let maximum = Int64(q[start + prefix..<start + visible].max() ?? 0)
            for column in 0..<context {
                guard column < visible else {
                    exponentials.append(0)
                    continue
                }
                let exponent = multiplier.rescale(Int64(q[start + column]) &- maximum)
                let value = Int32(truncatingIfNeeded: FixedPoint.exponential(unit: unit, exponent: exponent))
                exponentials.append(column < prefix ? 0 : value)
                if column < prefix { weights.append(value) }
            }
        }
        return (exponentials, weights)
    }
}
