/// Hadamard matrices: entries ±1, orthogonal rows.
///
/// Powers of two by Sylvester's construction, q + 1 for primes q ≡ 3 (mod 4) and 2(q + 1) for primes q ≡ 1 (mod 4) by
/// Paley's, and products of these by the Kronecker product.
public enum HadamardMatrix {
    /// Rows of a Hadamard matrix of `order` without a Sylvester factor if one is known: `[[1]]` for powers of two,
    /// a Paley matrix or a product of two for other multiples of four; nil where we know none.
    ///
    /// `order` is the odd part times the smallest power of two that gives one, see ``largestBlock(dividing:)``.
    public static func rows(order: Int) -> [[Int8]]? {
        guard order > 1 else { return order == 1 ? [[1]] : nil }
        if order == 2 { return [[1, 1], [1, -1]] }
        guard order % 4 == 0 else { return nil }
        if isPrime(order - 1) { return paleyI(order - 1) }
        if isPrime(order / 2 - 1), (order / 2 - 1) % 4 == 1 { return paleyII(order / 2 - 1) }
        // A product of two smaller ones.
        for factor in stride(from: 2, through: order / 2, by: 2) where order % factor == 0 {
            if let left = rows(order: factor), let right = rows(order: order / factor) {
                return kronecker(left, right)
            }
        }
        return nil
    }

    /// The largest order `base · power` (power of two) that divides `width` and that we can construct, as the rows of the
    /// base, the power, and how many such blocks fill the width.
    ///
    /// The base is as small as possible: 12 × 128 for 1536, 1 × 2048 for 2048, 36 × 16 for 576.
    public static func largestBlock(dividing width: Int) -> (base: [[Int8]], power: Int, count: Int) {
        precondition(width > 0)
        let twos = 1 << width.trailingZeroBitCount
        let odd = width / twos
        // The odd divisors, largest first: each with the fewest twos that make it constructible.
        for divisor in stride(from: odd, through: 1, by: -2) where odd % divisor == 0 {
            var factor = 1
            while factor <= twos {
                if let base = rows(order: divisor * factor), divisor > 1 || factor == 1 {
                    return (base, twos / factor, odd / divisor)
                }
                factor *= 2
            }
        }
        return ([[1]], twos, odd)
    }

    static func isPrime(_ value: Int) -> Bool {
        guard value > 1 else { return false }
        var divisor = 2
        while divisor * divisor <= value {
            if value % divisor == 0 { return false }
            divisor += 1
        }
        return true
    }

    /// 0, 1 or −1: whether a number is a square modulo the prime.
    private static func legendre(_ prime: Int) -> [Int8] {
        var symbols = [Int8](repeating: -1, count: prime)
        symbols[0] = 0
        for value in 1..<prime { symbols[value * value % prime] = 1 }
        return symbols
    }

    /// Paley's first construction, order q + 1 for a prime q ≡ 3 (mod 4): I + S with S skew.
    private static func paleyI(_ q: Int) -> [[Int8]]? {
        guard q % 4 == 3 else { return nil }
        let symbols = legendre(q)
        return (0...q).map { row in
            (0...q).map { column in
                if row == 0 { return 1 }
                if column == 0 { return -1 }
                if row == column { return 1 }
                return symbols[((column - row) % q + q) % q]
            }
        }
    }

    /// Paley's second construction, order 2(q + 1) for a prime q ≡ 1 (mod 4), from the symmetric conference matrix.
    private static func paleyII(_ q: Int) -> [[Int8]] {
        let symbols = legendre(q)
        let conference: [[Int8]] = (0...q).map { row in
            (0...q).map { column in
                if row == column { return 0 }
                if row == 0 || column == 0 { return 1 }
                return symbols[((column - row) % q + q) % q]
            }
        }
        // 0 becomes [1 −1; −1 −1], ±1 becomes ±[1 1; 1 −1].
        return (0..<2 * (q + 1)).map { row in
            (0..<2 * (q + 1)).map { column in
                let entry = conference[row / 2][column / 2]
                let (r, c) = (row % 2, column % 2)
                if entry == 0 { return r == 0 && c == 0 ? 1 : -1 }
                return r == 1 && c == 1 ? -entry : entry
            }
        }
    }

    private static func kronecker(_ left: [[Int8]], _ right: [[Int8]]) -> [[Int8]] {
        left.flatMap { leftRow in
            right.map { rightRow in leftRow.flatMap { l in rightRow.map { l * $0 } } }
        }
    }
}
