/// A Hadamard matrix: entries ±1, orthogonal rows, `H·Hᵀ = order · 1`.
///
/// Constructions: Sylvester's doubling for powers of two; Paley's two from quadratic residues (R. Paley, "On orthogonal
/// matrices", J. Math. Phys. 12, 1933) for primes q: type I of order q + 1 where q ≡ 3 (mod 4), type II of order
/// 2(q + 1) where q ≡ 1 (mod 4).
public struct HadamardMatrix: Equatable, Sendable {
    /// Rows of ±1.
    public let rows: [[Int8]]
    /// The number of rows.
    public var order: Int { rows.count }
    /// The rows as strings of `+` and `-`: ``Operation/Hadamard/base``.
    public var signs: [String] {
        rows.map { row in String(decoding: row.map { $0 > 0 ? 0x2B : 0x2D as UInt8 }, as: UTF8.self) }
    }

    private init(rows: [[Int8]]) { self.rows = rows }

    /// From rows of `+` and `-`; nil unless they make a Hadamard matrix of order ≤ 1024.
    public init?(signs: [String]) {
        let order = signs.count
        guard (1...GraphLimits.hadamardOrder).contains(order) else { return nil }
        var rows: [[Int8]] = []
        // A bit for every minus: two rows are orthogonal where they differ in half of the places.
        var bits: [[UInt64]] = []
        for text in signs {
            guard text.utf8.count == order, text.utf8.allSatisfy({ $0 == 0x2B || $0 == 0x2D }) else { return nil }
            rows.append(text.utf8.map { $0 == 0x2B ? 1 : -1 })
            var words = [UInt64](repeating: 0, count: (order + 63) / 64)
            for (index, sign) in text.utf8.enumerated() where sign == 0x2D { words[index / 64] |= 1 << (index % 64) }
            for other in bits {
                guard zip(words, other).reduce(0, { $0 + ($1.0 ^ $1.1).nonzeroBitCount }) * 2 == order else {
                    return nil
                }
            }
            bits.append(words)
        }
        self.init(rows: rows)
    }

    /// Sylvester's matrix of order `power`, a power of two: entry (i, j) is (−1)^popcount(i & j).
    public static func sylvester(_ power: Int) -> HadamardMatrix {
        precondition(power > 0 && power.nonzeroBitCount == 1)
        return HadamardMatrix(
            rows: (0..<power).map { row in (0..<power).map { (row & $0).nonzeroBitCount % 2 == 0 ? 1 : -1 } })
    }

    /// The Kronecker product `self ⊗ other`: index = own index · other.order + other index.
    public func kronecker(_ other: HadamardMatrix) -> HadamardMatrix {
        HadamardMatrix(
            rows: rows.flatMap { row in other.rows.map { inner in row.flatMap { a in inner.map { a * $0 } } } })
    }

    /// Paley's matrix of `order`, or nil where no prime gives one.
    public static func paley(_ order: Int) -> HadamardMatrix? {
        guard order >= 4, order % 4 == 0 else { return nil }
        return paleyI(order - 1) ?? paleyII(order / 2 - 1)
    }

    /// A matrix of `order`: Sylvester's, Paley's or a Kronecker product of them; nil where there is none of these (3, 10,
    /// but also 92 and 172, whose matrices are of other kinds).
    public static func make(_ order: Int) -> HadamardMatrix? {
        guard order > 0 else { return nil }
        if order.nonzeroBitCount == 1 { return sylvester(order) }
        if let matrix = paley(order) { return matrix }
        for factor in stride(from: 2, through: order / 2, by: 2) where order % factor == 0 {
            if let matrix = paley(order / factor), let rest = make(factor) { return matrix.kronecker(rest) }
        }
        return nil
    }

    /// How a width is cut into equal blocks of order `base.order · power`.
    public struct Block: Equatable, Sendable {
        /// The matrix beside Sylvester's.
        public let base: HadamardMatrix
        /// The order of Sylvester's matrix.
        public let power: Int
        /// How many blocks stand side by side; 1 where the whole width is one.
        public let count: Int
        /// Channels of a block.
        public var size: Int { base.order * power }
    }

    /// The largest block `base ⊗ Sylvester(power)` whose size divides `width`, with the smallest base that makes it.
    ///
    /// 1536 → 12 ⊗ 128, 576 → 36 ⊗ 16, 2048 → 1 ⊗ 2048; 11008 = 172 · 64 → 43 blocks of 256, for 172 has no Paley
    /// matrix. A base has at most 512 rows. Any width works: an odd one gives blocks of 1.
    public static func largestBlock(dividing width: Int) -> Block {
        precondition(width > 0)
        let twos = width & -width
        var best = Block(base: sylvester(1), power: twos, count: width / twos)
        // A base of order ≡ 4 (mod 8) or a multiple; its own twos come out of the width's.
        for order in stride(from: 12, through: min(width, 512), by: 4)
        where width % order == 0 && order.nonzeroBitCount > 1 {
            let power = (width / order) & -(width / order)
            guard order * power > best.size, let base = make(order) else { continue }
            best = Block(base: base, power: power, count: width / (order * power))
        }
        return best
    }

    // MARK: Paley

    private static func isPrime(_ number: Int) -> Bool {
        number >= 2 && !(2...).prefix { $0 * $0 <= number }.contains { number % $0 == 0 }
    }

    /// χ: 1 for nonzero squares modulo q, −1 for the others, 0 for 0.
    private static func quadraticCharacter(_ q: Int) -> [Int8] {
        var character = [Int8](repeating: -1, count: q)
        character[0] = 0
        for number in 1..<q { character[number * number % q] = 1 }
        return character
    }

    /// 1 + S with the skew S = (0, 1; −1, Q), Q[i][j] = χ(i − j).
    private static func paleyI(_ q: Int) -> HadamardMatrix? {
        guard q % 4 == 3, isPrime(q) else { return nil }
        let character = quadraticCharacter(q)
        var rows = [[Int8](repeating: 1, count: q + 1)]
        for i in 0..<q {
            rows.append([-1] + (0..<q).map { j in i == j ? 1 : character[(i - j + q) % q] })
        }
        return HadamardMatrix(rows: rows)
    }

    /// Each entry of the symmetric conference matrix C = (0, 1; 1, Q) becomes 2 × 2: 0 → (1, −1; −1, −1), ±1 → ±(1, 1; 1, −1).
    private static func paleyII(_ q: Int) -> HadamardMatrix? {
        guard q % 4 == 1, isPrime(q) else { return nil }
        let character = quadraticCharacter(q)
        var rows: [[Int8]] = []
        for i in 0...q {
            var (upper, lower): ([Int8], [Int8]) = ([], [])
            for j in 0...q {
                let entry: Int8 = i == j ? 0 : i == 0 || j == 0 ? 1 : character[(i - j + q) % q]
                upper += entry == 0 ? [1, -1] : [entry, entry]
                lower += entry == 0 ? [-1, -1] : [entry, -entry]
            }
            rows += [upper, lower]
        }
        return HadamardMatrix(rows: rows)
    }
}
