import DyadGraph

/// The table of a unary function between two encodings: entry q of the input is the rounded output integer.
enum ActivationTable {
    /// 256 entries for a u8 input, 65,536 for u16; bytes little-endian in the output's type.
    static func bytes(
        _ function: (Double) -> Double, input: GraphTensor, output: GraphTensor
    ) -> [UInt8] {
        let range = output.type.range
        let integers: [UInt16] = (0..<(1 << input.type.bitWidth)).map { q in
            let x = Double(input.encoding.scale) * Double(Int32(q) - input.encoding.zeroPoint)
            let y = (function(x) / Double(output.encoding.scale) + 0.5).rounded(.down)
            let shifted = min(max(y, -1e6), 1e6) + Double(output.encoding.zeroPoint)
            return UInt16(min(max(shifted, Double(range.lowerBound)), Double(range.upperBound)))
        }
        return output.type == .u16 ? littleEndian(integers) : integers.map { UInt8(truncatingIfNeeded: $0) }
    }
}
