import DyadFormats
import DyadTensor
import Testing

@Suite("Linear algebra and network operations", .needsTorch)
struct LinearAlgebraTests {
    let generator: Generator
    /// A positive definite matrix.
    let matrix: Tensor

    init() throws {
        generator = try Generator(seed: 5)
        let random = try Tensor.randn([6, 6], dtype: .float64, generator: generator)
        matrix = try random.matmul(random.transpose()) + Tensor.eye(6, dtype: .float64)
    }

    @Test("factorisations reproduce their matrix")
    func factorisations() throws {
        let identity = try Tensor.eye(6, dtype: .float64)
        let right = try Tensor.randn([6, 2], dtype: .float64, generator: generator)
        let lower = try matrix.cholesky()
        #expect(try difference(lower.matmul(lower.transpose()), matrix) < 1e-12)
        #expect(try difference(matrix.cholesky(upper: true), lower.transpose()) < 1e-12)
        #expect(try difference(matrix.matmul(lower.choleskyInverse()), identity) < 1e-10)
        #expect(try difference(matrix.matmul(lower.choleskySolve(right)), right) < 1e-10)
        #expect(try difference(lower.matmul(lower.solveTriangular(right, upper: false)), right) < 1e-10)
        #expect(try difference(matrix.matmul(matrix.inverse()), identity) < 1e-10)
        #expect(try difference(matrix.matmul(matrix.solve(right)), right) < 1e-10)
        let (q, r) = try matrix.qr()
        #expect(try difference(q.matmul(r), matrix) < 1e-12)
        #expect(try difference(q.transpose().matmul(q), identity) < 1e-12)
        let (values, vectors) = try matrix.eigh()
        #expect(try difference(vectors.matmul(values.diag()).matmul(vectors.transpose()), matrix) < 1e-10)
        let (u, singular, vt) = try matrix.svd()
        #expect(try difference((u * singular).matmul(vt), matrix) < 1e-10)
        let skew = try matrix.tril(-1) - matrix.tril(-1).transpose()
        let rotation = try skew.matrixExp()
        #expect(try difference(rotation.matmul(rotation.transpose()), identity) < 1e-10)
        #expect(try Swift.abs(rotation.determinant().item() - 1) < 1e-10)
        #expect(try difference(matrix.triu() + matrix.tril(-1), matrix) == 0)
        #expect(try difference(matrix.diagonal(), matrix.diag()) == 0)
        #expect(try right.select(1, 0).outer(right.select(1, 1)).shape == [6, 6])
    }

    @Test("a matrix that is not positive definite or singular is an error")
    func notDefinite() throws {
        let error = #expect(throws: DyadError.self) { try (-matrix).cholesky() }
        #expect(error?.found.contains("not positive-definite") == true)
        #expect(throws: DyadError.self) { try Tensor.zeros([2, 2]).inverse() }
    }

    @Test("linear is x·Wᵀ + b")
    func linear() throws {
        let x = try Tensor.randn([2, 3, 4], generator: generator)
        let weight = try Tensor.randn([5, 4], generator: generator)
        let bias = try Tensor.randn([5], generator: generator)
        #expect(try difference(x.linear(weight), x.matmul(weight.transpose())) < 1e-5)
        #expect(try difference(x.linear(weight, bias: bias), x.matmul(weight.transpose()) + bias) < 1e-5)
        #expect(try difference(Tensor.einsum("bti,oi->bto", x, weight), x.linear(weight)) < 1e-5)
    }

    @Test("fused attention equals its formula, with a mask and grouped queries")
    func attention() throws {
        let query = try Tensor.randn([2, 4, 3, 8], generator: generator)
        let key = try Tensor.randn([2, 2, 5, 8], generator: generator)
        let value = try Tensor.randn([2, 2, 5, 8], generator: generator)
        let mask = try Tensor.full([3, 5], -1e30).triu(3)
        let scores = try query.matmul(key.repeatInterleave(2, dim: 1).transpose()) * 0.25 + mask
        let expected = try scores.softmax().matmul(value.repeatInterleave(2, dim: 1))
        let found = try Tensor.attention(query, key, value, mask: mask, scale: 0.25, groupedQuery: true)
        #expect(try difference(found, expected) < 1e-5)
        let seen = try Tensor.ones([3, 5], dtype: .bool).tril(2)
        let boolean = try Tensor.attention(query, key, value, mask: seen, scale: 0.25, groupedQuery: true)
        #expect(try difference(boolean, expected) < 1e-5)
    }

    @Test("norms equal their formulas")
    func norms() throws {
        let x = try Tensor.randn([3, 8], dtype: .float64, generator: generator)
        let weight = try Tensor.randn([8], dtype: .float64, generator: generator)
        let rms = try x * (x.square().mean([-1], keepDim: true) + 1e-5).rsqrt() * weight
        #expect(try difference(x.rmsNorm(weight: weight, eps: 1e-5), rms) < 1e-12)
        let centred = try x - x.mean([-1], keepDim: true)
        let layer = try centred * (x.variance([-1], correction: 0, keepDim: true) + 1e-5).rsqrt() * weight + weight
        #expect(try difference(x.layerNorm(weight: weight, bias: weight, eps: 1e-5), layer) < 1e-12)
    }

    @Test("losses equal their formulas")
    func losses() throws {
        let logits = try Tensor.randn([4, 7], dtype: .float64, generator: generator)
        let teacher = try Tensor.randn([4, 7], dtype: .float64, generator: generator).logSoftmax()
        let target = try Tensor([0, 3, -100, 6])
        let logProbabilities = try logits.logSoftmax()
        let kept = try Tensor([0, 1, 3])
        let picked = try logProbabilities.indexSelect(0, kept).gather(1, Tensor([0, 3, 6], shape: [3, 1]))
        #expect(try difference(logits.crossEntropy(target), -picked.mean()) < 1e-12)
        #expect(try difference(logProbabilities.negativeLogLikelihood(target, reduction: .sum), -picked.sum()) < 1e-12)
        #expect(try logits.crossEntropy(target, reduction: .none).shape == [4])
        let divergence = try (teacher.exp() * (teacher - logProbabilities)).sum()
        #expect(try difference(logProbabilities.klDivergence(teacher, reduction: .sum), divergence) < 1e-12)
        #expect(try difference(logits.meanSquaredError(teacher), (logits - teacher).square().mean()) < 1e-12)
        #expect(throws: DyadError.self) { try logits.crossEntropy(Tensor([0, 1, 2, 7])) }
    }
}
