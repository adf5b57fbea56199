/// GPT-2's alphabet: a printable scalar for each of the 256 bytes, in which byte-level vocabularies are written.
///
/// Bytes that are printable in Latin-1 stand for themselves, the other 68 for U+0100 and the following, in order.
enum ByteAlphabet {
    /// The scalar value of each byte.
    static let scalars: [UInt32] = {
        var next: UInt32 = 256
        return (UInt32(0)..<256).map { byte in
            if (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174 { return byte }
            defer { next += 1 }
            return next
        }
    }()

    /// The byte of a scalar value; nil outside the alphabet.
    static func byte(of value: UInt32) -> UInt8? { value < bytes.count ? bytes[Int(value)] : nil }

    private static let bytes: [UInt8?] = {
        var bytes = [UInt8?](repeating: nil, count: 324)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = UInt8(byte) }
        return bytes
    }()

    /// The bytes that a token spells, or nil if some scalar is outside the alphabet.
    static func bytes(of token: String) -> [UInt8]? {
        var result: [UInt8] = []
        for scalar in token.unicodeScalars {
            guard let byte = byte(of: scalar.value) else { return nil }
            result.append(byte)
        }
        return result
    }

    /// The scalar that spells a byte.
    static func string(of byte: UInt8) -> String {
        Unicode.Scalar(scalars[Int(byte)]).map { String(Character($0)) } ?? ""
    }
}
