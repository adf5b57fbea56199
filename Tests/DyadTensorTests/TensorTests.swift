import DyadFormats
import DyadTensor
import Testing

@Suite("Tensor", .needsTorch)
struct TensorTests {
    @Test("keeps the elements, shape and dtype it was made from")
    func roundTrip() throws {
        let tensor = try Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3])
        #expect(tensor.shape == [2, 3])
        #expect(tensor.strides == [3, 1])
        #expect(tensor.dtype == .float32)
        #expect(tensor.device == .cpu)
        #expect(tensor.count == 6)
        #expect(try tensor.transpose().toArray(Float.self) == [1, 4, 2, 5, 3, 6])
        #expect(try tensor.toArray(Int32.self) == [1, 2, 3, 4, 5, 6])
        #expect(try Tensor([true, false]).toArray(Double.self) == [1, 0])
        #expect(try Tensor([-1, 1 << 40]).toArray(Int64.self) == [-1, 1 << 40])
        #expect(try Tensor(scalar: 2.5).item() == 2.5)
        #expect(try Tensor([] as [Float], shape: [0, 4]).shape == [0, 4])
    }

    @Test("reports a wrong shape as an error with libtorch's own words")
    func wrongShape() throws {
        let a = try Tensor.ones([2, 3])
        let b = try Tensor.ones([2, 3])
        let error = #expect(throws: DyadError.self) { try a.matmul(b) }
        #expect(error?.reason == .failed)
        #expect(error?.subject == "aten::matmul")
        #expect(error?.found == "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)")
        #expect(throws: DyadError.self) { try a.reshape([4]) }
        #expect(throws: DyadError.self) { try a + Tensor.ones([4]) }
        #expect(throws: DyadError.self) { try Tensor([1, 2, 3] as [Float], shape: [2]) }
        #expect(throws: DyadError.self) { try Tensor([1] as [Float], shape: [-1, -1]) }
        #expect(throws: DyadError.self) { try a.size(2) }
        #expect(throws: DyadError.self) { try a.item() }
    }

    @Test("survives a request for more memory than there is")
    func outOfMemory() throws {
        let error = #expect(throws: DyadError.self) { try Tensor.zeros([1 << 50]) }
        #expect(error?.expected == "enough memory")
        #expect(throws: DyadError.self) { try Tensor.zeros([1 << 40, 1 << 40]) }
        #expect(try Tensor.zeros([2]).toArray(Float.self) == [0, 0])
    }
}
