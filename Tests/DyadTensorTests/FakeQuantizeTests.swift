import DyadFormats
import DyadTensor
import Testing

/// The formulas for one element in float64. The gradient is that of a function in which the rounding error and the
/// side of the range are held fixed at the point (the straight-through estimate), differentiated numerically.
private struct Reference {
    var value: Double
    var byX: Double
    var byScale: Double
    var byZero: Double

    init(_ x: Double, _ scale: Double, _ zero: Double, _ range: ClosedRange<Int>) {
        let (low, high) = (Double(range.lowerBound), Double(range.upperBound))
        let error = (x / scale + 0.5).rounded(.down) - x / scale
        let step = (x / scale + 0.5).rounded(.down) + zero
        func frozen(_ x: Double, _ scale: Double, _ zero: Double) -> Double {
            if step < low { return scale * (low - zero) }
            if step > high { return scale * (high - zero) }
            return scale * ((x / scale + error + zero) - zero)
        }
        let h = 1e-6
        value = frozen(x, scale, zero)
        byX = (frozen(x + h, scale, zero) - frozen(x - h, scale, zero)) / (2 * h)
        byScale = (frozen(x, scale + h, zero) - frozen(x, scale - h, zero)) / (2 * h)
        byZero = (frozen(x, scale, zero + h) - frozen(x, scale, zero - h)) / (2 * h)
    }
}

@Suite("Fake quantisation", .needsTorch)
struct FakeQuantizeTests {
    /// Every shape class of the kernel: one step for all, steps per row, steps in the middle, steps per element.
    static let cases: [(shape: [Int], axis: Int?)] = [
        ([], nil), ([7], nil), ([33, 65], nil), ([3, 5], 0), ([5, 301], 0), ([2, 3, 7], 1), ([70, 37], 1),
        ([130, 1], 1),
        ([2, 3, 5], -1), ([0, 4], 1), ([0], nil), ([40000], nil),
    ]

    @Test("values and gradients equal the formulas in float64", arguments: cases, [DType.float64, .float32])
    func formulas(form: (shape: [Int], axis: Int?), dtype: DType) throws {
        let generator = try Generator(seed: 11)
        let range = -7...7
        let axis = form.axis.map { $0 < 0 ? $0 + form.shape.count : $0 }
        let channels = axis.map { form.shape[$0] } ?? 1
        let scale = try (Tensor.rand([channels], dtype: .float64, generator: generator) + 0.2).to(dtype)
        let zero = try Tensor.randint(-3..<4, [channels], generator: generator).to(dtype)
        let inner = axis.map { form.shape[($0 + 1)...].reduce(1, *) } ?? 1
        let scales = try scale.toArray(Double.self)
        let drawn = try (Tensor.randn(form.shape, dtype: .float64, generator: generator) * 3).toArray(Double.self)
        // Beside a kink two precisions may round differently: what lies there is moved away from it.
        let moved = drawn.enumerated().map { index, value in
            let step = scales[axis == nil ? 0 : index / inner % channels]
            let place = value / step + 0.5
            return abs(place - place.rounded()) < 1e-3 ? value + 0.01 * step : value
        }
        let x = try Tensor(moved, shape: form.shape).to(dtype)
        let weight = try Tensor.randn(form.shape, dtype: .float64, generator: generator).to(dtype)
        for leaf in [x, scale, zero] { try leaf.requiresGrad(true) }
        let y = try x.fakeQuantize(scale: scale, zeroPoint: zero, range: range, axis: form.axis, gradientFactor: 0.5)
        try (y * weight).sum().backward()

        let values = try x.toArray(Double.self)
        let zeros = try zero.toArray(Double.self)
        let weights = try weight.toArray(Double.self)
        let found = try y.toArray(Double.self)
        let foundX = try #require(try x.grad()).toArray(Double.self)
        var byScale = [Double](repeating: 0, count: channels)
        var byZero = byScale
        var magnitude = byScale.map { _ in 1.0 }
        let tolerance = dtype == .float64 ? 1e-8 : 1e-4
        for (index, value) in values.enumerated() {
            let channel = axis == nil ? 0 : index / inner % channels
            let reference = Reference(value, scales[channel], zeros[channel], range)
            #expect(abs(found[index] - reference.value) < tolerance)
            #expect(abs(foundX[index] - reference.byX * weights[index]) < tolerance)
            byScale[channel] += 0.5 * weights[index] * reference.byScale
            byZero[channel] += 0.5 * weights[index] * reference.byZero
            magnitude[channel] += abs(weights[index])
        }
        let foundScale = try #require(try scale.grad()).toArray(Double.self)
        let foundZero = try #require(try zero.grad()).toArray(Double.self)
        for channel in 0..<channels {
            #expect(abs(foundScale[channel] - byScale[channel]) < tolerance * magnitude[channel])
            #expect(abs(foundZero[channel] - byZero[channel]) < tolerance * magnitude[channel])
        }
    }

