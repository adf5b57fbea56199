/// What the symbols of a shape stand for.
extension GraphTensor {
    /// The extents of a step of `tokens` tokens whose last one sees `columns` columns.
    public func extents(tokens: Int, columns: Int) -> [Int] {
        shape.map { dimension in
            switch dimension {
            case .fixed(let extent): extent
            case .tokens: tokens
            case .context: columns
            }
        }
    }
}

/// Stored and centred integers of a tensor.
extension GraphTensor {
    /// The largest `|q − zeroPoint|` that the type and zero point allow.
    public var maximumMagnitude: UInt64 {
        let (range, zero) = (type.range, Int64(encoding.zeroPoint))
        return max((range.lowerBound - zero).magnitude, (range.upperBound - zero).magnitude)
    }

    /// The stored integer for a centred value: the zero point added, clamped to the type's range. A u32 keeps its bits.
    @inlinable public func stored(_ centred: Int64) -> Int32 {
        Int32(
            truncatingIfNeeded: min(
                max(centred &+ Int64(encoding.zeroPoint), type.range.lowerBound), type.range.upperBound))
    }

    /// `q − zeroPoint` of stored integers.
    func centred(_ q: ArraySlice<Int32>) -> [Int64] { q.map { Int64($0) &- Int64(encoding.zeroPoint) } }

    /// `scale · (q − zeroPoint)` of stored integers.
    func real(_ q: [Int32]) -> [Double] {
        let (scale, zero) = (Double(encoding.scale), Double(encoding.zeroPoint))
        return type == .u32
            ? q.map { scale * (Double(UInt32(bitPattern: $0)) - zero) } : q.map { scale * (Double($0) - zero) }
    }

    /// The last extent, where it is fixed.
    var width: Int { if case .fixed(let extent)? = shape.last { extent } else { 0 } }
}
