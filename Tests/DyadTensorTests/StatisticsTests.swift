import DyadFormats
import DyadTensor
import Testing

@Suite("Observers' passes", .needsTorch)
struct StatisticsTests {
    @Test(
        "a histogram counts every element once, those outside at the ends",
        arguments: [DType.float32, .float64, .bfloat16, .float16])
    func histogram(dtype: DType) throws {
        let x = try Tensor([-9, -1, -0.5, 0, 0.25, 0.5, 0.99, 1, 7, .nan] as [Float]).to(dtype)
        #expect(try x.histogram(bins: 4, from: -1, to: 1).toArray(Int.self) == [2, 1, 2, 4])
        #expect(try x.reshape([2, 5]).transpose().histogram(bins: 1, from: -1, to: 1).toArray(Int.self) == [9])
    }

    @Test("a weighted histogram adds up weights")
    func weighted() throws {
        let x = try Tensor([-9, -0.5, 0.25, 0.5, 7] as [Float]), weights = try Tensor([1, 2, 3, 4, 0.5] as [Float])
        let sums = try x.histogram(weights: weights, bins: 4, from: -1, to: 1).toArray(Double.self)
        #expect(sums == [1, 2, 3, 4.5])
    }

    @Test("a histogram equals libtorch's own inside its range")
    func reference() throws {
        let x = try Tensor.randn([100_001], generator: Generator(seed: 9)).clamp(-2.9, 2.9)
        let counts = try x.histogram(bins: 64, from: -3, to: 3)
        let reference = try Tensor.call("aten::histc", .tensor(x), .int(64), .double(-3), .double(3))
        #expect(try counts.sum().item() == 100_001)
        // libtorch computes positions in float32: an element on a boundary may move to the next bin.
        #expect(try difference(counts, reference) <= 3)
    }

    @Test("extrema are exact and tell of NaN")
    func extrema() throws {
        let x = try Tensor.randn([70_001], generator: Generator(seed: 1))
        let (low, high) = try x.extrema()
        #expect(try low == x.min().item() && high == x.max().item())
        let half = try x.to(.bfloat16)
        #expect(try half.extrema().maximum == half.max().item())
        for position in [0, 40_000, 70_000] {
            let copy = try x.clone()
            try copy.select(0, position).fill(Double.nan)
            #expect(try copy.extrema().minimum.isNaN && copy.extrema().maximum.isNaN)
        }
    }

    @Test("impossible requests are errors")
    func errors() throws {
        let x = try Tensor.zeros([3])
        #expect(throws: DyadError.self) { try x.histogram(bins: 0, from: 0, to: 1) }
        #expect(throws: DyadError.self) { try x.histogram(bins: 1 << 40, from: 0, to: 1) }
        #expect(throws: DyadError.self) { try x.histogram(bins: 4, from: 1, to: 1) }
        #expect(throws: DyadError.self) { try x.histogram(bins: 4, from: -.infinity, to: 1) }
        #expect(throws: DyadError.self) { try Tensor([1]).histogram(bins: 4, from: 0, to: 1) }
        #expect(throws: DyadError.self) { try Tensor.zeros([0]).extrema() }
    }
}
