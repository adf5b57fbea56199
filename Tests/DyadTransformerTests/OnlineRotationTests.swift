import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer
import Testing

@Suite("The online rotation", .needsTorch)
struct OnlineRotationTests {
    /// A Hadamard matrix that is not symmetric.
    static let base: [[Double]] = [[1, 1, 1, 1], [1, -1, 1, -1], [-1, 1, 1, -1], [1, 1, -1, -1]]

    private func rotation(power: Int) throws -> OnlineRotation {
        try OnlineRotation(base: Tensor(Self.base.flatMap { $0 }, shape: [4, 4]), power: power)
    }

    @Test("is x·H, entry by entry", arguments: [1, 2, 8])
    func entries(_ power: Int) throws {
        let rotation = try rotation(power: power)
        let size = rotation.block
        #expect(size == 4 * power)
        // Row i of the identity gives row i of H.
        let matrix = try rotation.apply(Tensor.eye(size, dtype: .float64)).toArray(Double.self)
        for i in 0..<size {
            for j in 0..<size {
                let sign = ((i % power) & (j % power)).nonzeroBitCount % 2 == 0 ? 1.0 : -1.0
                let expected = Self.base[i / power][j / power] * sign / Double(size).squareRoot()
                #expect(abs(matrix[i * size + j] - expected) < 1e-12)
            }
        }
    }

    @Test("leaves the network's function unchanged when down_proj is rotated too")
    func folded() throws {
        let decoder = try Decoder(checkpoint: checkpoint("llama-gqa-untied"))
        let tokens: [[Int32]] = [[5, 9, 3, 30, 17]]
        let plain = try decoder.forward(tokens)
        let rotation = try rotation(power: 2)  // blocks of 8 in a width of 24
        decoder.onlineRotation = rotation
        #expect(try difference(decoder.forward(tokens), plain) > 1e-2)
        for layer in decoder.weights.blocks.indices {
            decoder.weights.blocks[layer].downProj.weight = try rotation.apply(
                decoder.weights.blocks[layer].downProj.weight)
        }
        #expect(try difference(decoder.forward(tokens), plain) < 1e-4)
        // A prefix is computed with the rotation as well.
        decoder.prefix = try decoder.computePrefix([1, 2])
        let fed = try decoder.copy()
        fed.prefix = nil
        let expected = try fed.forward([[1, 2] + tokens[0]]).narrow(1, start: 2, length: 5)
        #expect(try difference(decoder.forward(tokens), expected) < 1e-4)
    }

    @Test("refuses matrices that are not Hadamard's, powers that are none of two, and widths that do not fit")
    func errors() throws {
        #expect(throws: DyadError.self) { try rotation(power: 3) }
        #expect(throws: DyadError.self) { try OnlineRotation(base: Tensor.eye(4), power: 2) }
        #expect(throws: DyadError.self) { try OnlineRotation(base: Tensor.ones([2, 2]), power: 2) }
        #expect(throws: DyadError.self) { try OnlineRotation(base: Tensor.ones([1, 2]), power: 2) }
        #expect(throws: DyadError.self) { try rotation(power: 2).apply(Tensor.ones([3, 12])) }
    }
}
