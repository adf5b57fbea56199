import DyadCheckpoint
import DyadFormats
import DyadTensor
import DyadTransformer
import Testing

@testable import DyadQuantization

/// Every transform alone and all together leave the float function as it is.
@Suite(.needsTorch) struct TransformTests {
    /// One switch of a recipe.
    struct Switch: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let recipe: Recipe

        init(_ name: String, _ change: (inout Recipe) -> Void) {
            testDescription = name
            var recipe = Recipe(name: name, summary: "one switch")
            recipe.attention = .softmax
            change(&recipe)
            self.recipe = recipe
        }

        static func smoothing(_ sites: Set<Recipe.Smoothing.Site>) -> Recipe.Smoothing {
            Recipe.Smoothing(alpha: 0.5, sites: sites)
        }

        /// Those that any kind of norm allows.
        static let any = [
            Switch("late division") { $0.attention = .late },
            Switch("norms") { $0.smoothing = smoothing([.norms]) },
            Switch("up-down") { $0.smoothing = smoothing([.upDown]) },
            Switch("value-output") { $0.smoothing = smoothing([.valueOutput]) },
            Switch("query-key") { $0.smoothing = smoothing([.queryKey]) },
            Switch("query-key and value-output, α = 1") {
                $0.smoothing = .init(alpha: 1, sites: [.queryKey, .valueOutput])
            },
            Switch("R2") { $0.rotation.values = true },
            Switch("R4") { $0.rotation.online = true },
            Switch("all but R1") {
                ($0.rotation, $0.attention) = (.init(residual: false, values: true, online: true), .late)
                $0.smoothing = smoothing(Set(Recipe.Smoothing.Site.allCases))
            },
        ]
        static let rms =
            any + [
                Switch("R1") { $0.rotation.residual = true },
                Switch("all") {
                    ($0.rotation, $0.attention) = (.init(residual: true, values: true, online: true), .late)
                    $0.smoothing = smoothing(Set(Recipe.Smoothing.Site.allCases))
                },
            ]
    }

    private func transformed(_ decoder: Decoder, _ recipe: Recipe, seed: UInt64 = 3) throws -> Decoder {
        try Quantizer(recipe: recipe, seed: seed, context: 64).transformed(
            decoder, tokenizer: tinyTokenizer(), text: windows)
    }

    /// Smoothing looks at these; the logits are compared on others.
    private var windows: CalibrationText {
        var random = Gaussian(seed: 11)
        return CalibrationText(calibration: (0..<4).map { _ in random.tokens(20, below: 64) }, heldOut: [[1, 2, 3]])
    }

    private func logits(_ decoder: Decoder) throws -> Tensor {
        var random = Gaussian(seed: 12)
        let batch = (0..<2).map { _ in random.tokens(24, below: 64) }
        return try withNoGrad { try decoder.forward(batch) }
    }

    private func expectEqualFunction(_ shape: Shape, _ change: Switch) throws {
        let decoder = try tinyDecoder(shape)
        let before = try logits(decoder)
        let magnitude: Double = try before.abs().max().to(.float64).item()
        #expect(magnitude > 1 && magnitude < 40)
        for prefix: [Int32] in [[], [1, 7]] {
            var recipe = change.recipe
            var expected = before
            if !prefix.isEmpty {
                // A prefix is another function: the original one's own.
                recipe.prefix = .tokens(prefix)
                let original = try decoder.copy()
                original.prefix = try original.computePrefix(prefix)
                expected = try logits(original)
                #expect(try difference(before, expected) > 0.05)
            }
            let changed = try transformed(decoder, recipe)
            #expect(try difference(logits(changed), expected) <= 1e-4)
        }
        #expect(try difference(logits(decoder), before) == 0)
    }

    @Test(arguments: Shape.rms, Switch.rms) func rmsModelsKeepTheirLogits(shape: Shape, change: Switch) throws {
        try expectEqualFunction(shape, change)
    }

    @Test(arguments: Shape.withoutR1, Switch.any) func modelsThatR1RefusesKeepTheirLogits(
        shape: Shape, change: Switch
    ) throws {
        try expectEqualFunction(shape, change)
    }

    /// With α = 1 all rotary pairs of the keys get one range.
    @Test func queryKeyScalingWithAlphaOneEvensOutTheKeys() throws {
        func spread(_ smoothing: Recipe.Smoothing?) throws -> Double {
            let decoder = try transformed(
                try tinyDecoder(Shape.rms[0]), Switch("keys") { $0.smoothing = smoothing }.recipe)
            let magnitudes = Transform.ChannelMagnitudes()
            for window in windows.calibration {
                _ = try withNoGrad { try decoder.hiddenStates([window], cache: nil, visitor: magnitudes) }
            }
            let values = try #require(magnitudes.values[SiteKey(.kOutput, layer: 0)]).toArray(Float.self)
            let (size, half) = (decoder.configuration.headDimension, decoder.configuration.rotaryDimension / 2)
            let pairs = values.indices.filter { $0 % size < half }.map { values[$0] * values[$0 + half] }
            return Double((pairs.max() ?? 0) / max(pairs.min() ?? 0, 1e-9))
        }
        #expect(try spread(nil) > 1.1)
        #expect(try spread(.init(alpha: 1, sites: [.queryKey])) < 1.001)
    }

    @Test(arguments: Shape.all) func foldedNormsKeepTheLogitsAndHaveNoGain(shape: Shape) throws {
        let decoder = try tinyDecoder(shape)
        let before = try logits(decoder)
        try Transform.foldNorms(&decoder.weights)
        #expect(try difference(logits(decoder), before) <= 1e-4)
        #expect(decoder.weights.finalNorm.gain == nil && decoder.weights.finalNorm.bias == nil)
        #expect(decoder.weights.blocks.allSatisfy { $0.inputNorm?.gain == nil && $0.feedForwardNorm?.gain == nil })
    }

    @Test(arguments: Shape.withoutR1) func residualRotationOfLayerOrPostNormsIsRefused(shape: Shape) throws {
        var recipe = Recipe(name: "r1", summary: "")
        recipe.rotation.residual = true
        let decoder = try tinyDecoder(shape)
        let error = #expect(throws: DyadError.self) { try transformed(decoder, recipe) }
        #expect(error?.reason == .unsupported && error?.subject == "rotation.residual")
    }

    /// What each switch is for: without this, a transform that does nothing would pass.
    @Test func everySwitchChangesItsWeights() throws {
        let decoder = try tinyDecoder()
        func change(_ name: String, _ key: WeightKey.Weight, layer: Int? = 1) throws -> Double {
            let found = try #require(Switch.rms.first { $0.testDescription == name })
            let after = try transformed(decoder, found.recipe)
            let key = WeightKey(key, layer: layer)
            return try difference(#require(after.weights[key]), #require(decoder.weights[key]))
        }
        #expect(try change("norms", .upWeight) > 0.01)
        #expect(try change("up-down", .downWeight) > 0.01)
        #expect(try change("value-output", .oWeight) > 0.01)
        #expect(try change("query-key", .kWeight) > 0.01)
        #expect(try change("R1", .embedding, layer: nil) > 0.1)
        #expect(try change("R1", .downWeight) > 0.1)
        #expect(try change("R2", .vWeight) > 0.1)
        #expect(try change("R4", .downWeight) > 0.1)
        #expect(try change("late division", .downWeight) == 0)
    }

    /// R1's purpose: a residual channel that dwarfs the others is spread over all.
    @Test func residualRotationSpreadsAnOutlierChannel() throws {
        let decoder = try tinyDecoder()
        var factors = [Float](repeating: 1, count: 48)
        factors[5] = 60
        decoder.weights.embedding = try decoder.weights.embedding * Tensor(factors)
        func peak(_ decoder: Decoder) throws -> Double {
            let hidden = try withNoGrad { try decoder.embed([[3, 9, 27, 40, 50]]) }
            return try (hidden.abs().max() / hidden.square().mean().sqrt()).to(.float64).item()
        }
        let rotation = try #require(Switch.rms.first { $0.testDescription == "R1" })
        #expect(try peak(transformed(decoder, rotation.recipe)) < 0.6 * peak(decoder))
    }

    @Test func randomHadamardsAreOrthonormalAtAnyWidth() throws {
        for size in [1, 6, 8, 10, 36, 48, 52, 60, 92] {
            let matrix = try Transform.randomHadamard(size, generator: Generator(seed: 4))
            let product = try matrix.matmul(matrix.transpose())
            #expect(try difference(product, .eye(size, dtype: .float64)) < 1e-12)
        }
    }

    @Test func anotherSeedGivesOtherSigns() throws {
        let decoder = try tinyDecoder()
        let rotation = try #require(Switch.rms.first { $0.testDescription == "R1" })
        let one = try transformed(decoder, rotation.recipe, seed: 1).weights.embedding
        #expect(try difference(one, transformed(decoder, rotation.recipe, seed: 1).weights.embedding) == 0)
        #expect(try difference(one, transformed(decoder, rotation.recipe, seed: 2).weights.embedding) > 0.1)
    }
}
