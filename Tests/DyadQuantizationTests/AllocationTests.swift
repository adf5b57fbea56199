import DyadFormats
import DyadTensor
import DyadTransformer
import Foundation
import Testing

@testable import DyadQuantization

private func sensitivity(
    _ tensor: String, _ divergence: Double, error: Double = 0, bytes: Int = 0, cycles: Int = 0
) -> Sensitivity {
    Sensitivity(
        tensor: tensor, isWeight: bytes > 0, divergence: divergence, relativeError: error, bytes: bytes, cycles: cycles)
}

@Suite struct AllocationTests {
    private func allocation(_ change: (inout Allocation) -> Void) -> Allocation {
        var allocation = Allocation()
        change(&allocation)
        return allocation
    }

    private let activations = [
        sensitivity("a", 0.1, error: 1, cycles: 10), sensitivity("b", 0.3, error: 2, cycles: 100),
        sensitivity("c", 0.2, error: 9, cycles: 10), sensitivity("d", 0, error: 0, cycles: 1),
    ]

    @Test func aShareOfTheSitesGoesToTheMostSensitive() {
        let chosen = allocation { $0.sixteenBitShare = 0.5 }.chosen(from: activations, bytes: 0, cycles: 1000)
        #expect(chosen.map(\.tensor) == ["b", "c"])
        let byError = allocation {
            $0.sixteenBitShare = 0.5
            $0.measure = .relativeError
        }.chosen(from: activations, bytes: 0, cycles: 1000)
        #expect(byError.map(\.tensor) == ["c", "b"])
    }

    @Test func nothingIsPromotedWithoutABudgetOrWithoutGain() {
        #expect(Allocation().chosen(from: activations, bytes: 0, cycles: 1000).isEmpty)
        let all = allocation { $0.sixteenBitShare = 1 }.chosen(from: activations, bytes: 0, cycles: 1000)
        #expect(!all.map(\.tensor).contains("d") && all.count == 3)
    }

    @Test func whatWouldTakeTooLongIsPassedOver() {
        let chosen = allocation {
            $0.sixteenBitShare = 1
            $0.latency = 1.05
        }.chosen(from: activations, bytes: 0, cycles: 1000)
        #expect(chosen.map(\.tensor) == ["c", "a"])
    }

    @Test func bytesAreSpentWhereTheyGainMost() {
        let weights = [
            sensitivity("large", 0.3, bytes: 100), sensitivity("small", 0.1, bytes: 10),
            sensitivity("next", 0.09, bytes: 20),
        ]
        let chosen = allocation { $0.weightBytes = 1030 }.chosen(from: weights, bytes: 1000, cycles: 1)
        #expect(chosen.map(\.tensor) == ["small", "next"])
        #expect(allocation { $0.weightGrowth = 1.03 }.chosen(from: weights, bytes: 1000, cycles: 1) == chosen)
        #expect(allocation { $0.weightBytes = 900 }.chosen(from: weights, bytes: 1000, cycles: 1).isEmpty)
    }

    @Test func aRecipeSaysWhatMayBePromoted() throws {
        let yaml = """
            name: x
            summary: y
            allocation: { measure: relative-error, candidates: [layers.*.mlp.down_proj.input], sixteen-bit-share: 0.1, latency: 1.2 }
            """
        let allocation = try #require(try Recipe(yaml: yaml, file: "r.yaml").allocation)
        #expect(allocation.measure == .relativeError && allocation.candidates == ["layers.*.mlp.down_proj.input"])
        #expect(allocation.sixteenBitShare == 0.1 && allocation.latency == 1.2 && allocation.weightBytes == nil)
        for wrong in ["sixteen-bit-share: 1.5", "latency: 0.9", "weight-growth: 0.9", "measure: guess", "more: 1"] {
            #expect(throws: DyadError.self) {
                try Recipe(yaml: "name: x\nsummary: y\nallocation: { \(wrong) }", file: "r.yaml")
            }
        }
    }
}

@Suite(.needsTorch) struct SensitivityTests {
    private func recipe(_ change: (inout Recipe) -> Void = { _ in }) -> Recipe {
        var recipe = Recipe(name: "s", summary: "a test")
        recipe.weights.bits = 4
        recipe.prefix = .tokens([1])
        change(&recipe)
        return recipe
    }

    private var text: CalibrationText {
        var random = Gaussian(seed: 71)
        let windows = (0..<6).map { _ in random.tokens(24, below: 64) }
        return CalibrationText(calibration: windows, heldOut: [random.tokens(32, below: 64)])
    }

