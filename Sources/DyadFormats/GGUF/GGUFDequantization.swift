// The block layouts of GGUF, as published with ggml. `d` and `m` are binary16 scale and minimum. Every formula is
// evaluated in binary32 in the order of the reference, without fused multiply-add, so the results are equal to the
// last bit to those of ggml and of the Python package `gguf`.

extension GGUFTensorType {
    /// Writes the value of every element.
    /// - Parameters:
    ///   - bytes: whole blocks; need not be aligned.
    ///   - output: as many elements as the blocks hold; may be uninitialised.
    /// - Complexity: linear; more than 1 G elements/s where memory keeps up.
    public func dequantize(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableBufferPointer<Float>) {
        let blocks = bytes.count / blockBytes
        precondition(bytes.count == blocks * blockBytes && output.count == blocks * blockSize)
        guard let source = bytes.baseAddress, let start = output.baseAddress else { return }
        switch self {
        case .f32: UnsafeMutableRawPointer(start).copyMemory(from: source, byteCount: bytes.count)
        case .f64:
            for i in 0..<blocks { start[i] = Float(source.loadUnaligned(fromByteOffset: 8 * i, as: Double.self)) }
        case .f16: for i in 0..<blocks { start[i] = half(source, 2 * i) }
        case .bf16:
            for i in 0..<blocks {
                let bits = source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
                start[i] = Float(bitPattern: UInt32(bits) << 16)
            }
        case .q40: each(blocks, source, start, decodeQ40)
        case .q41: each(blocks, source, start, decodeQ41)
        case .q50: each(blocks, source, start, decodeQ50)
        case .q51: each(blocks, source, start, decodeQ51)
        case .q80: each(blocks, source, start, decodeQ80)
        case .q2K: each(blocks, source, start, decodeQ2K)
        case .q3K: each(blocks, source, start, decodeQ3K)
        case .q4K: each(blocks, source, start, decodeQ4K)
        case .q5K: each(blocks, source, start, decodeQ5K)
        case .q6K: each(blocks, source, start, decodeQ6K)
        }
    }

    @inline(__always)
    private func each(
        _ blocks: Int, _ source: UnsafeRawPointer, _ output: UnsafeMutablePointer<Float>,
        _ decode: (UnsafePointer<UInt8>, UnsafeMutablePointer<Float>) -> Void
    ) {
        let bytes = source.assumingMemoryBound(to: UInt8.self)
        let (step, size) = (blockBytes, blockSize)
        for block in 0..<blocks { decode(bytes + block * step, output + block * size) }
    }
}

