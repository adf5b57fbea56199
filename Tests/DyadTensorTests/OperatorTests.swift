import DyadFormats
import DyadTensor
import Foundation
import Testing

@Suite("Tensor operations", .needsTorch)
struct OperatorTests {
    let a: Tensor
    let b: Tensor

    init() throws {
        a = try Tensor([1, -2, 3, 0.5, 2.5, -1.5] as [Float], shape: [2, 3])
        b = try Tensor([2, 4, -1] as [Float])
    }

    @Test("arithmetic broadcasts and takes numbers on either side")
    func arithmetic() throws {
        #expect(try (a + b).toArray(Float.self) == [3, 2, 2, 2.5, 6.5, -2.5])
        #expect(try (a - b).toArray(Float.self) == [-1, -6, 4, -1.5, -1.5, -0.5])
        #expect(try (a * b).toArray(Float.self) == [2, -8, -3, 1, 10, 1.5])
        #expect(try (a / b).toArray(Float.self) == [0.5, -0.5, -3, 0.25, 0.625, 1.5])
        #expect(try (b + 1).toArray(Float.self) == [3, 5, 0])
        #expect(try (1 - b).toArray(Float.self) == [-1, -3, 2])
        #expect(try (2.0 * b).toArray(Float.self) == [4, 8, -2])
        #expect(try (1 / b).toArray(Float.self) == [0.5, 0.25, -1])
        #expect(try (b / 2).toArray(Float.self) == [1, 2, -0.5])
        #expect(try (-b).toArray(Float.self) == [-2, -4, 1])
        #expect(try b.pow(2).toArray(Float.self) == [4, 16, 1])
        #expect(try b.pow(b).toArray(Float.self) == [4, 256, -1])
        #expect(try Tensor.pow(2, b).toArray(Float.self) == [4, 16, 0.5])
        #expect(try Tensor([7, -7]).floorDivide(by: 2).toArray(Int.self) == [3, -4])
        #expect(try Tensor([7, -7]).remainder(by: 4).toArray(Int.self) == [3, 1])
    }

    @Test("numbers do not widen a tensor's type")
    func promotion() throws {
        let half = try Tensor.ones([2], dtype: .bfloat16)
        #expect(try (half * 0.5).dtype == .bfloat16)
        #expect(try (1.0 / half).dtype == .bfloat16)
        #expect(try (Tensor(scalar: 2 as Float) + 1.0).dtype == .float32)
        #expect(try (Tensor([1, 2]) + 1).dtype == .int64)
        #expect(try (1 / Tensor([1, 2])).dtype == .float32)
    }

