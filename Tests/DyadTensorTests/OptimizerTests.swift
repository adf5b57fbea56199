import DyadFormats
import DyadTensor
import Testing

@Suite("Optimizers", .needsTorch)
struct OptimizerTests {
    /// A loss whose gradient changes from step to step.
    private func loss(_ x: Tensor, _ step: Int) throws -> Tensor {
        try ((x - Double(step % 3)).pow(4) * 0.1 + x.square()).sum()
    }

    private func parameter() throws -> Tensor {
        try Tensor([0.5, -1, 2, 3]).requiresGrad(true)
    }

    @Test("AdamW takes the steps of libtorch's own fused AdamW")
    func adamW() throws {
        let x = try parameter()
        let optimizer = AdamW([ParameterGroup([x], learningRate: 0.05, weightDecay: 0.1)], beta1: 0.8, beta2: 0.95)
        let reference = try parameter()
        let mean = try Tensor.zeros([4], dtype: .float64)
        let square = try Tensor.zeros([4], dtype: .float64)
        let count = try Tensor.zeros([])
        for step in 0..<6 {
            try optimizer.zeroGrad()
            try loss(x, step).backward()
            try optimizer.step()
            let gradient = try #require(
                try Tensor.gradients(of: [loss(reference, step)], withRespectTo: [reference])[0])
            try withNoGrad {
                try count.addInPlace(1)
                try Tensor.callInPlace(
                    "aten::_fused_adamw_", .tensors([reference]), .tensors([gradient]), .tensors([mean]),
                    .tensors([square]), .tensors([]), .tensors([count]), .double(0.05), .double(0.8), .double(0.95),
                    .double(0.1), .double(1e-8), .bool(false), .bool(false))
            }
            #expect(try difference(x, reference) < 1e-12)
        }
        #expect(try difference(x, parameter()) > 0.1)
    }

    @Test("SGD takes the steps of libtorch's own fused SGD")
    func sgd() throws {
        let x = try parameter()
        let optimizer = SGD([ParameterGroup([x], learningRate: 0.01, weightDecay: 0.2)], momentum: 0.9)
        let reference = try parameter()
        let buffer = try Tensor.zeros([4], dtype: .float64)
        for step in 0..<6 {
            try optimizer.zeroGrad()
            try loss(x, step).backward()
            try optimizer.step()
            let gradient = try #require(
                try Tensor.gradients(of: [loss(reference, step)], withRespectTo: [reference])[0])
            try withNoGrad {
                try Tensor.callInPlace(
                    "aten::_fused_sgd_", .tensors([reference]), .tensors([gradient]), .tensors([buffer]), .double(0.2),
                    .double(0.9), .double(0.01), .double(0), .bool(false), .bool(false), .bool(step == 0))
            }
            #expect(try difference(x, reference) < 1e-12)
        }
    }

    @Test(
        "a run resumed from a stored state continues to the last bit",
        arguments: [
            { AdamW([ParameterGroup([$0], learningRate: 0.05)]) },
            { SGD([ParameterGroup([$0], learningRate: 0.01)], momentum: 0.9) },
        ] as [@Sendable (Tensor) -> any Optimizer])
    func resume(make: @Sendable (Tensor) -> any Optimizer) throws {
        func run(_ optimizer: any Optimizer, _ x: Tensor, _ steps: Range<Int>) throws {
            for step in steps {
                try optimizer.zeroGrad()
                try loss(x, step).backward()
                try optimizer.step()
            }
        }
        let x = try parameter()
        let whole = make(x)
        try run(whole, x, 0..<3)
        let stored = try whole.state()
        let y = try x.detach().clone().requiresGrad(true)
        try run(whole, x, 3..<6)
        let resumed = make(y)
        try resumed.restore(stored)
        try run(resumed, y, 3..<6)
        #expect(try x.isEqual(to: y))
        let other = make(try Tensor.zeros([2]).requiresGrad(true))
        #expect(throws: DyadError.self) { try other.restore(stored) }
    }

    @Test("parameters of 16 bits are learnt with moments of 32")
    func bfloat16() throws {
        let x = try Tensor.ones([3]).to(.bfloat16).requiresGrad(true)
        let optimizer = AdamW([ParameterGroup([x], learningRate: 0.1)])
        try x.sum().backward()
        try optimizer.step()
        #expect(x.dtype == .bfloat16)
        #expect(try optimizer.state()["mean.0.0"]?.dtype == .float32)
        #expect(try Swift.abs(x.to(.float32).mean().item() - 0.9) < 0.01)
    }

    @Test("a parameter without a gradient, or another group's, is left alone")
    func groups() throws {
        let x = try Tensor.ones([1]).requiresGrad(true)
        let y = try Tensor.ones([1]).requiresGrad(true)
        let optimizer = SGD([ParameterGroup([x], learningRate: 0.5), ParameterGroup([y], learningRate: 0)])
        try (x + y).sum().backward()
        try optimizer.step()
        #expect(try x.item() == 0.5 && y.item() == 1)
        optimizer.groups[1].learningRate = 0.25
        try x.zeroGrad()
        try optimizer.step()
        #expect(try x.item() == 0.5 && y.item() == 0.75)
        optimizer.groups.removeLast()
        #expect(throws: DyadError.self) { try optimizer.step() }
    }

    @Test("clipping limits the joint norm and reports the old one")
    func clipping() throws {
        let x = try Tensor.zeros([1]).requiresGrad(true)
        let y = try Tensor.zeros([1]).requiresGrad(true)
        try (x * 3 + y * 4).sum().backward()
        #expect(try clipGradients(of: [x, y], maximumNorm: 10) == 5)
        #expect(try x.grad()?.item() == 3)
        #expect(try clipGradients(of: [x, y], maximumNorm: 1) == 5)
        #expect(try Swift.abs((y.grad()?.item() ?? 0) - 0.8) < 1e-6)
        try (x * Double.infinity).sum().backward()
        #expect(throws: DyadError.self) { try clipGradients(of: [x, y], maximumNorm: 1) }
    }

    @Test("schedules warm up, decay, and stay at their minimum")
    func schedules() {
        let cosine = LearningRateSchedule(.cosine(minimum: 0.1), steps: 104, warmUp: 3)
        #expect(cosine.factor(at: 0) == 0.25 && cosine.factor(at: 2) == 0.75 && cosine.factor(at: 3) == 1)
        #expect(abs(cosine.factor(at: 53) - 0.55) < 1e-12)
        #expect(abs(cosine.factor(at: 103) - 0.1) < 1e-12 && abs(cosine.factor(at: 1000) - 0.1) < 1e-12)
        let linear = LearningRateSchedule(.linear(minimum: 0), steps: 11)
        #expect(linear.factor(at: 0) == 1 && linear.factor(at: 5) == 0.5 && linear.factor(at: 10) == 0)
        #expect(LearningRateSchedule(.constant, steps: 1).factor(at: 5) == 1)
    }
}
