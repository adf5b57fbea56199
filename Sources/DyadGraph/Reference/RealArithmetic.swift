#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Float64 functions of the exact meanings. The names keep the system's library out of files that say `Operation`.
enum RealArithmetic {
    static func exponential(_ x: Double) -> Double { exp(x) }
    static func hyperbolicTangent(_ x: Double) -> Double { tanh(x) }
    static func errorFunction(_ x: Double) -> Double { erf(x) }

    /// Σ a·b over `count` elements, in eight partial sums, as wide as the machine likes.
    static func dot(_ a: [Double], at first: Int, _ b: [Double], at second: Int, count: Int) -> Double {
        precondition(first >= 0 && second >= 0 && first + count <= a.count && second + count <= b.count)
        return a.withUnsafeBytes { a in
            b.withUnsafeBytes { b in
                var sums = SIMD8<Double>.zero
                let (whole, size) = (count & ~7, MemoryLayout<Double>.stride)
                for index in stride(from: 0, to: whole, by: 8) {
                    sums +=
                        a.loadUnaligned(fromByteOffset: (first + index) * size, as: SIMD8<Double>.self)
                        * b.loadUnaligned(fromByteOffset: (second + index) * size, as: SIMD8<Double>.self)
                }
                var sum = sums.sum()
                for index in whole..<count {
                    sum +=
                        a.loadUnaligned(fromByteOffset: (first + index) * size, as: Double.self)
                        * b.loadUnaligned(fromByteOffset: (second + index) * size, as: Double.self)
                }
                return sum
            }
        }
    }
}
