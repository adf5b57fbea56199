import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer
import Foundation
import Testing

@testable import DyadQuantization

/// Whole stages: they lower their loss, repeat themselves, continue where they stopped, and give up what went wrong.
@Suite(.needsTorch) struct LearnerTests {
    private typealias Case = LearnableTests.Case

    private func learner(
        _ test: Case, _ run: RunDirectory? = nil, _ change: (inout Recipe.Learning) -> Void
    ) -> Learner {
        var stage = Recipe.Learning()
        (stage.steps, stage.batch, stage.warmUp) = (12, 2, 1)
        change(&stage)
        return Learner(
            plan: test.plan, stage: stage, index: 0, windows: LearnableTests.text.training, seed: 9, run: run,
            progress: nil)
    }

    private func folder() -> String {
        FileManager.default.temporaryDirectory.appending(path: "dyad-run-\(UUID().uuidString)").path(
            percentEncoded: false)
    }

    /// The losses before and after that a run's log tells.
    private func losses(_ path: String) throws -> [(before: Double, after: Double)] {
        try String(contentsOfFile: path + "/log.jsonl", encoding: .utf8).split(separator: "\n").compactMap { line in
            let value = try JSONValue.parse(String(line), file: "log.jsonl")
            guard let before = value["before"]?.double, let after = value["after"]?.double else { return nil }
            return (before, after)
        }
    }

    static let stages: [@Sendable (inout Recipe.Learning) -> Void] = [
        { ($0.rates[.rounding], $0.rates[.weightScales], $0.rates[.activations]) = (3e-3, 1e-3, 1e-3) },
        {
            ($0.objective, $0.rates[.clipping], $0.rates[.scalings], $0.rates[.activations]) = (
                .lastHidden, 1e-2, 1e-2, 1e-3
            )
        },
        {
            ($0.objective, $0.rates[.rounding], $0.rates[.weightScales], $0.rates[.activations]) = (
                .block, 3e-3, 1e-3, 1e-3
            )
        },
        {
            ($0.objective, $0.activations, $0.localWeight) = (.crossEntropy, .linearInputs, 0.1)
            ($0.rates[.rotations], $0.rates[.clipping], $0.rates[.activations]) = (1e-3, 5e-3, 1e-3)
        },
        { ($0.rates[.gains], $0.rates[.biases], $0.rates[.weightScales]) = (4e-3, 4e-3, 4e-3) },
        { ($0.objective, $0.rates[.gains], $0.rates[.biases]) = (.block, 4e-3, 4e-3) },
    ]

