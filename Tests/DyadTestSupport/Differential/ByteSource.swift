/// Choices read from bytes, so that a fuzzer that changes a byte changes a choice. Behind the last byte every choice is the first.
public struct ByteSource: Sendable {
    private let bytes: [UInt8]
    private var position = 0

    /// Choices from `bytes`.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Bytes that a seed decides, `count` of them.
    public static func bytes(seed: UInt64, count: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next() >> 24) }
    }

    /// Whether all bytes are used.
    var isEmpty: Bool { position >= bytes.count }

    /// A number in 0 ..< `count`, from one byte (two where one is too few).
    mutating func choose(_ count: Int) -> Int {
        var value = byte()
        if count > 256 { value = value << 8 | byte() }
        return value % max(count, 1)
    }

    /// True once in `times`; false where the bytes have ended.
    mutating func oneIn(_ times: Int) -> Bool { choose(times) == times - 1 }

    /// One of `elements`, the first where the bytes have ended.
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[choose(elements.count)] }

    /// 64 bits from eight bytes.
    mutating func word() -> UInt64 { (0..<8).reduce(0) { word, _ in word << 8 | UInt64(byte()) } }

    private mutating func byte() -> Int {
        guard position < bytes.count else { return 0 }
        defer { position += 1 }
        return Int(bytes[position])
    }
}