/// A binary16 as binary32, exactly, without relying on a type that not every machine has.
@inline(__always)
private func half(_ source: UnsafeRawPointer, _ offset: Int) -> Float {
    let bits = UInt32(source.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    // Shifted into place the exponent is 112 too small; multiplying corrects it for subnormal numbers too.
    let magnitude = Float(bitPattern: (bits & 0x7fff) << 13) * 0x1p112
    let special: UInt32 = bits & 0x7c00 == 0x7c00 ? 0x7f80_0000 : 0  // infinity or NaN
    return Float(bitPattern: magnitude.bitPattern | special | (bits & 0x8000) << 16)
}

/// 16 bytes of nibbles: the low ones are elements 0 to 15, the high ones 16 to 31.
@inline(__always)
private func nibbles(
    _ q: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>, _ value: (Int32) -> Float
) {
    for j in 0..<16 { y[j] = value(Int32(q[j] & 15)) }
    for j in 0..<16 { y[j + 16] = value(Int32(q[j] >> 4)) }
}

/// The same with a fifth bit for each element in a 32-bit mask.
@inline(__always)
private func nibbles(
    _ q: UnsafePointer<UInt8>, fifth: UInt32, _ y: UnsafeMutablePointer<Float>, _ value: (Int32) -> Float
) {
    for j in 0..<16 { y[j] = value(Int32(q[j] & 15) | Int32(fifth &>> UInt32(j) & 1) << 4) }
    for j in 0..<16 { y[j + 16] = value(Int32(q[j] >> 4) | Int32(fifth &>> UInt32(j + 16) & 1) << 4) }
}

@inline(__always)
private func decodeQ40(_ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>) {
    let d = half(x, 0)
    nibbles(x + 2, y) { Float($0 - 8) * d }
}

@inline(__always)
private func decodeQ41(_ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>) {
    let (d, m) = (half(x, 0), half(x, 2))
    nibbles(x + 4, y) { Float($0) * d + m }
}

@inline(__always)
private func decodeQ50(_ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>) {
    let d = half(x, 0)
    let fifth = UnsafeRawPointer(x).loadUnaligned(fromByteOffset: 2, as: UInt32.self)
    nibbles(x + 6, fifth: fifth, y) { Float($0 - 16) * d }
}

@inline(__always)
private func decodeQ51(_ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>) {
    let (d, m) = (half(x, 0), half(x, 2))
    let fifth = UnsafeRawPointer(x).loadUnaligned(fromByteOffset: 4, as: UInt32.self)
    nibbles(x + 8, fifth: fifth, y) { Float($0) * d + m }
}

@inline(__always)
private func decodeQ80(_ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>) {
    let d = half(x, 0)
    for j in 0..<32 { y[j] = Float(Int8(bitPattern: x[2 + j])) * d }
}

/// scales[16] (low nibble scale, high nibble minimum), quants[64], d, m: sixteen sub-blocks of 16.
@inline(__always)
private func decodeQ2K(_ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>) {
    let (d, m) = (half(x, 80), half(x, 82))
    for part in 0..<16 {
        let (scale, minimum) = (d * Float(x[part] & 15), m * Float(x[part] >> 4))
        let q = x + 16 + 32 * (part / 8) + 16 * (part % 2)
        let shift = UInt8(part % 8 / 2 * 2)
        for l in 0..<16 { y[16 * part + l] = scale * Float(q[l] &>> shift & 3) - minimum }
    }
}

/// high bits[32], quants[64], scales[12] of 6 bits, d: sixteen sub-blocks of 16.
@inline(__always)
private func decodeQ3K(_ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>) {
    let d = half(x, 108)
    let packed = x + 96
    for part in 0..<16 {
        let low = part < 8 ? packed[part] & 15 : packed[part - 8] >> 4
        let high = packed[8 + part % 4] >> UInt8(part / 4 * 2) & 3
        let scale = d * Float(Int32(low | high << 4) - 32)
        let q = x + 32 + 32 * (part / 8) + 16 * (part % 2)
        let shift = UInt8(part % 8 / 2 * 2)
        let mask = x + 16 * (part % 2)
        let bit = UInt8(part / 2)
        for l in 0..<16 {
            let third = Int32(mask[l] &>> bit & 1) << 2
            y[16 * part + l] = scale * Float(Int32(q[l] &>> shift & 3) + third - 4)
        }
    }
}

/// The j-th of eight 6-bit scales and minima packed in 12 bytes.
@inline(__always)
private func scaleAndMinimum(_ packed: UnsafePointer<UInt8>, _ j: Int) -> (Float, Float) {
    if j < 4 { return (Float(packed[j] & 63), Float(packed[j + 4] & 63)) }
    let scale = packed[j + 4] & 15 | (packed[j - 4] >> 6) << 4
    let minimum = packed[j + 4] >> 4 | (packed[j] >> 6) << 4
    return (Float(scale), Float(minimum))
}

/// d, m, scales[12], quants[128]: eight sub-blocks of 32.
@inline(__always)
private func decodeQ4K(_ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>) {
    let (d, m) = (half(x, 0), half(x, 2))
    for part in 0..<8 {
        let (s, n) = scaleAndMinimum(x + 4, part)
        let (scale, minimum) = (d * s, m * n)
        let q = x + 16 + 32 * (part / 2)
        let shift = UInt8(part % 2 * 4)
        for l in 0..<32 { y[32 * part + l] = scale * Float(q[l] &>> shift & 15) - minimum }
    }
}

/// d, m, scales[12], fifth bits[32], quants[128]: eight sub-blocks of 32.
@inline(__always)
private func decodeQ5K(_ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>) {
    let (d, m) = (half(x, 0), half(x, 2))
    let mask = x + 16
    for part in 0..<8 {
        let (s, n) = scaleAndMinimum(x + 4, part)
        let (scale, minimum) = (d * s, m * n)
        let q = x + 48 + 32 * (part / 2)
        let shift = UInt8(part % 2 * 4)
        for l in 0..<32 {
            let fifth = mask[l] &>> UInt8(part) & 1
            y[32 * part + l] = scale * Float(q[l] &>> shift & 15 | fifth << 4) - minimum
        }
    }
}

/// low bits[128], high bits[64], scales[16] of 8 bits, d: two halves of four runs of 32, a scale for each 16.
@inline(__always)
private func decodeQ6K(_ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>) {
    let d = half(x, 208)
    for part in 0..<16 {
        let (section, run, side) = (part / 8, part % 8 / 2, part % 2)
        let scale = d * Float(Int8(bitPattern: x[192 + part]))
        let low = x + 64 * section + 32 * (run % 2) + 16 * side
        let high = x + 128 + 32 * section + 16 * side
        let (lowShift, highShift) = (UInt8(run / 2 * 4), UInt8(run * 2))
        for l in 0..<16 {
            let q = Int32(low[l] &>> lowShift & 15 | (high[l] &>> highShift & 3) << 4) - 32
            y[16 * part + l] = scale * Float(q)
        }
    }
}
