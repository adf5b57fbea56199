import CDyadKernels
import DyadGraph
import DyadRuntime
import DyadTestSupport
import Testing

/// Kernels on shapes with every kind of tail, against arithmetic written out here, and every set against the generic one.
@Suite struct KernelTests {
    static let sets = KernelSet.available.map(\.name)

    private func table(_ name: String) throws -> dyad_kernels { try #require(dyad_kernels_named(name)).pointee }

    private func bytes(_ count: Int, _ generator: inout SeededGenerator) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    private func int32(_ type: dyad_type) -> Int32 { Int32(bitPattern: type.rawValue) }

    // MARK: Linear

    struct LinearCase: CustomStringConvertible, Sendable {
        let inputs: Int
        let outputs: Int
        let rows: Int
        let bits: Int
        let isWide: Bool
        var description: String { "\(rows)×\(inputs)→\(outputs) i\(bits)\(isWide ? " u16" : "")" }
    }

    static let linearCases: [LinearCase] = [8, 4].flatMap { bits in
        [false, true].flatMap { isWide in
            [
                (1, 1, 1), (2, 15, 2), (3, 17, 5), (4, 16, 6), (7, 64, 7), (8, 65, 12), (9, 80, 13), (33, 48, 3),
                (576, 130, 14), (1537, 200, 4), (40, 33, 300), (1537, 20, 150),
            ]
            .map { inputs, outputs, rows in
                LinearCase(
                    inputs: bits == 4 ? (inputs + 1) / 2 * 2 : inputs, outputs: outputs, rows: rows, bits: bits,
                    isWide: isWide)
            }
        }
    }

    @Test(arguments: sets, linearCases)
    func linearIsTheExactSumRescaledOnce(_ set: String, _ shape: LinearCase) throws {
        var generator = SeededGenerator(seed: UInt64(shape.inputs * 31 + shape.outputs))
        let kernels = try table(set)
        let (inputs, outputs, rows) = (shape.inputs, shape.outputs, shape.rows)
        let largest: Int8 = shape.bits == 4 ? 7 : 127
        // Extremes in the first channel: the largest sums that can be.
        var weights = (0..<inputs * outputs).map { _ in Int8.random(in: -largest...largest, using: &generator) }
        for i in 0..<inputs { weights[i] = shape.bits == 4 ? -7 : -128 }
        var x = (0..<inputs * rows).map { _ in UInt16.random(in: 0...(shape.isWide ? .max : 255), using: &generator) }
        for i in 0..<inputs { x[i] = shape.isWide ? .max : 255 }
        let blocks = (outputs + 15) / 16
        let multipliers = (0..<blocks * 16).map { _ in Int64.random(in: 0..<1 << 28, using: &generator) }
        let shifts = (0..<blocks * 16).map { _ in Int64.random(in: shape.isWide ? 39...49 : 31...43, using: &generator)
        }
        let offsets = (0..<blocks * 16).map { _ in Int64.random(in: -1_000_000...1_000_000, using: &generator) }
        let panels = packed(weights, shape)

        for (type, range) in [
            (DYAD_U8, 0...255), (DYAD_I8, -128...127), (DYAD_U16, 0...65535), (DYAD_I16, -32768...32767),
            (DYAD_I32, Int64(Int32.min)...Int64(Int32.max)),
        ] as [(dyad_type, ClosedRange<Int64>)] {
            let zero: Int64 = type == DYAD_U8 ? 113 : type == DYAD_U16 ? 32768 : 0
            var expected: [Int64] = []
            for row in 0..<rows {
                for channel in 0..<outputs {
                    var sum = offsets[channel]
                    for i in 0..<inputs { sum += Int64(x[row * inputs + i]) * Int64(weights[channel * inputs + i]) }
                    let scaled = (sum * multipliers[channel] + 1 << (shifts[channel] - 1)) >> shifts[channel]
                    expected.append(min(max(zero + scaled, range.lowerBound), range.upperBound))
                }
            }
            let found = self.outputs(
                of: kernels, shape, x: x, panels: panels, multipliers: multipliers, shifts: shifts, offsets: offsets,
                type: type, zero: zero)
            let isEqual = found == expected  // not inside #expect, which would describe the difference of long arrays
            #expect(isEqual, "\(set), output \(type)")
        }
    }

    /// Products at the ends of their ranges, every nibble, every number of rows of a tile, and rescales whose products
    /// fill 64 bits.
    @Test(arguments: sets, [8, 4])
    func extremeProductsAreExact(_ set: String, _ bits: Int) throws {
        var generator = SeededGenerator(seed: UInt64(bits))
        let kernels = try table(set)
        let activations: [UInt16] = [0, 1, 127, 128, 254, 255]
        let levels: [Int8] = bits == 4 ? Array(-8...7) : [-128, -127, -1, 0, 1, 126, 127]
        for (inputs, outputs) in [(2, 1), (6, 3), (8, 17), (32, 31), (66, 33), (1026, 65), (2052, 97)] {
            var weights = (0..<inputs * outputs).map { _ in levels.randomElement(using: &generator) ?? 0 }
            for i in 0..<inputs {
                weights[i] = levels[0]
                weights[(outputs - 1) * inputs + i] = outputs > 1 ? levels[levels.count - 1] : levels[0]
            }
            for rows in 1...13 {
                let shape = LinearCase(inputs: inputs, outputs: outputs, rows: rows, bits: bits, isWide: false)
                var x = (0..<inputs * rows).map { _ in activations.randomElement(using: &generator) ?? 0 }
                for i in 0..<inputs { x[(rows - 1) * inputs + i] = 255 }
                let channels = (outputs + 15) / 16 * 16
                let shifts = (0..<channels).map { _ in Int64.random(in: 1...62, using: &generator) }
                let offsets = (0..<channels).map { _ in
                    let bound = Int64(1) << Int64.random(in: 0...45, using: &generator)
                    return Int64.random(in: -bound...bound, using: &generator)
                }
                let multipliers = (0..<channels).map { c -> Int64 in
                    let largest = Int64(inputs) * 255 * 128 + abs(offsets[c])
                    return min((Int64.max - 1 << (shifts[c] - 1)) / largest, 1 << 31 - 1)
                }
                let found = self.outputs(
                    of: kernels, shape, x: x, panels: packed(weights, shape), multipliers: multipliers, shifts: shifts,
                    offsets: offsets, type: DYAD_I32, zero: -5)
                var expected: [Int64] = []
                for row in 0..<rows {
                    for channel in 0..<outputs {
                        var sum = offsets[channel]
                        for i in 0..<inputs { sum += Int64(x[row * inputs + i]) * Int64(weights[channel * inputs + i]) }
                        let scaled = (sum * multipliers[channel] + 1 << (shifts[channel] - 1)) >> shifts[channel]
                        expected.append(min(max(scaled - 5, Int64(Int32.min)), Int64(Int32.max)))
                    }
                }
                let isEqual = found == expected
                #expect(isEqual, "\(set), \(shape)")
            }
        }
    }

    /// Weights [outputs, inputs] as the kernels read them.
    private func packed(_ weights: [Int8], _ shape: LinearCase) -> [Int8] {
        let stored: [UInt8] =
            shape.bits == 8
            ? weights.map { UInt8(bitPattern: $0) }
            : stride(from: 0, to: weights.count, by: 2).map {
                UInt8(bitPattern: weights[$0]) & 15 | UInt8(bitPattern: weights[$0 + 1]) << 4
            }
        let (inputs, outputs, bits) = (shape.inputs, shape.outputs, Int32(shape.bits))
        var panels = [Int8](repeating: 99, count: dyad_packed_weight_bytes(outputs, inputs, bits))
        dyad_pack_weights(stored, outputs, inputs, bits, 0, (outputs + 15) / 16, &panels)
        return panels
    }

    /// What a set's linear kernel computes.
    private func outputs(
        of kernels: dyad_kernels, _ shape: LinearCase, x: [UInt16], panels: [Int8], multipliers: [Int64],
        shifts: [Int64], offsets: [Int64], type: dyad_type, zero: Int64
    ) -> [Int64] {
        panels.withUnsafeBufferPointer { panels in
            multipliers.withUnsafeBufferPointer { multipliers in
                shifts.withUnsafeBufferPointer { shifts in
                    offsets.withUnsafeBufferPointer { offsets -> [Int64] in
                        let (rows, blocks) = (shape.rows, (shape.outputs + 15) / 16)
                        var linear = dyad_linear(
                            inputs: shape.inputs, outputs: shape.outputs, weight_bits: Int32(shape.bits),
                            input_type: int32(shape.isWide ? DYAD_U16 : DYAD_U8), panels: panels.baseAddress,
                            multipliers: multipliers.baseAddress, shifts: shifts.baseAddress,
                            offsets: offsets.baseAddress,
                            output: dyad_format(type: int32(type), zero: Int32(zero)))
                        var scratch = [UInt8](repeating: 7, count: dyad_linear_scratch_bytes(&linear, rows) + 64)
                        let narrow = x.map { UInt8(truncatingIfNeeded: $0) } + [UInt8](repeating: 200, count: 64)
                        let wide = x + [UInt16](repeating: 40000, count: 32)
                        // In two calls, so that blocks are found at their own place.
                        func run<T: FixedWidthInteger>(_: T.Type) -> [Int64] {
                            var y = [T](repeating: 0, count: rows * shape.outputs)
                            for (first, n) in [(0, blocks / 2), (blocks / 2, blocks - blocks / 2)] where n > 0 {
                                if shape.isWide {
                                    kernels.linear(&linear, wide, rows, first, n, &y, &scratch)
                                } else {
                                    kernels.linear(&linear, narrow, rows, first, n, &y, &scratch)
                                }
                            }
                            return y.map { Int64($0) }
                        }
                        switch type {
                        case DYAD_U8: return run(UInt8.self)
                        case DYAD_I8: return run(Int8.self)
                        case DYAD_U16: return run(UInt16.self)
                        case DYAD_I16: return run(Int16.self)
                        default: return run(Int32.self)
                        }
                    }
                }
            }
        }
    }

    // MARK: Attention over many columns

    static let attentionForms = [DYAD_LATE_DIVISION_8, DYAD_LATE_DIVISION_16, DYAD_SOFTMAX].flatMap { form in
        [(form.rawValue, false), (form.rawValue, true)]
    }

    @Test(arguments: sets, attentionForms)
    func attentionOverMoreColumnsThanOneChunkIsExact(_ set: String, _ kind: (form: UInt32, hasWideQueries: Bool)) throws
    {
        let form = kind.form
        var generator = SeededGenerator(seed: 77)
        let kernels = try table(set)
        let (dimension, prefix, columns, tokens) = (10, 3, 8300, 3)
        let heads = 2
        let position = columns - tokens
        let keys = bytes(columns * dimension, &generator)
        let values = bytes(columns * dimension, &generator)
        let narrow = bytes(tokens * heads * dimension, &generator) + [UInt8](repeating: 0, count: 64)
        // Extremes too, beside what is as large as the narrow ones.
        let wide = narrow.enumerated().map { index, byte in
            index % 97 == 0 ? (index % 2 == 0 ? 0 : 65535) : UInt16(32768 - 120) + UInt16(byte)
        }
        let zero: Int64 = kind.hasWideQueries ? 32768 : 120
        let queries = kind.hasWideQueries ? wide.map(Int64.init) : narrow.map(Int64.init)
        let padded = (columns + 63) / 64 * 64
        var keyMemory = [Int8](repeating: 0, count: dyad_key_cache_bytes(1, dimension, padded))
        var sums = [Int32](repeating: 0, count: padded)
        var valueMemory = [Int8](repeating: 0, count: dyad_value_cache_bytes(1, dimension, padded))
        let prefixValues = values[..<(prefix * dimension)].map { Int8(Int($0) - 128) }
        let score = dyad_rescale(multiplier: 1 << 30, shift: 31)
        // One step of the score is 0.002: differences of some thousands matter.
        let exponent = dyad_rescale(multiplier: 1_660_000_000, shift: 15)
        let rho = dyad_rescale(
            multiplier: 1_000_000_007 >> (form == DYAD_SOFTMAX.rawValue ? 0 : 1),
            shift: form == DYAD_SOFTMAX.rawValue ? 44 : 28)
        var attention = dyad_attention(
            heads: heads, group: heads, dimension: dimension, value_dimension: dimension, prefix: prefix,
            form: Int32(bitPattern: form),
            query: dyad_format(type: int32(kind.hasWideQueries ? DYAD_U16 : DYAD_U8), zero: Int32(zero)), score: score,
            score_zero: 32768, cap: dyad_soft_cap(),
            exponent: exponent,
            value: rho, output: dyad_format(type: int32(DYAD_U8), zero: 128))
        var y = [UInt8](repeating: 0, count: tokens * heads * dimension)
        var scratch = [UInt64](
            repeating: .max, count: dyad_attention_scratch_bytes(&attention, tokens, columns) / 8 + 8)
        keyMemory.withUnsafeMutableBufferPointer { keyMemory in
            sums.withUnsafeMutableBufferPointer { sums in
                valueMemory.withUnsafeMutableBufferPointer { valueMemory in
                    var keyCache = dyad_cache(
                        heads: 1, dimension: dimension, columns: padded, packed: keyMemory.baseAddress,
                        sums: sums.baseAddress)
                    var valueCache = dyad_cache(
                        heads: 1, dimension: dimension, columns: padded, packed: valueMemory.baseAddress, sums: nil)
                    // In two pieces, the second at a column that no group begins with.
                    kernels.append_keys(&keyCache, keys, 4099, 0)
                    kernels.append_keys(&keyCache, Array(keys[(4099 * dimension)...]), columns - 4099, 4099)
                    kernels.append_values(&valueCache, values, 4099, 0)
                    kernels.append_values(&valueCache, Array(values[(4099 * dimension)...]), columns - 4099, 4099)
                    func attend(_ queries: UnsafeRawPointer?) {
                        kernels.attention(
                            &attention, &keyCache, &valueCache, prefixValues, 0, 0, tokens, position, queries, &y,
                            &scratch, nil)
                    }
                    if kind.hasWideQueries { attend(wide) } else { attend(narrow) }
                }
            }
        }
        for token in 0..<tokens {
            for head in 0..<heads {
                let query = queries[((token * heads + head) * dimension)...].prefix(dimension).map { $0 - zero }
                let visible = position + token + 1
                let scores = (0..<visible).map { column -> Int64 in
                    let sum = (0..<dimension).reduce(Int64(0)) {
                        $0 + query[$1] * (Int64(keys[column * dimension + $1]) - 128)
                    }
                    return min(max(32768 + rescaled(sum, score), 0), 65535)
                }
                let expected = mixed(
                    scores, values: values, dimension: dimension, prefix: prefix, form: form, exponent: exponent,
                    rho: rho)
                let start = (token * heads + head) * dimension
                #expect(Array(y[start..<start + dimension]) == expected, "\(set), token \(token), head \(head)")
            }
        }
    }

    private func rescaled(_ value: Int64, _ by: dyad_rescale) -> Int64 {
        (value * by.multiplier + 1 << (by.shift - 1)) >> by.shift
    }

    /// One row of attention as the page Numerics writes it.
    private func mixed(
        _ scores: [Int64], values: [UInt8], dimension: Int, prefix: Int, form: UInt32, exponent: dyad_rescale,
        rho: dyad_rescale
    ) -> [UInt8] {
        let isSoftmax = form == DYAD_SOFTMAX.rawValue
        let maximum = (isSoftmax ? scores[...] : scores[prefix...]).max() ?? 0
        let unit: Int64 = isSoftmax ? 1 << 30 : form == DYAD_LATE_DIVISION_8.rawValue ? 255 : 65535
        var weights = scores.map {
            FixedPoint.exponential(unit: unit, exponent: rescaled($0 - maximum, exponent))
        }
        let mass = weights.reduce(0, +)
        let width = Int64(64 - mass.leadingZeroBitCount)
        var (multiplier, shift) = (rho.multiplier, rho.shift)
        if isSoftmax {
            let down = width + 14
            let reciprocal = Int64((UInt128(65535) << UInt128(down)) / UInt128(mass))
            weights = weights.map { ($0 * reciprocal + 1 << (down - 1)) >> down }
        } else {
            let up = max(0, min(30, 54 - width) + width - 31)
            multiplier = (multiplier << up) / mass
            shift += up
        }
        return (0..<dimension).map { i in
            let sum = weights.indices.reduce(Int64(0)) { $0 + weights[$1] * (Int64(values[$1 * dimension + i]) - 128) }
            return UInt8(min(max(128 + (sum * multiplier + 1 << (shift - 1)) >> shift, 0), 255))
        }
    }

    // MARK: Rows

    @Test(arguments: sets, [(1, 1), (1, 8), (1, 16), (12, 2), (12, 128), (20, 32)])
    func hadamardIsTheMatrixProduct(_ set: String, _ shape: (order: Int, power: Int)) throws {
        let (order, power) = shape
        var generator = SeededGenerator(seed: UInt64(order * power))
        let block = order * power
        let width = 2 * block
        let base = (0..<order * order).map { _ in Bool.random(using: &generator) ? Int8(1) : -1 }
        let x = (0..<2 * width).map { _ in UInt16.random(in: 0...65535, using: &generator) }
        var expected: [Int32] = []
        for start in stride(from: 0, to: x.count, by: block) {
            for j in 0..<block {
                var sum: Int32 = 0
                for i in 0..<block {
                    let sylvester = ((i % power) & (j % power)).nonzeroBitCount % 2 == 0
                    let sign = base[i / power * order + j / power] > 0
                    sum += (sylvester == sign ? 1 : -1) * (Int32(x[start + i]) - 32768)
                }
                expected.append(sum)
            }
        }
        var y = [Int32](repeating: 0, count: x.count)
        var scratch = [Int32](repeating: 0, count: width)
        try base.withUnsafeBufferPointer { base in
            var hadamard = dyad_hadamard(
                width: width, base_order: order, power: power, base: base.baseAddress,
                input: dyad_format(type: int32(DYAD_U16), zero: 32768))
            try table(set).hadamard(&hadamard, x, 2, &y, &scratch)
        }
        let isEqual = y == expected
        #expect(isEqual)
    }

    @Test(arguments: sets, [1, 7, 16, 63, 512, 513, 1100])
    func rowFunctionsEqualTheGenericOnes(_ set: String, _ count: Int) throws {
        var generator = SeededGenerator(seed: UInt64(count))
        let (kernels, generic) = (try table(set), try table("generic"))
        let a = bytes(2 * count, &generator)
        let b = bytes(2 * count, &generator)
        let narrow = dyad_format(type: int32(DYAD_U8), zero: 117)
        let wide = dyad_format(type: int32(DYAD_U16), zero: 32768)
        func compare(_ body: (dyad_kernels, UnsafeMutableRawPointer) -> Void) -> Bool {
            var (x, y) = ([UInt8](repeating: 1, count: 4 * count), [UInt8](repeating: 1, count: 4 * count))
            body(kernels, &x)
            body(generic, &y)
            return x == y
        }
        for (left, right, output) in [(narrow, narrow, wide), (wide, narrow, narrow), (wide, wide, wide)] {
            var add = dyad_binary(
                left: left, right: right, output: output, left_multiplier: 1_234_567_891, right_multiplier: 987_654_321,
                shift: 31)
            #expect(compare { $0.add(&add, a, b, count, $1) })
            add.shift = 38
            #expect(compare { $0.multiply(&add, a, b, count, $1) })
            var requantize = dyad_requantize(
                input: left, output: output, rescale: dyad_rescale(multiplier: 1_876_543_211, shift: 33))
            #expect(compare { $0.requantize(&requantize, a, count, $1) })
        }
        let gains = (0..<count).map { _ in Int64.random(in: -(1 << 31) + 1..<1 << 31, using: &generator) }
        let biases = (0..<count).map { _ in Int64.random(in: -(1 << 22)..<1 << 22, using: &generator) }
        gains.withUnsafeBufferPointer { gains in
            biases.withUnsafeBufferPointer { biases in
                var norm = dyad_normalization(
                    size: count, input: wide, output: narrow, epsilon: 3, gains: gains.baseAddress, gain_shift: 25,
                    maximum_shift: 55, biases: nil)
                #expect(compare { $0.rms_norm(&norm, a, 1, $1) })
                norm.biases = biases.baseAddress
                #expect(compare { $0.layer_norm(&norm, a, 1, $1) })
            }
        }
    }
}