    @Test("halves round towards +∞, exactly, and a NaN stays one")
    func halves() throws {
        let below = Float(0.5).nextDown
        let x = try Tensor([0.5, 1.5, -0.5, -1.5, below, -below, 126.5, 1e30, -.infinity, .nan] as [Float])
        let y = try x.fakeQuantize(scale: Tensor(scalar: 1 as Float), range: -128...127).toArray(Float.self)
        #expect(y.dropLast() == [1, 2, 0, -1, 0, 0, 127, 127, -128])
        #expect(y.last?.isNaN == true)
    }

    @Test("a result is a fixed point, and zero stays zero")
    func idempotent() throws {
        let x = try Tensor.randn([1000], generator: Generator(seed: 2)) * 4
        let scale = try Tensor(scalar: 0.037 as Float)
        let zero = try Tensor(scalar: 113 as Float)
        let once = try x.fakeQuantize(scale: scale, zeroPoint: zero, range: 0...255)
        #expect(try once.isEqual(to: once.fakeQuantize(scale: scale, zeroPoint: zero, range: 0...255)))
        #expect(try Tensor.zeros([1]).fakeQuantize(scale: scale, zeroPoint: zero, range: 0...255).item() == 0)
    }

    @Test("16-bit floats compute in float32 and come back as they were")
    func bfloat16() throws {
        let x = try (Tensor.randn([64, 8], generator: Generator(seed: 4))).to(.bfloat16).requiresGrad(true)
        let scale = try Tensor.full([8], 0.05).requiresGrad(true)
        let y = try x.fakeQuantize(scale: scale, range: -127...127, axis: 1)
        let wide = try x.detach().to(.float32).fakeQuantize(scale: scale.detach(), range: -127...127, axis: 1)
        #expect(y.dtype == .bfloat16)
        #expect(try y.isEqual(to: wide.to(.bfloat16)))
        try y.sum().backward()
        #expect(try x.grad()?.dtype == .bfloat16 && scale.grad()?.dtype == .float32)
    }

    @Test("a view with gaps and a frozen scale work")
    func views() throws {
        let x = try Tensor.randn([6, 4], generator: Generator(seed: 4)).requiresGrad(true)
        let scale = try Tensor(scalar: 0.25 as Float)
        let y = try x.transpose().fakeQuantize(scale: scale, range: -2...2)
        #expect(try y.transpose().isEqual(to: x.fakeQuantize(scale: scale, range: -2...2)))
        try y.sum().backward()
        let inside = try ((x * 4 + 0.5).floor().abs() .<= 2).to(.float32)
        #expect(try x.grad()?.isEqual(to: inside) == true)
        #expect(try scale.grad() == nil)
    }

    @Test("sums do not depend on the number of threads")
    func threads() throws {
        let before = Parallelism.threads
        defer { try? Parallelism.setThreads(before) }
        func gradients(_ threads: Int, axis: Int?) throws -> Tensor {
            try Parallelism.setThreads(threads)
            let x = try Tensor.randn([300, 700], generator: Generator(seed: 6))
            let scale = try Tensor.full([axis == nil ? 1 : axis == 0 ? 300 : 700], 0.1).requiresGrad(true)
            try (x.fakeQuantize(scale: scale, range: -8...7, axis: axis) * x).sum().backward()
            return try #require(try scale.grad())
        }
        for axis in [nil, 0, 1] {
            #expect(try gradients(1, axis: axis).isEqual(to: gradients(3, axis: axis)))
        }
    }

    @Test("steps that cannot be are errors")
    func errors() throws {
        let x = try Tensor.zeros([2, 3])
        let one = try Tensor(scalar: 1 as Float)
        for bad in [0, -1, Float.nan, .infinity] {
            #expect(throws: DyadError.self) { try x.fakeQuantize(scale: Tensor(scalar: bad), range: 0...255) }
        }
        #expect(throws: DyadError.self) { try x.fakeQuantize(scale: Tensor.ones([3]), range: 0...255) }
        #expect(throws: DyadError.self) { try x.fakeQuantize(scale: Tensor.ones([3]), range: 0...255, axis: 0) }
        #expect(throws: DyadError.self) { try x.fakeQuantize(scale: Tensor.ones([3]), range: 0...255, axis: 2) }
        #expect(throws: DyadError.self) { try x.fakeQuantize(scale: one, range: 3...3) }
        #expect(throws: DyadError.self) { try x.fakeQuantize(scale: one, range: 0...(1 << 40)) }
        #expect(throws: DyadError.self) { try x.fakeQuantize(scale: Tensor(scalar: 1), range: 0...255) }
        #expect(throws: DyadError.self) { try Tensor([1]).fakeQuantize(scale: one, range: 0...255) }
        #expect(throws: DyadError.self) {
            try x.fakeQuantize(scale: one, zeroPoint: Tensor(scalar: Float.nan), range: 0...255)
        }
    }
}