    @Test("elementwise functions equal those of the C library")
    func elementwise() throws {
        let x = try Tensor([-1.75, -0.5, 0.25, 1, 2.5])
        let values = try x.toArray(Double.self)
        func expect(_ result: Tensor, _ reference: (Double) -> Double) throws {
            for (found, value) in zip(try result.toArray(Double.self), values) {
                #expect(Swift.abs(found - reference(value)) <= 1e-12 * (1 + Swift.abs(reference(value))))
            }
        }
        try expect(x.exp(), Foundation.exp)
        try expect(x.sin(), Foundation.sin)
        try expect(x.cos(), Foundation.cos)
        try expect(x.tanh(), Foundation.tanh)
        try expect(x.erf(), Foundation.erf)
        try expect(x.sigmoid()) { 1 / (1 + Foundation.exp(-$0)) }
        try expect(x.silu()) { $0 / (1 + Foundation.exp(-$0)) }
        try expect(x.relu()) { Swift.max($0, 0) }
        try expect(x.gelu()) { $0 * 0.5 * (1 + Foundation.erf($0 / 2.0.squareRoot())) }
        try expect(x.gelu(.tanh)) {
            0.5 * $0 * (1 + Foundation.tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0)))
        }
        try expect(x.abs().sqrt()) { Swift.abs($0).squareRoot() }
        try expect(x.square().rsqrt()) { 1 / Swift.abs($0) }
        try expect(x.abs().log(), { Foundation.log(Swift.abs($0)) })
        try expect(x.round()) { $0.rounded(.toNearestOrEven) }
        try expect(x.floor()) { $0.rounded(.down) }
        try expect(x.ceil()) { $0.rounded(.up) }
        try expect(x.trunc()) { $0.rounded(.towardZero) }
        try expect(x.clamp(-1, 1)) { Swift.min(1, Swift.max(-1, $0)) }
        try expect(x.clamp(nil, 0.5)) { Swift.min(0.5, $0) }
        try expect(x.clamp(Tensor(scalar: -1.0), nil)) { Swift.max(-1, $0) }
    }

    @Test("reductions work over all or some dimensions")
    func reductions() throws {
        #expect(try a.sum().item() == 3.5)
        #expect(try a.sum([0]).toArray(Double.self) == [1.5, 0.5, 1.5])
        #expect(try a.mean([-1], keepDim: true).shape == [2, 1])
        #expect(try b.variance().item() == 19.0 / 3 || Swift.abs(b.variance().item() - 19.0 / 3) < 1e-6)
        #expect(try Swift.abs(b.std(correction: 0).item() - (38.0 / 9).squareRoot()) < 1e-6)
        #expect(try a.max().item() == 3 && a.min().item() == -2)
        #expect(try a.max(dim: 1).indices.toArray(Int.self) == [2, 1])
        #expect(try a.min(dim: 0).values.toArray(Float.self) == [0.5, -2, -1.5])
        #expect(try a.amax([0, 1]).item() == 3 && a.amin([1]).toArray(Float.self) == [-2, -1.5])
        #expect(try a.argmax().item() == 2 && a.argmin(dim: 1).toArray(Int.self) == [1, 2])
        #expect(try b.norm().item() == 21.0.squareRoot() || Swift.abs(b.norm().item() - 21.0.squareRoot()) < 1e-6)
        #expect(try b.norm(order: .infinity).item() == 4)
        #expect(try a.topk(2).values.toArray(Float.self) == [3, 1, 2.5, 0.5])
        #expect(try b.sort(descending: true).indices.toArray(Int.self) == [1, 0, 2])
        #expect(try b.cumsum(dim: 0).toArray(Float.self) == [2, 6, 5])
        #expect(try Swift.abs(Tensor([0.0, 0.0]).logsumexp([0]).item() - Foundation.log(2)) < 1e-12)
        #expect(try b.quantile(0.5).item() == 2)
        #expect(try Tensor.maximum(a, b).toArray(Float.self) == [2, 4, 3, 2, 4, -1])
        #expect(try Tensor.minimum(a, b).toArray(Float.self) == [1, -2, -1, 0.5, 2.5, -1.5])
    }

    @Test("views share memory, copies do not")
    func shapes() throws {
        let x = try Tensor.arange(6, dtype: .float32).reshape([2, 3])
        try x.select(0, 1).fill(9)
        #expect(try x.toArray(Float.self) == [0, 1, 2, 9, 9, 9])
        #expect(try x.transpose().shape == [3, 2] && x.permute([1, 0]).isContiguous == false)
        #expect(throws: DyadError.self) { try x.transpose().view([6]) }
        #expect(try x.transpose().contiguous().view([6]).toArray(Float.self) == [0, 9, 1, 9, 2, 9])
        #expect(try x.unsqueeze(1).shape == [2, 1, 3] && x.unsqueeze(0).squeeze(0).shape == [2, 3])
        #expect(try x.flatten().slice(0, 1..<3).toArray(Float.self) == [1, 2])
        #expect(throws: DyadError.self) { try x.slice(0, 1..<3) }
        #expect(try x.stride(1, by: 2).toArray(Float.self) == [0, 2, 9, 9])
        #expect(try x.split([1, 2], dim: 1)[1].shape == [2, 2])
        #expect(throws: DyadError.self) { try x.split([1, 1], dim: 1) }
        #expect(try x.chunk(3, dim: 1).count == 3)
        #expect(throws: DyadError.self) { try x.chunk(2, dim: 1) }
        #expect(try Tensor.cat([x, x], dim: 1).shape == [2, 6] && Tensor.stack([x, x]).shape == [2, 2, 3])
        #expect(try b.repeatInterleave(2).toArray(Float.self) == [2, 2, 4, 4, -1, -1])
        #expect(try b.unsqueeze(0).repeatInterleave(2, dim: 0).shape == [2, 3])
        #expect(try b.tile([2]).toArray(Float.self) == [2, 4, -1, 2, 4, -1])
        #expect(try b.expand([2, 3]).strides == [0, 1])
        #expect(
            try b.flip([0]).toArray(Float.self) == [-1, 4, 2] && b.roll(1, dim: 0).toArray(Float.self) == [-1, 2, 4])
        #expect(try b.pad([1, 0]).toArray(Float.self) == [0, 2, 4, -1])
    }

    @Test("indexing reads and writes the named places")
    func indexing() throws {
        let index = try Tensor([2, 0])
        #expect(try b.indexSelect(0, index).toArray(Float.self) == [-1, 2])
        #expect(try a.gather(1, index.reshape([2, 1])).toArray(Float.self) == [3, 0.5])
        #expect(try a.embedding(Tensor([1, 0, 1] as [Int32])).shape == [3, 3])
        #expect(throws: DyadError.self) { try a.embedding(Tensor([2])) }
        #expect(throws: DyadError.self) { try b.indexSelect(0, Tensor([3])) }
        #expect(try a.index([nil, index]).toArray(Float.self) == [3, 1, -1.5, 0.5])
        #expect(try b.indexPut([index], Tensor([8, 9] as [Float])).toArray(Float.self) == [9, 4, 8])
        #expect(try b.scatter(0, index, Tensor([8, 9] as [Float])).toArray(Float.self) == [9, 4, 8])
        #expect(try b.scatterAdd(0, index, Tensor([8, 9] as [Float])).toArray(Float.self) == [11, 4, 7])
        #expect(try Tensor([0, 2, 2]).bincount(minimumLength: 4).toArray(Int.self) == [1, 0, 2, 0])
        #expect(try b.bucketize(Tensor([0, 2] as [Float])).toArray(Int.self) == [1, 2, 0])
        #expect(try b.bucketize(Tensor([0, 2] as [Float]), right: true).toArray(Int.self) == [2, 2, 0])
        let mask = try b .> 0
        #expect(try mask.toArray(Bool.self) == [true, true, false])
        #expect(try (mask .& (b .!= 2)).toArray(Bool.self) == [false, true, false])
        #expect(try (.!mask .| (b .== 2)).toArray(Bool.self) == [true, false, true])
        #expect(try Tensor.select(where: mask, b, 0).toArray(Float.self) == [2, 4, 0])
        #expect(try b.maskedFill(mask, -Double.infinity).toArray(Float.self) == [-.infinity, -.infinity, -1])
        #expect(try b.maskedSelect(mask).toArray(Float.self) == [2, 4])
        #expect(try mask.nonzero().toArray(Int.self) == [0, 1])
        #expect(try (b .<= 4).allTrue() && (b .< 0).anyTrue() && !(b .>= 5).anyTrue())
        #expect(try b.isEqual(to: b.clone()) && !b.isEqual(to: a))
    }

    @Test("a cache is written in place at a position")
    func inPlace() throws {
        let cache = try Tensor.zeros([2, 4])
        try cache.assign(Tensor.ones([2, 2]), dim: 1, start: 1)
        #expect(try cache.toArray(Float.self) == [0, 1, 1, 0, 0, 1, 1, 0])
        #expect(throws: DyadError.self) { try cache.assign(Tensor.ones([2, 2]), dim: 1, start: 3) }
        try cache.addInPlace(cache.clone(), factor: 0.5)
        try cache.multiplyInPlace(2)
        #expect(try cache.sum().item() == 12)
        let counts = try Tensor([1, 2])
        try counts.addInPlace(counts.clone(), factor: 3)
        #expect(try counts.toArray(Int.self) == [4, 8])
        #expect(throws: DyadError.self) { try counts.addInPlace(0.5) }
    }

    @Test("conversions between types and layouts keep the values")
    func conversion() throws {
        let x = try Tensor([1.5, -2.25, 300])
        for dtype in DType.allCases where dtype.isFloatingPoint {
            #expect(try x.to(dtype).dtype == dtype)
            #expect(try x.to(dtype).toArray(Double.self) == [1.5, -2.25, 300])
        }
        #expect(try x.to(.int16).toArray(Int16.self) == [1, -2, 300])
        #expect(try x.to(.cpu, dtype: .bool).toArray(Bool.self) == [true, true, true])
        #expect(throws: DyadError.self) { try x.to(.cuda(99)) }
    }
}
