import DyadFormats
import DyadTensor
import Testing

@Suite("Generator", .needsTorch)
struct GeneratorTests {
    @Test("equal seeds give equal numbers, whatever other generators do")
    func seeds() throws {
        let first = try Generator(seed: 7)
        let other = try Generator(seed: 8)
        let second = try Generator(seed: 7)
        let a = try Tensor.randn([100], generator: first)
        let noise = try Tensor.randn([100], generator: other)
        let b = try Tensor.randn([100], generator: second)
        #expect(try a.isEqual(to: b))
        #expect(try !a.isEqual(to: noise))
        #expect(try !a.isEqual(to: Tensor.randn([100], generator: first)))
    }

    @Test("continues from a stored state")
    func resumes() throws {
        let generator = try Generator(seed: 1)
        _ = try Tensor.rand([3], generator: generator)
        let state = try generator.state()
        let expected = try Tensor.rand([50], generator: generator)
        let resumed = try Generator(seed: 99)
        try resumed.restore(state)
        #expect(try Tensor.rand([50], generator: resumed).isEqual(to: expected))
        #expect(throws: DyadError.self) { try resumed.restore(Tensor.zeros([3])) }
    }

    @Test("draws from the named distributions")
    func distributions() throws {
        let generator = try Generator(seed: 3)
        let uniform = try Tensor.rand([4000], generator: generator)
        #expect(try uniform.min().item() >= 0 && uniform.max().item() < 1)
        #expect(try Swift.abs(uniform.mean().item() - 0.5) < 0.03)
        let normal = try Tensor.randn([4000], generator: generator)
        #expect(try Swift.abs(normal.mean().item()) < 0.1 && Swift.abs(normal.std().item() - 1) < 0.1)
        let integers = try Tensor.randint(-2..<3, [4000], generator: generator)
        #expect(try integers.min().item() == -2 && integers.max().item() == 2)
        #expect(try Tensor.randperm(10, generator: generator).sort().values.toArray(Int.self) == Array(0..<10))
    }

    @Test("the global seed decides what operators without a generator draw")
    func global() throws {
        func draw() throws -> Tensor {
            try Torch.seed(12)
            return try Tensor.call("aten::rand", .ints([20]))
        }
        #expect(try draw().isEqual(to: draw()))
    }
}
