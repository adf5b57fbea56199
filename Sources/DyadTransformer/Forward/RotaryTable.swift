import DyadTensor

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// cos and sin of every position's rotary angles, computed in double precision, grown on demand.
struct RotaryTable {
    private let frequencies: [Double]
    private let dtype: DType
    private let device: Device
    private var positions = 0
    private var cosine: Tensor?
    private var sine: Tensor?

    init(frequencies: [Double], dtype: DType, device: Device) {
        self.frequencies = frequencies
        self.dtype = dtype
        self.device = device
    }

    /// Makes positions 0 ..< `count` available.
    mutating func extend(to count: Int) throws {
        guard count > positions, !frequencies.isEmpty else { return }
        let rows = max(count, 2 * positions, 256)
        let angles = (0..<rows).flatMap { position in frequencies.map { Double(position) * $0 } }
        func table(_ function: (Double) -> Double) throws -> Tensor {
            // [positions, 1, rotated/2]: the middle axis runs over heads
            try Tensor(angles.map { Float(function($0)) }, shape: [rows, 1, frequencies.count])
                .to(device, dtype: dtype)
        }
        cosine = try table { cos($0) }
        sine = try table { sin($0) }
        positions = rows
    }

    /// Rotates `[b, t, heads · d]`, tokens at `start`, `start + 1`, ...: within each head channel i pairs with
    /// i + rotated/2, and channels from `rotated` on stay.
    func apply(_ x: Tensor, heads: Int, start: Int) throws -> Tensor {
        guard let cosine, let sine else { return x }
        let (shape, half) = (x.shape, frequencies.count)
        let tokens = shape[1]
        let x = try x.reshape([shape[0], tokens, heads, shape[2] / heads])
        let rest = try x.size(-1) - 2 * half
        let cosines = try cosine.narrow(0, start: start, length: tokens)
        let sines = try sine.narrow(0, start: start, length: tokens)
        let first = try x.narrow(-1, start: 0, length: half)
        let second = try x.narrow(-1, start: half, length: half)
        var parts = [try first * cosines - second * sines, try second * cosines + first * sines]
        if rest > 0 { parts.append(try x.narrow(-1, start: 2 * half, length: rest)) }
        return try Tensor.cat(parts, dim: -1).reshape(shape)
    }
}
