import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer
import Foundation
import Testing

@testable import DyadQuantization

/// Weights that make up for the errors of their inputs and of the residual stream.
@Suite(.needsTorch) struct CompensationTests {
    /// A float block beside one whose input is off by `error`, batch by batch.
    private struct Pair {
        let decoder: Decoder
        let float: FloatStream
        let hidden: [Tensor]
        let visitor: QuantizingVisitor

        init(error: Double, prepare: (Decoder) throws -> Void = { _ in }) throws {
            let decoder = try tinyDecoder()
            try prepare(decoder)
            let windows = try tinyText(decoder).calibration
            var float = try FloatStream(decoder)
            var hidden: [Tensor] = []
            let generator = try Generator(seed: 3)
            for start in stride(from: 0, to: windows.count, by: 2) {
                let batch = Array(windows[start..<start + 2])
                try float.embed(batch)
                let x = try withNoGrad { try decoder.embed(batch) }
                // Half of what is off is the same at every position: that part can be known from nothing.
                let noise = try Tensor.randn(x.shape, generator: generator)
                let steady = try Tensor.randn([x.size(-1)], generator: try Generator(seed: 4))
                hidden.append(try x + (noise + steady) * error)
            }
            try float.advance(
                0, keeping: [.embeddingOutput, .attentionResidual, .attentionOutput, .downInput, .product])
            (self.decoder, self.float, self.hidden) = (decoder, float, hidden)
            visitor = QuantizingVisitor(
                NetworkPlan(Recipe(name: "x", summary: ""), decoder.configuration, exponentialType: .u8))
        }

        /// The target of a linear of the block.
        func target(_ key: WeightKey, _ site: SiteKey.Site, _ stream: SiteKey.Site?, corrects: Bool) throws -> Tensor {
            let sums = LayerMoments(visitor, site: site, addedTo: stream, correctsStream: corrects)
            for (index, part) in hidden.enumerated() { try sums.add(decoder, 0, part, float, batch: index) }
            let weight = try #require(decoder.weights[key])
            return try sums.target(weight)
        }

        /// The squared error of the block's output over the energy of the float one's, position by position.
        func error(_ change: (Decoder) throws -> Void = { _ in }) throws -> Double {
            let block = try decoder.copy()
            try change(block)
            var sum = 0.0
            for (index, part) in hidden.enumerated() {
                let wanted = float.hidden[index]
                let found = try withNoGrad { try block.blockForward(0, part) }
                let share = try (found - wanted).square().sum([-1]) / wanted.square().sum([-1])
                sum += try share.sum(dtype: .float64).item()
            }
            return sum
        }
    }

    @Test func withoutErrorsTheTargetIsTheFloatWeight() throws {
        let pair = try Pair(error: 0)
        let key = WeightKey(.downWeight, layer: 0)
        let weight = try #require(pair.decoder.weights[key])
        let target = try pair.target(key, .product, .attentionResidual, corrects: true)
        #expect(try difference(target, weight) < 1e-4)
    }

    @Test func downProjectionMakesUpForWhatTheStreamLacks() throws {
        let pair = try Pair(error: 0.2)
        let key = WeightKey(.downWeight, layer: 0)
        let inputs = try pair.target(key, .product, .attentionResidual, corrects: false)
        let stream = try pair.target(key, .product, .attentionResidual, corrects: true)
        let before = try pair.error()
        let afterInputs = try pair.error { $0.weights[key] = inputs }
        let afterStream = try pair.error { $0.weights[key] = stream }
        #expect(afterInputs <= before)
        #expect(afterStream < afterInputs)
        #expect(afterStream < 0.99 * before)
    }

    @Test func inputsThatAreAlwaysZeroLeaveTheWeight() throws {
        let up = WeightKey(.upWeight, layer: 0), down = WeightKey(.downWeight, layer: 0)
        let pair = try Pair(error: 0.2) { $0.weights[up] = try $0.weights[up].map { try $0 * 0 } }
        let weight = try #require(pair.decoder.weights[down])
        #expect(try difference(pair.target(down, .product, .attentionResidual, corrects: true), weight) == 0)
    }

    @Test func theOutputProjectionAimsAtTheStreamBehindAttention() throws {
        let pair = try Pair(error: 0.2)
        let key = WeightKey(.oWeight, layer: 0)
        let weight = try #require(pair.decoder.weights[key])
        let target = try pair.target(key, .attentionOutput, .embeddingOutput, corrects: true)
        #expect(target.shape == weight.shape)
        #expect(try difference(target, weight) > 1e-3)
    }

    @Test func aDamagedCalibrationIsNamed() throws {
        let decoder = try tinyDecoder()
        let plan = NetworkPlan(try Recipe.named("static-w4a8"), decoder.configuration, exponentialType: .u8)
        let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).safetensors")
            .path(percentEncoded: false)
        defer { try? FileManager.default.removeItem(atPath: file) }
        var result = QuantizedNetwork()
        result.encodings[SiteKey(.gateOutput, layer: 1)] = .init(scale: 0.5, zeroPoint: 3)
        result.types[SiteKey(.gateOutput, layer: 1)] = .u8
        result.weights[WeightKey(.oWeight, layer: 0)] = QuantizedWeight(
            rows: 48, columns: 48, bits: 4, integers: (0..<48 * 48).map { Int8($0 % 15 - 7) },
            scales: (1...48).map { Float($0) })
        try CalibrationSnapshot(result, allocated: ["layers.0.mlp.product"]).write(file)
        let read = try CalibrationSnapshot(file: file, decoder: decoder, plan: plan)
        #expect(read.allocated == ["layers.0.mlp.product"])
        #expect(read.network.encodings == result.encodings && read.network.types == result.types)
        let weight = try #require(read.network.weights[WeightKey(.oWeight, layer: 0)])
        #expect(weight.integers == result.weights[WeightKey(.oWeight, layer: 0)]?.integers)
        #expect(weight.scales == (1...48).map { Float($0) } && weight.bits == 4)

        result.weights[WeightKey(.oWeight, layer: 0)]?.scales = [1]
        try SafetensorsWriter.write(
            file,
            [
                SafetensorsWriter.Tensor(
                    "model.layers.0.self_attn.o_proj.weight", .int8, [2, 2], [Int8](repeating: 0, count: 4))
            ])
        let error = #expect(throws: DyadError.self) {
            _ = try CalibrationSnapshot(file: file, decoder: decoder, plan: plan)
        }
        #expect(error?.file == file)
    }
}
