/// A string whose equality and hash are those of its UTF-8 bytes.
///
/// Swift's `String` compares by canonical equivalence, so that "é" written as one scalar equals "e" followed by
/// a combining accent. In file formats, and in vocabularies above all, those are two different keys.
public struct ExactString: Hashable, Sendable {
    /// The string itself.
    public let string: String

    /// Wraps a string.
    @inlinable
    public init(_ string: String) {
        var native = string
        native.makeContiguousUTF8()
        self.string = native
    }

    /// Whether both strings have the same bytes. Linear in the length.
    @inlinable
    public static func == (left: ExactString, right: ExactString) -> Bool {
        let same = left.string.utf8.withContiguousStorageIfAvailable { first in
            right.string.utf8.withContiguousStorageIfAvailable { second in first.elementsEqual(second) }
        }
        return (same ?? nil) ?? left.string.utf8.elementsEqual(right.string.utf8)
    }

    /// Feeds the bytes to the hasher. Linear in the length.
    @inlinable
    public func hash(into hasher: inout Hasher) {
        let fed: Void? = string.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if fed == nil {
            for byte in string.utf8 { hasher.combine(byte) }
        }
    }
}