    @Test(arguments: 0..<6) func aStageLowersItsLoss(stage: Int) throws {
        let test = try Case {
            if stage == 3 { $0.rotation = Recipe.Rotation(residual: true, values: true, online: false) }
        }
        let path = folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let run = try RunDirectory(path, settings: JSONObject(), resumes: false)
        _ = try learner(test, run) {
            Self.stages[stage](&$0)
            $0.steps = 40
        }.run(test.folded, test.result)
        try run.finish()
        let found = try losses(path)
        #expect(found.count == (stage == 2 || stage == 5 ? 2 : 1))
        for loss in found { #expect(loss.after < loss.before) }
    }

    /// Blocks that run again on the way back give the gradients that the whole graph gives, those of parameters that all blocks share
    /// and of the local errors included.
    @Test(arguments: 0..<6) func checkpointedGradientsAreThoseOfTheWholeGraph(stage: Int) throws {
        let test = try Case {
            if stage == 3 { $0.rotation = Recipe.Rotation(residual: true, values: true, online: false) }
        }
        let problem = try test.problem {
            Self.stages[stage](&$0)
            if $0.objective == .block { $0.objective = .logits }
        }
        let network = try NetworkLoss(problem)
        let batch = Array(LearnableTests.text.training.prefix(2))
        problem.visitor.collectsLocalErrors = problem.stage.localWeight > 0
        let output = try network.output(batch)
        let (loss, gradient) = try network.loss(output, batch)
        try output.backward(gradient: gradient)
        if let first = problem.visitor.localErrors.first {
            let sum = try problem.visitor.localErrors.dropFirst().reduce(first) { try $0 + $1 }
            try (sum * problem.stage.localWeight).backward()
        }
        let whole = try problem.parameters.map { try $0.tensor.grad()?.clone() }
        for parameter in problem.parameters { try parameter.tensor.zeroGrad() }
        #expect(try abs(network.backward(batch, step: 0) - loss) <= 1e-5 * loss)
        #expect(whole.count { $0 != nil } > 10)
        for (parameter, whole) in zip(problem.parameters, whole) {
            // Ranges behind what the objective looks at have none.
            let found = try parameter.tensor.grad()
            guard let found, let expected = whole else {
                #expect(found == nil && whole == nil)
                continue
            }
            let scale: Double = try expected.abs().max().item()
            #expect(try difference(found, expected) <= 1e-4 * scale, "\(parameter.kind)")
        }
    }

    /// Conformance check 4 of MobileQuant, its second half: ranges that are learned beside scalings and clipping are a gain, on a small model
    /// whose ranges calibration took from the extremes.
    @Test func learnedRangesAreAGain() throws {
        func loss(ranges: Double) throws -> Double {
            let path = folder()
            defer { try? FileManager.default.removeItem(atPath: path) }
            let run = try RunDirectory(path, settings: JSONObject(), resumes: false)
            let test = try Case { $0.activations.range = .minmax }
            _ = try learner(test, run) {
                ($0.objective, $0.steps) = (.lastHidden, 60)
                ($0.rates[.clipping], $0.rates[.scalings], $0.rates[.activations]) = (1e-2, 1e-2, ranges)
            }.run(test.folded, test.result)
            try run.finish()
            return try #require(try losses(path).last).after
        }
        let (with, without) = (try loss(ranges: 3e-3), try loss(ranges: 0))
        #expect(with < without)
    }

    /// With few steps, one objective at the end of the network learns less than block by block does with the same windows, steps
    /// and rates (conformance check 5 of MobileQuant; its table 2, 128 windows × 20 epochs at W4A8): the integer programs of
    /// random decoders of eight blocks, whose norms have channels that scalings must find, on text that nothing was learned on.
    @Test func aShortEndToEndRunIsWorseThanBlockByBlock() throws {
        var random = Gaussian(seed: 101)
        func windows() -> [[Int32]] { (0..<16).map { _ in random.tokens(32, below: 64) } }
        let text = CalibrationText(calibration: windows(), heldOut: windows())
        func divergence(_ decoder: Decoder, _ objective: Recipe.Learning.Objective) throws -> Double {
            var recipe = try Recipe.named("mobilequant-w4a8")
            (recipe.prefix, recipe.smoothing) = (.tokens([1]), nil)
            recipe.learning[0].objective = objective
            recipe.learning[0].steps = 40
            (recipe.learning[0].rates[.activations], recipe.learning[0].rates[.clipping]) = (0.01, 0.2)
            recipe.learning[0].rates[.scalings] = 0.02
            let output = try Quantizer(recipe: recipe, seed: 1, context: 64).quantize(
                decoder, tokenizer: tinyTokenizer(), text: text)
            return try text.heldOut.map { window in
                let logits = try ReferenceInterpreter(output.program).run(tokens: window) { _, _ in }
                let found = try Tensor(logits.map { Double($0) * 0x1p-16 }, shape: [window.count, 64]).logSoftmax(-1)
                let float = try withNoGrad { try output.folded.forward([window]).squeeze(0) }.to(.float64)
                let p = try float.logSoftmax(-1)
                return try (p.exp() * (p - found)).sum([-1]).mean().item()
            }.reduce(0, +)
        }
        let eightBlocks = Shape("eight blocks") { $0.layerCount = 8 }
        var (endToEnd, blocks) = (0.0, 0.0)
        for seed in 1...3 {
            let decoder = try tinyDecoder(eightBlocks, seed: UInt64(seed))
            for layer in 0..<8 {
                for weight in [WeightKey.Weight.inputNormGain, .feedForwardNormGain] {
                    let key = WeightKey(weight, layer: layer)
                    var gain = try #require(decoder.weights[key]).toArray(Float.self)
                    for channel in [3, 14, 25] { gain[(7 * layer + channel) % gain.count] *= 30 }
                    decoder.weights[key] = try Tensor(gain)
                }
            }
            endToEnd += try divergence(decoder, .lastHidden)
            blocks += try divergence(decoder, .block)
        }
        #expect(blocks < endToEnd)
    }

    @Test(arguments: 0..<6) func aStoppedRunEndsInTheSameIntegers(stage: Int) throws {
        let test = try Case {
            if stage == 3 { $0.rotation = Recipe.Rotation(residual: true, values: true, online: false) }
        }
        let whole = try learner(test, nil, Self.stages[stage]).run(test.folded, test.result)
        // Nothing was rolled back: there is something to be equal.
        #expect(whole.result.encodings != test.result.encodings || whole.result.vectors != test.result.vectors)
        let path = folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        for attempt in 0..<3 {
            let run = try RunDirectory(path, settings: JSONObject([("a", 1)]), resumes: attempt > 0)
            run.interval = 0
            run.stopAfter = 3
            #expect(throws: CancellationError.self) {
                _ = try learner(test, run, Self.stages[stage]).run(test.folded, test.result)
            }
        }
        let run = try RunDirectory(path, settings: JSONObject([("a", 1)]), resumes: true)
        let resumed = try learner(test, run, Self.stages[stage]).run(test.folded, test.result)
        #expect(resumed.result.encodings == whole.result.encodings)
        for (key, weight) in whole.result.weights {
            #expect(resumed.result.weights[key]?.integers == weight.integers)
            #expect(resumed.result.weights[key]?.scales == weight.scales)
        }
        #expect(resumed.result.vectors == whole.result.vectors)
        let error = #expect(throws: DyadError.self) {
            _ = try RunDirectory(path, settings: JSONObject([("a", 2)]), resumes: true)
        }
        #expect(error?.reason == .mismatch && error?.subject == "a")
    }

    @Test func aFolderThatARunIsWritingToIsRefusedToAnother() throws {
        let path = folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        var run: RunDirectory? = try RunDirectory(path, settings: JSONObject(), resumes: false)
        for resumes in [false, true] {
            let error = #expect(throws: DyadError.self) {
                _ = try RunDirectory(path, settings: JSONObject(), resumes: resumes)
            }
            #expect(error?.reason == .cannotWrite && error?.file == path)
        }
        try run?.finish()
        run = nil
        _ = try RunDirectory(path, settings: JSONObject(), resumes: true)
    }

    /// The control of exposure to a text: without rounding the student is its teacher, whatever the text, and what steps still change of it
    /// is lost again.
    @Test func aFloatStudentIsTaughtNothing() throws {
        let test = try Case { $0.attention = .softmax }
        let path = folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let run = try RunDirectory(path, settings: JSONObject(), resumes: false)
        let float = QuantizedNetwork()
        let outcome = try learner(test, run) { $0.rates[.gains] = 4e-3 }.run(test.folded, float)
        try run.finish()
        let loss = try #require(try losses(path).first)
        #expect(loss.before < 1e-6)
        #expect(outcome.result.vectors.isEmpty)
    }

    /// Whatever diverges, calibration's integers and encodings come back: by a loss that grows, by one that is not a number.
    @Test(arguments: [
        (Recipe.Learning.Objective.logits, Recipe.Learning.Parameter.weightScales, 9.0), (.logits, .weightScales, 1e30),
        (.logits, .activations, 1e30), (.logits, .clipping, 1e30), (.block, .clipping, 1e30),
        (.block, .activations, 1e30),
        (.block, .activations, 9),
    ]) func aStageThatDivergesIsRolledBack(
        objective: Recipe.Learning.Objective, kind: Recipe.Learning.Parameter, rate: Double
    ) throws {
        let test = try Case()
        let outcome = try learner(test) {
            ($0.objective, $0.steps, $0.rates) = (objective, 6, Recipe.Learning.Rates())
            $0.rates[kind] = rate
        }.run(test.folded, test.result)
        // Block by block, ranges of 16-bit tensors are measured again behind what other blocks became.
        for (key, encoding) in test.result.encodings where test.result.types[key] != .u16 {
            #expect(outcome.result.encodings[key] == encoding)
        }
        if objective != .block { #expect(outcome.result.encodings == test.result.encodings) }
        for (key, weight) in test.result.weights {
            #expect(outcome.result.weights[key]?.integers == weight.integers)
            #expect(outcome.result.weights[key]?.scales == weight.scales)
        }
    }

    @Test func recipesOfStagesAreReadAndChecked() throws {
        func recipe(_ stage: String) throws -> Recipe {
            try Recipe(yaml: "name: a\nsummary: b\nlearning:\n  - \(stage)\n", file: "test.yaml")
        }
        let read = try recipe(
            "{ objective: block-output, steps: 7, rates: { clipping: 0.01, scalings: 0.001 }, scalings: [norms] }")
        #expect(read.learning.count == 1 && read.learning[0].objective == .block && read.learning[0].steps == 7)
        #expect(read.learning[0].scalings == [.norms] && read.learning[0].rates[.rounding] == 0)
        for (stage, subject) in [
            ("{ steps: 3 }", "learning[0].rates"), ("{ rates: { speed: 1 } }", "learning[0].rates.speed"),
            ("{ rates: { rounding: 1, scalings: 1 } }", "learning[0].rates"),
            ("{ objective: block-output, rates: { rotations: 1 }, recalibrate: true }", "learning[0].objective"),
            ("{ rates: { rotations: 1 } }", "learning[0].recalibrate"),
            ("{ rates: { gains: 1, scalings: 1 } }", "learning[0].rates"),
            ("{ rates: { biases: 1 }, recalibrate: true }", "learning[0].rates"),
            ("{ rates: { biases: 1 } }\n  - { rates: { scalings: 1 } }", "learning[1].rates"),
            ("{ objective: mse, rates: { rounding: 1 } }", "learning[0].objective"),
        ] {
            let error = #expect(throws: DyadError.self) { try recipe(stage) }
            #expect(error?.subject == subject)
        }
        #expect(try recipe("{ rates: { rounding: 1 } }").settings == recipe("{ rates: { rounding: 1 } }").settings)
        #expect(try recipe("{ rates: { rounding: 1 } }").settings != recipe("{ rates: { rounding: 2 } }").settings)
    }
}
