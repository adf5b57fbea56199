import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer
import Foundation
import Testing

@testable import DyadQuantization

/// Learnable parameters: they start at what calibration found, keep the float function, and what is folded is what was learnt.
@Suite(.needsTorch) struct LearnableTests {
    /// A calibrated tiny decoder and a problem around it.
    struct Case {
        let decoder: Decoder
        let folded: Decoder
        let result: Calibrator.Result
        let recipe: Recipe

        init(_ shape: Shape = .plain, bits: Int = 4, change: (inout Recipe) -> Void = { _ in }) throws {
            var recipe = Recipe(name: "learn", summary: "a test")
            recipe.weights.bits = bits
            recipe.prefix = .tokens([1])
            change(&recipe)
            decoder = try tinyDecoder(shape)
            let text = LearnableTests.text
            folded = try Quantizer(recipe: recipe, seed: 3, context: 64).transformed(
                decoder, tokenizer: tinyTokenizer(), text: text)
            result = try Calibrator(
                decoder: try folded.copy(), recipe: recipe, windows: text.calibration, exponentialType: .u8,
                progress: nil
            ).run()
            self.recipe = recipe
        }

        func problem(_ change: (inout Recipe.Learning) -> Void) throws -> LearningProblem {
            var stage = Recipe.Learning()
            change(&stage)
            return try LearningProblem(stage, recipe: recipe, folded: folded, start: result, exponentialType: .u8)
        }
    }

    static var text: CalibrationText {
        var random = Gaussian(seed: 21)
        return CalibrationText(calibration: (0..<6).map { _ in random.tokens(24, below: 64) }, heldOut: [[1, 2, 3]])
    }

    private static let batch: [[Int32]] = {
        var random = Gaussian(seed: 22)
        return (0..<2).map { _ in random.tokens(20, below: 64) }
    }()

    /// Puts every parameter at a random distance from its start.
    private func disturb(_ problem: LearningProblem, by deviation: Float) throws {
        var random = Gaussian(seed: 23)
        for parameter in problem.parameters {
            let values = random.values(parameter.tensor.shape, deviation: deviation)
            try withNoGrad { try parameter.tensor.addInPlace(try Tensor(values, shape: parameter.tensor.shape)) }
        }
        problem.visitor.beginPass()
    }