    @Test func everyTensorIsMeasuredAndTheCurvesEndBetterThanTheyBegin() throws {
        let quantizer = Quantizer(recipe: recipe(), seed: 3, context: 64)
        let decoder = try tinyDecoder(.plain)
        let report = try quantizer.sensitivities(decoder, tokenizer: tinyTokenizer(), text: text)
        let weights = report.tensors.filter(\.isWeight), sites = report.tensors.filter { !$0.isWeight }
        #expect(weights.count == 7 * decoder.configuration.layerCount)
        #expect(sites.contains { $0.tensor == "norm.output" } && sites.contains { $0.tensor == "layers.0.mlp.product" })
        #expect(!sites.contains { $0.tensor == "layers.0.residual" || $0.tensor == "layers.0.self_attn.k_rotated" })
        for tensor in report.tensors {
            #expect(tensor.divergence > -1e-6 && tensor.relativeError > 0)
            #expect(tensor.isWeight ? tensor.bytes > 0 : tensor.cycles > 0)
        }
        #expect(report.curves.count == 3)
        for curve in report.curves {
            let (first, last) = (try #require(curve.points.first), try #require(curve.points.last))
            #expect(first.count == 0 && last.count == (curve.ofWeights ? weights.count : sites.count))
            #expect(first.predictedDivergence > last.predictedDivergence)
            #expect(first.divergence > 0)
        }
        // Weights at 4 bit are most of the loss.
        let byWeights = try #require(report.curves.last)
        #expect(byWeights.points[5].divergence < 0.5 * byWeights.points[0].divergence)
        #expect(byWeights.points[5].weightBytes > byWeights.points[0].weightBytes)
        #expect(report.floatPerplexity > 1 && report.heldOutTokens == 32)
    }

    /// Without a measure both rankings are tried on calibration text, and the one that predicts it better is kept.
    @Test func withoutAMeasureTheBetterChoiceIsKept() throws {
        func quantized(_ measure: Allocation.Measure?, _ run: RunDirectory? = nil) throws -> [String] {
            let recipe = recipe {
                var allocation = Allocation()
                (allocation.sixteenBitShare, allocation.measure) = (0.2, measure)
                $0.allocation = allocation
            }
            return try Quantizer(recipe: recipe, seed: 3, context: 64, run: run)
                .quantize(tinyDecoder(.plain), tokenizer: tinyTokenizer(), text: text).allocated
        }
        let choices = try Allocation.Measure.allCases.map { try quantized($0) }
        try #require(choices[0] != choices[1])
        let path = FileManager.default.temporaryDirectory.appending(path: "dyad-trial-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let run = try RunDirectory(path, settings: JSONObject(), resumes: false)
        let kept = try quantized(nil, run)
        try run.finish()
        var trials: [Double] = []
        for line in try String(contentsOfFile: path + "/log.jsonl", encoding: .utf8).split(separator: "\n") {
            if let value = try JSONValue.parse(String(line), file: "log").object?["trial_perplexity"]?.double {
                trials.append(value)
            }
        }
        try #require(trials.count == 2 && trials[0] != trials[1])
        #expect(kept == choices[trials[0] < trials[1] ? 0 : 1])
    }

    @Test func theChosenTensorsAreWiderInTheProgram() throws {
        let plain = try Quantizer(recipe: recipe(), seed: 3, context: 64)
            .quantize(tinyDecoder(.plain), tokenizer: tinyTokenizer(), text: text)
        #expect(plain.allocated.isEmpty)
        let wider = recipe {
            var allocation = Allocation()
            allocation.sixteenBitShare = 0.25
            allocation.weightBytes = 1 << 30
            $0.allocation = allocation
        }
        let output = try Quantizer(recipe: wider, seed: 3, context: 64)
            .quantize(tinyDecoder(.plain), tokenizer: tinyTokenizer(), text: text)
        let sites = output.allocated.filter { !$0.hasSuffix(".weight") }
        let weights = output.allocated.filter { $0.hasSuffix(".weight") }
        #expect(!sites.isEmpty && !weights.isEmpty)
        for name in sites {
            let tensor = try #require(output.program.graph.tensors.first { $0.name == name })
            #expect(tensor.type == .u16)
        }
        try output.program.validate()
        let wide = output.program.graph.constants.count { $0.type == .i4 }
        #expect(wide < plain.program.graph.constants.count { $0.type == .i4 })
    }

    @Test func aBudgetThatCannotBeKeptAndPatternsThatNameNothingAreRefused() throws {
        for (subject, change) in [
            ("allocation.weight-bytes", { $0.weightBytes = 10 }),
            ("allocation.candidates", { ($0.sixteenBitShare, $0.candidates) = (0.5, ["layers.*.mlp.prodct"]) }),
        ] as [(String, (inout Allocation) -> Void)] {
            let unusable = recipe {
                var allocation = Allocation()
                change(&allocation)
                $0.allocation = allocation
            }
            let error = #expect(throws: DyadError.self) {
                _ = try Quantizer(recipe: unusable, seed: 3, context: 64)
                    .quantize(tinyDecoder(.plain), tokenizer: tinyTokenizer(), text: text)
            }
            #expect(error?.subject == subject)
        }
        let wide = recipe { ($0.weights.bits, $0.promote) = (8, ["layers.0.mlp.down_proj.weight"]) }
        let error = #expect(throws: DyadError.self) {
            _ = try Quantizer(recipe: wide, seed: 3, context: 64)
                .quantize(tinyDecoder(.plain), tokenizer: tinyTokenizer(), text: text)
        }
        #expect(error?.subject == "promote")
    }

    @Test func aPromotedWeightHasEightBits() throws {
        let promoted = recipe { $0.promote = ["layers.0.mlp.down_proj.weight"] }
        let output = try Quantizer(recipe: promoted, seed: 3, context: 64)
            .quantize(tinyDecoder(.plain), tokenizer: tinyTokenizer(), text: text)
        let constants = output.program.graph.constants
        let narrow = constants.count { $0.type == .i4 }
        #expect(narrow == 7 * (try tinyDecoder(.plain).configuration.layerCount) - 1)
    }
}
