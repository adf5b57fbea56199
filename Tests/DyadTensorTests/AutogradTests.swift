import DyadFormats
import DyadTensor
import Testing

@Suite("Autograd", .needsTorch)
struct AutogradTests {
    @Test("gradients flow to leaves, add up, and are forgotten")
    func backward() throws {
        let x = try Tensor([1, 2, 3] as [Float]).requiresGrad(true)
        #expect(x.requiresGrad)
        #expect(try x.grad() == nil)
        try (x * x).sum().backward()
        #expect(try x.grad()?.toArray(Float.self) == [2, 4, 6])
        try (x * 3).sum().backward()
        #expect(try x.grad()?.toArray(Float.self) == [5, 7, 9])
        try x.zeroGrad()
        #expect(try x.grad() == nil)
        try (x * x).backward(gradient: Tensor([1, 0, 1] as [Float]))
        #expect(try x.grad()?.toArray(Float.self) == [2, 0, 6])
    }

    @Test("nothing is recorded without gradients, and the setting comes back even after an error")
    func noGrad() throws {
        let x = try Tensor([1, 2] as [Float]).requiresGrad(true)
        try withNoGrad {
            #expect(try !(x * 2).requiresGrad)
            let recorded = try withGrad { try x * 2 }
            #expect(recorded.requiresGrad)
            #expect(throws: DyadError.self) { try withGrad { try x.reshape([3]) } }
            #expect(try !(x * 2).requiresGrad)
            try x.addInPlace(1)
        }
        #expect(try (x * 2).requiresGrad)
        #expect(try !x.detach().requiresGrad)
        #expect(try x.toArray(Float.self) == [2, 3])
        #expect(throws: DyadError.self) { try x.addInPlace(1) }
    }

    @Test("gradients of outputs with respect to inputs leave nothing behind")
    func gradients() throws {
        let x = try Tensor([1, 2] as [Float]).requiresGrad(true)
        let unused = try Tensor([1] as [Float]).requiresGrad(true)
        let y = try (x * x * x).sum()
        let gradients = try Tensor.gradients(of: [y], withRespectTo: [x, unused])
        #expect(try gradients[0]?.toArray(Float.self) == [3, 12])
        #expect(gradients[1] == nil)
        #expect(try x.grad() == nil)
    }

    @Test("misuse is an error, not a crash")
    func misuse() throws {
        let x = try Tensor([1, 2] as [Float]).requiresGrad(true)
        #expect(throws: DyadError.self) { try (x * 2).backward() }
        #expect(throws: DyadError.self) { try Tensor.ones([]).backward() }
        #expect(throws: DyadError.self) { try Tensor([1, 2]).requiresGrad(true) }
        #expect(throws: DyadError.self) { try (x * 2).requiresGrad(false) }
        #expect(throws: DyadError.self) { try x.setGrad(Tensor.ones([3])) }
        let y = try x.square().sum()
        try y.backward()
        #expect(throws: DyadError.self) { try y.backward() }
        #expect(throws: DyadError.self) { try Tensor.call("aten::no_such_operator", .tensor(x)) }
        #expect(throws: DyadError.self) { try Tensor.call("aten::relu", .int(1)) }
        #expect(throws: DyadError.self) { try Tensor.call("aten::relu", .none) }
        #expect(throws: DyadError.self) { try Tensor.call("aten::relu", .tensor(x), .int(1)) }
        #expect(throws: DyadError.self) { try Tensor.call("aten::relu") }
        #expect(throws: DyadError.self) { try Tensor.call("aten::max.dim", .tensor(x), .int(0)) }
    }
}