    /// Scalings, and rotations where the model has any, at random values change nothing when nothing is rounded.
    @Test(arguments: Shape.all) func learntTransformsKeepTheLogits(shape: Shape) throws {
        let rotates = shape.configuration.normKind == .rms && !shape.configuration.postNorms
        for rotation in rotates ? [false, true] : [false] {
            let test = try Case(shape) {
                if rotation { $0.rotation = Recipe.Rotation(residual: true, values: true, online: true) }
            }
            let problem = try test.problem {
                $0.rates.scalings = rotation ? 0 : 1
                $0.rates.rotations = rotation ? 1 : 0
            }
            try disturb(problem, by: 0.2)
            let folded = try problem.folded.copy()
            let before = try withNoGrad { try folded.forward(Self.batch) }
            try problem.fold(into: folded)
            #expect(try difference(withNoGrad { try folded.forward(Self.batch) }, before) <= 1e-4)
            let weight = WeightKey(rotation ? .qWeight : .vWeight, layer: 1)
            let (now, then) = (try #require(folded.weights[weight]), try #require(test.folded.weights[weight]))
            #expect(try difference(now, then) > 0.01)
        }
    }

    /// Every pair of linears whose channels may be scaled against each other is, by learnt factors, and only it.
    @Test(arguments: [
        (Recipe.Smoothing.Site.norms, [WeightKey.Weight.qWeight, .kWeight, .vWeight, .gateWeight, .upWeight]),
        (.upDown, [.upWeight, .downWeight]), (.valueOutput, [.vWeight, .oWeight]), (.queryKey, [.qWeight, .kWeight]),
    ]) func learntScalingsChangeTheirWeights(site: Recipe.Smoothing.Site, changed: [WeightKey.Weight]) throws {
        let test = try Case()
        let problem = try test.problem { ($0.rates.scalings, $0.scalings) = (1, [site]) }
        try disturb(problem, by: 0.2)
        let folded = try problem.folded.copy()
        try problem.fold(into: folded)
        for key in test.folded.weights.linearKeys(layer: 1) {
            let (now, then) = (try #require(folded.weights[key]), try #require(test.folded.weights[key]))
            #expect(try (difference(now, then) > 1e-3) == changed.contains(key.weight), "\(key.name)")
        }
    }

    /// Gradients of a clipped weight against differences in float64, where what rounding adds is held: whole for the float weight, the
    /// largest of a row (which carries the scale) included, and damped by LSQ's factor for the clipping.
    @Test func clippedWeightsHaveTheirGradients() throws {
        var random = Gaussian(seed: 31)
        let (rows, columns, logit) = (2, 9, 0.8)
        let values = random.values([rows, columns], deviation: 1).map(Double.init)
        let upstream = random.values([rows, columns], deviation: 1).map(Double.init)
        func scale(_ w: [Double], _ u: Double, _ row: Int) -> Double {
            (w[(row * columns)..<((row + 1) * columns)].map(abs).max() ?? 0) / (1 + exp(-u)) / 7
        }
        let fixed = values.indices.map { values[$0] / scale(values, logit, $0 / columns) }
        #expect(fixed.contains { abs($0) > 7.5 }, "some values are clipped")
        func loss(_ w: [Double], _ u: Double) -> Double {
            w.indices.reduce(0) { sum, i in
                let s = scale(w, u, i / columns)
                let value =
                    abs(fixed[i]) < 7.5
                    ? w[i] + s * ((fixed[i] + 0.5).rounded(.down) - fixed[i]) : (fixed[i] > 0 ? 7 : -7) * s
                return sum + upstream[i] * value
            }
        }
        let weight = try Tensor(values.map(Float.init), shape: [rows, columns]).requiresGrad(true)
        let clipped = try ClippedWeight(rows: rows, bits: 4, start: logit)
        try clipped.quantized(weight).backward(
            gradient: try Tensor(upstream.map(Float.init), shape: [rows, columns]))
        let found = try #require(try weight.grad()).toArray(Float.self)
        let step = 1e-6
        for i in values.indices {
            var (more, less) = (values, values)
            (more[i], less[i]) = (values[i] + step, values[i] - step)
            let expected = (loss(more, logit) - loss(less, logit)) / (2 * step)
            #expect(abs(Double(found[i]) - expected) < 1e-4, "\(i)")
        }
        let slope = (loss(values, logit + step) - loss(values, logit - step)) / (2 * step)
        let logits = try #require(try clipped.parameters[0].tensor.grad()).toArray(Float.self)
        #expect(abs(Double(logits.reduce(0, +)) - slope / (9 * 7.0).squareRoot()) < 1e-4)
    }

    /// Gradients of learned rounding and of learned row scales, straight through the rounding and masked outside the range, against
    /// differences in float64 in which what rounding adds is held.
    @Test func latentWeightsHaveTheirGradients() throws {
        var random = Gaussian(seed: 32)
        let (rows, columns, largest) = (3, 8, 7.0)
        // Of the last row the integers are at the end of the range, where latent weights lie beyond it too.
        let integers = (0..<rows * columns).map { $0 / columns == 2 ? Int8(7) : Int8($0 % 13) - 6 }
        let scales: [Float] = [0.1, 0.5, 2]
        let start = QuantizedWeight(rows: rows, columns: columns, bits: 4, integers: integers, scales: scales)
        let float = integers.indices.map { (Float(integers[$0]) + 0.2) * scales[$0 / columns] }
        let upstream = random.values([rows, columns], deviation: 1)
        let weight = try LatentWeight(start, float: Tensor(float, shape: [rows, columns]))
        let parameters = weight.parameters
        let (logScale, latent) = (parameters[0].tensor, parameters[1].tensor)
        // Beyond the range by more than the half step that rounding takes.
        try withNoGrad { try latent.copy(from: latent + Tensor([0, 0, 1], shape: [3, 1])) }
        let value = try weight.quantized(Tensor.zeros([rows, columns]))
        try value.backward(gradient: Tensor(upstream, shape: [rows, columns]))
        let v = try latent.detach().toArray(Float.self).map(Double.init)
        func loss(_ v: [Double], _ r: [Double], holding start: [Double]) -> Double {
            v.indices.reduce(0) { sum, i in
                let s = Double(scales[i / columns]) * exp(r[i / columns])
                let held = start[i] + 0.5 - (start[i] + 0.5).rounded(.down) - 0.5
                let level = abs(start[i]) < largest + 0.5 ? v[i] - held : (start[i] > 0 ? largest : -largest)
                return sum + Double(upstream[i]) * level * s
            }
        }
        let (found, step, zeros) = (try #require(try latent.grad()).toArray(Float.self), 1e-6, [0.0, 0, 0])
        for i in v.indices {
            var (more, less) = (v, v)
            (more[i], less[i]) = (v[i] + step, v[i] - step)
            let expected = (loss(more, zeros, holding: v) - loss(less, zeros, holding: v)) / (2 * step)
            #expect(abs(Double(found[i]) - expected) < 1e-4, "\(i)")
        }
        #expect(found.suffix(columns).allSatisfy { $0 == 0 } && found.prefix(columns).allSatisfy { $0 != 0 })
        let byScale = try #require(try logScale.grad()).toArray(Float.self)
        // Row scales alone are factors of the outputs, to the same effect.
        let scaled = try ScaledWeight(start)
        let factors = try #require(try scaled.rowFactors()).reshape([rows, 1])
        try (scaled.quantized(Tensor.zeros([rows, columns])) * factors)
            .backward(gradient: Tensor(upstream, shape: [rows, columns]))
        let byFactor = try #require(try scaled.parameters[0].tensor.grad()).toArray(Float.self)
        let own = integers.map(Double.init)
        for row in 0..<rows {
            var (more, less) = (zeros, zeros)
            (more[row], less[row]) = (step, -step)
            for (gradient, at) in [(byScale[row], v), (byFactor[row], own)] {
                let expected = (loss(at, more, holding: at) - loss(at, less, holding: at)) / (2 * step)
                #expect(abs(Double(gradient) - expected) < 1e-3, "\(row)")
            }
        }
    }

    /// Gradients of a learned scale whose zero point is fixed, s = s₀·eᵗ, against differences in float64 in which what rounding adds is
    /// held; the parameter's is damped by LSQ's factor.
    @Test func scalesWithAFixedZeroPointHaveTheirGradients() throws {
        var random = Gaussian(seed: 33)
        let values = random.values([200], deviation: 3).map(Double.init)
        let upstream = random.values([200], deviation: 1).map(Double.init)
        let (scale, zero) = (Double(Float(0.03)), 128.0)
        let encoding = try LearnableEncoding(Encoding(scale: 0.03, zeroPoint: 128), grid: .centred8)
        let x = try Tensor(values.map(Float.init)).requiresGrad(true)
        try encoding.quantized(x).backward(gradient: try Tensor(upstream.map(Float.init)))
        func loss(_ x: [Double], _ t: Double) -> Double {
            let s = scale * exp(t)
            return x.indices.reduce(0) { sum, i in
                let place = values[i] / scale + zero
                let held = (values[i] / scale + 0.5).rounded(.down) - values[i] / scale
                let value = place < -0.5 ? -zero * s : place > 255.5 ? (255 - zero) * s : x[i] + held * s
                return sum + upstream[i] * value
            }
        }
        #expect(values.contains { abs($0) > 128 * scale } && values.contains { abs($0) < 100 * scale })
        let (found, step) = (try #require(try x.grad()).toArray(Float.self), 1e-6)
        for i in values.indices {
            var (more, less) = (values, values)
            (more[i], less[i]) = (values[i] + step, values[i] - step)
            #expect(abs(Double(found[i]) - (loss(more, 0) - loss(less, 0)) / (2 * step)) < 1e-3, "\(i)")
        }
        let slope = (loss(values, step) - loss(values, -step)) / (2 * step)
        let gradient = try #require(try encoding.parameters[0].tensor.grad()).item()
        #expect(abs(gradient - slope / (200 * 255.0).squareRoot()) < 1e-3)
    }

    /// Before and after folding, the quantised network is the same (conformance check 3 of MobileQuant): every weight has the same
    /// integers, every activation too but for values on the edge between two, which another order of sums may let fall to
    /// either side, and the output is the same.
    @Test(arguments: [8, 4], [false, true]) func foldingKeepsTheQuantisedOutput(bits: Int, rotates: Bool) throws {
        let test = try Case(bits: bits) {
            if rotates { $0.rotation = Recipe.Rotation(residual: true, values: true, online: false) }
        }
        let problem = try test.problem {
            ($0.rates.clipping, $0.rates.activations) = (1, 1)
            if rotates { $0.rates.rotations = 1 } else { $0.rates.scalings = 1 }
        }
        try disturb(problem, by: 0.1)
        let recorder = RecordingVisitor(inner: problem.visitor)
        let before = try withNoGrad { try problem.student.hiddenStates(Self.batch, visitor: recorder) }
        var result = test.result
        try problem.store(in: &result)
        let folded = try problem.folded.copy()
        try problem.fold(into: folded)
        // A learnt R1 turns the embedding, which then stays in float until it is calibrated again.
        for (key, weight) in result.weights where !rotates || key.layer != nil {
            folded.weights[key] = try weight.tensor()
            guard key.layer != nil else { continue }
            let (old, new) = (try #require(recorder.weights[key]), try weight.tensor())
            let steps = try (old - new).abs() / Tensor(weight.scales, shape: [weight.rows, 1])
            #expect(try steps.extrema().maximum < 1e-3, "\(key.name): the same integers and scales")
        }
        var encodings: [SiteKey: LearnableEncoding] = [:]
        for (key, _) in problem.visitor.encodings {
            let grid = SiteGrids(recipe: test.recipe, hasOnlineRotation: false).grid(key)
            encodings[key] = try LearnableEncoding(try #require(result.encodings[key]), grid: try #require(grid))
        }
        let replay = ReplayingVisitor(
            inner: LearningVisitor(encodings: encodings, weights: [:], exponentialType: .u8), values: recorder.values)
        let after = try withNoGrad { try folded.hiddenStates(Self.batch, visitor: replay) }
        #expect(replay.compared == Set(encodings.keys).intersection(recorder.values.keys) && replay.compared.count > 20)
        #expect(replay.farthest < 1e-3 && Double(replay.moved) < 1e-3 * Double(replay.values))
        #expect(try difference(before, after) <= 1e-4)
    }

    @Test func rotationsStayOrthogonal() throws {
        let test = try Case { $0.rotation = Recipe.Rotation(residual: true, values: true, online: false) }
        let problem = try test.problem { $0.rates.rotations = 1 }
        try disturb(problem, by: 0.5)
        let rotations = problem.visitor.transforms.compactMap { $0 as? LearnableRotation } + [problem.visitor.residual]
        #expect(rotations.count == 3)
        for rotation in rotations { #expect(try #require(rotation).orthogonalityError() < 1e-12) }
    }

    @Test(arguments: [4, 8]) func latentWeightsStartAtTheGivenIntegers(bits: Int) throws {
        let test = try Case(bits: bits) { $0.weights.rounding = .gptq }
        let problem = try test.problem { $0.rates.rounding = 1e-3 }
        var result = test.result
        try problem.store(in: &result)
        for (key, weight) in test.result.weights {
            #expect(result.weights[key]?.integers == weight.integers && result.weights[key]?.scales == weight.scales)
        }
        #expect(problem.visitor.weights.count == 14)
    }

    /// As MobileQuant's layer 11 of SmolLM2: a massive activation sets the product's step, and the texts that measure have none.
    @Test func whatRoundsToZeroKeepsItsCalibratedRange() throws {
        let test = try Case()
        let (product, output) = (SiteKey(.product, layer: 1), SiteKey(.downOutput, layer: 1))
        var start = test.result
        start.encodings[product] = Encoding(scale: 1e6, zeroPoint: 1)
        let stage = Recipe.Learning()
        let problem = try LearningProblem(
            stage, recipe: test.recipe, folded: test.folded, start: start, exponentialType: .u8)
        var result = start
        try problem.measureWideRanges(&result) { observer in
            let hidden = try problem.student.hiddenStates(Self.batch, visitor: observer)
            _ = try problem.student.normalizedHidden(hidden, visitor: observer)
        }
        #expect(result.encodings[output] == start.encodings[output])
        let other = SiteKey(.downOutput, layer: 0)
        #expect(result.encodings[other] != start.encodings[other])
    }

    @Test func encodingsStartAtCalibrationsAndKeepZeroOnTheGrid() throws {
        let test = try Case()
        let problem = try test.problem { $0.rates.activations = 1 }
        for (key, encoding) in problem.visitor.encodings {
            let (found, start) = (try encoding.encoding(), try #require(test.result.encodings[key]))
            #expect(found.zeroPoint == start.zeroPoint && abs(found.scale / start.scale - 1) < 1e-5)
        }
        try disturb(problem, by: 2)
        for encoding in problem.visitor.encodings.values {
            let found = try encoding.encoding()
            #expect((0...255).contains(found.zeroPoint) && found.scale > 0)
            #expect(try encoding.quantized(Tensor(scalar: Float(0))).item() == 0)
        }
    }

    /// The derivative of the quantised value with respect to both ends of the range, against central differences in float64 of
    /// the function with its rounding held (conformance check 2 of MobileQuant).
    @Test func gradientsOfTheRangeMatchNumericalOnes() throws {
        let encoding = try LearnableEncoding(Encoding(scale: 0.02, zeroPoint: 100), grid: .unsigned8)
        let values: [Float] = [-3, -1.234, -0.071, 0.0033, 0.777, 2.9, 3.4, 5]
        let x = try Tensor(values)
        let ends = encoding.parameters.map(\.tensor)
        try encoding.quantized(x).sum().backward()
        let factor = 1 / (Double(values.count) * 255).squareRoot()
        // x̂ = s (clamp(⌊x/s⌉ + z) − z): inside, the rounding error moves with s; outside, x̂ is the end of the range itself.
        func held(_ low: Double, _ high: Double) -> Double {
            let (s0, z0) = (0.02, 100.0)
            let (lo, hi) = (-2.0 + 5.1 * low, 3.1 + 5.1 * high)
            let s = (hi - lo) / 255, z = -lo / s
            return values.reduce(0) { sum, value in
                let v = Double(value) / s0
                let n = (v + 0.5).rounded(.down)
                if n + z0 < 0 { return sum + s * (0 - z) }
                if n + z0 > 255 { return sum + s * (255 - z) }
                // Straight through: n moves with v = x / s.
                return sum + s * (Double(value) / s + n - v)
            }
        }
        let h = 1e-6
        let low = (held(h, 0) - held(-h, 0)) / (2 * h), high = (held(0, h) - held(0, -h)) / (2 * h)
        let found = try ends.map { try #require(try $0.grad()).item() / factor }
        #expect(abs(found[0] - low) < 1e-3 * abs(low) && abs(found[1] - high) < 1e-3 * abs(high))
    }

    @Test func writtenGradientsOfTheObjectivesAreAutogradsOwn() throws {
        let generator = try Generator(seed: 4)
        let head = LinearWeights(weight: try Tensor.randn([30, 8], generator: generator))
        let other = LinearWeights(weight: try Tensor.randn([30, 8], generator: generator))
        // More positions than one piece holds.
        let student = try Tensor.randn([150, 8], generator: generator).requiresGrad(true)
        let teacher = try Tensor.randn([150, 8], generator: generator)
        let tokens = (0..<150).map { $0 % 40 == 7 ? Int64(-1) : Int64($0 % 30) }
        let objective = OutputObjective(teacherHead: other, studentHead: head)

        let target = try teacher.linear(other.weight).logSoftmax(-1)
        let logs = try student.linear(head.weight).logSoftmax(-1)
        let divergence = try (target.exp() * (target - logs)).sum() / 150
        try divergence.backward(retainGraph: true)
        let found = try objective.divergence(student: student.detach(), teacher: teacher)
        #expect(abs(found.loss - (try divergence.item())) < 1e-4)
        let expected = try #require(try student.grad())
        #expect(try difference(found.gradient, expected) < 1e-6)

        try student.zeroGrad()
        let counted = tokens.indices.filter { tokens[$0] >= 0 }
        let rows = try logs.indexSelect(0, Tensor(counted.map { Int64($0) }))
        let likelihood = try -rows.gather(1, Tensor(counted.map { tokens[$0] }).unsqueeze(1)).mean()
        try likelihood.backward()
        let entropy = try objective.crossEntropy(student: student.detach(), tokens: tokens)
        #expect(abs(entropy.loss - (try likelihood.item())) < 1e-4)
        let expectedOfText = try #require(try student.grad())
        #expect(try difference(entropy.gradient, expectedOfText) < 1e-6)
    }
}

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
            recipe: test.recipe, stage: stage, index: 0, windows: LearnableTests.text.training, exponentialType: .u8,
            seed: 9, run: run, progress: nil)
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
        { ($0.rates.rounding, $0.rates.weightScales, $0.rates.activations) = (3e-3, 1e-3, 1e-3) },
        {
            ($0.objective, $0.rates.clipping, $0.rates.scalings, $0.rates.activations) = (.lastHidden, 1e-2, 1e-2, 1e-3)
        },
        { ($0.objective, $0.rates.rounding, $0.rates.weightScales, $0.rates.activations) = (.block, 3e-3, 1e-3, 1e-3) },
        {
            ($0.objective, $0.activations, $0.localWeight) = (.crossEntropy, .linearInputs, 0.1)
            ($0.rates.rotations, $0.rates.clipping, $0.rates.activations) = (1e-3, 5e-3, 1e-3)
        },
        { ($0.rates.gains, $0.rates.biases, $0.rates.weightScales) = (4e-3, 4e-3, 4e-3) },
        { ($0.objective, $0.rates.gains, $0.rates.biases) = (.block, 4e-3, 4e-3) },
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
                ($0.rates.clipping, $0.rates.scalings, $0.rates.activations) = (1e-2, 1e-2, ranges)
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
            recipe.learning[0].rates = .init(activations: 0.01, clipping: 0.2, scalings: 0.02)
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
        let float = Calibrator.Result(encodings: [:], types: [:], weights: [:])
        let outcome = try learner(test, run) { $0.rates.gains = 4e-3 }.run(test.folded, float)
        try run.finish()
        let loss = try #require(try losses(path).first)
        #expect(loss.before < 1e-6)
        #expect(outcome.result.vectors.isEmpty)
    }

    /// Whatever diverges, calibration's integers and encodings come back: by a loss that grows, by one that is not a number.
    @Test(arguments: [
        (Recipe.Learning.Objective.logits, LearnableParameter.Kind.weightScales, 9.0), (.logits, .weightScales, 1e30),
        (.logits, .activations, 1e30), (.logits, .clipping, 1e30), (.block, .clipping, 1e30),
        (.block, .activations, 1e30),
        (.block, .activations, 9),
    ]) func aStageThatDivergesIsRolledBack(
        objective: Recipe.Learning.Objective, kind: LearnableParameter.Kind, rate: Double
    ) throws {
        let test = try Case()
        let outcome = try learner(test) {
            ($0.objective, $0.steps, $0.rates) = (objective, 6, Recipe.Learning.Rates())
            switch kind {
            case .weightScales: $0.rates.weightScales = rate
            case .clipping: $0.rates.clipping = rate
            default: $0.rates.activations = rate
            }
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
        #expect(read.learning[0].scalings == [.norms] && read.learning[0].rates.rounding == 0)
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

/// Notes what another visitor makes of weights and activations.
private final class RecordingVisitor: SiteVisitor {
    private let inner: LearningVisitor
    private(set) var weights: [WeightKey: Tensor] = [:]
    private(set) var values: [SiteKey: Tensor] = [:]

    init(inner: LearningVisitor) { self.inner = inner }

    func weight(_ key: WeightKey, _ w: Tensor) throws -> Tensor {
        let made = try inner.weight(key, w)
        weights[key] = made
        return made
    }

    func outputFactors(_ key: WeightKey) throws -> Tensor? { try inner.outputFactors(key) }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        let made = try inner.visit(key, x)
        values[key] = made
        return made
    }
}

/// Compares each activation with what was noted, and goes on with that, so that every operation reads the same integers.
private final class ReplayingVisitor: SiteVisitor {
    private let inner: LearningVisitor
    private let noted: [SiteKey: Tensor]
    private(set) var compared: Set<SiteKey> = []
    private(set) var values = 0
    /// Values that fell to another integer, and the greatest distance of one of them from an edge, in steps.
    private(set) var moved = 0
    private(set) var farthest: Float = 0

    init(inner: LearningVisitor, values: [SiteKey: Tensor]) { (self.inner, noted) = (inner, values) }

    func weight(_ key: WeightKey, _ w: Tensor) throws -> Tensor { try inner.weight(key, w) }
    func outputFactors(_ key: WeightKey) throws -> Tensor? { try inner.outputFactors(key) }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        let made = try inner.visit(key, x)
        guard let encoding = try inner.encodings[key]?.encoding(), let then = noted[key] else { return made }
        let (new, old) = (try made.toArray(Float.self), try then.toArray(Float.self))
        for (index, value) in try x.toArray(Float.self).enumerated() {
            guard abs(new[index] - old[index]) > encoding.scale / 2 else { continue }
            moved += 1
            let step = value / encoding.scale
            farthest = max(farthest, abs(step - step.rounded(.down) - 0.5))
        }
        (compared, values) = (compared.union([key]), values + new.count)
        return then
    }
}
