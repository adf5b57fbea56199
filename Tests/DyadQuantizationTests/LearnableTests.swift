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
        let result: QuantizedNetwork
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
                decoder: try folded.copy(), plan: NetworkPlan(recipe, decoder.configuration, exponentialType: .u8),
                windows: text.calibration, progress: nil
            ).run()
            self.recipe = recipe
        }

        var plan: NetworkPlan { NetworkPlan(recipe, folded.configuration, exponentialType: .u8) }

        func problem(_ change: (inout Recipe.Learning) -> Void) throws -> LearningProblem {
            var stage = Recipe.Learning()
            change(&stage)
            return try LearningProblem(stage, plan, folded: folded, start: result)
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
                $0.rates[.scalings] = rotation ? 0 : 1
                $0.rates[.rotations] = rotation ? 1 : 0
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
        let problem = try test.problem { ($0.rates[.scalings], $0.scalings) = (1, [site]) }
        try disturb(problem, by: 0.2)
        let folded = try problem.folded.copy()
        try problem.fold(into: folded)
        for key in test.plan.topology.keys(layer: 1) {
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
            ($0.rates[.clipping], $0.rates[.activations]) = (1, 1)
            if rotates { $0.rates[.rotations] = 1 } else { $0.rates[.scalings] = 1 }
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
            let grid = test.plan.grid(key)
            encodings[key] = try LearnableEncoding(try #require(result.encodings[key]), grid: try #require(grid))
        }
        let replay = ReplayingVisitor(
            inner: LearningVisitor(test.plan, encodings: encodings, weights: [:]), values: recorder.values)
        let after = try withNoGrad { try folded.hiddenStates(Self.batch, visitor: replay) }
        #expect(replay.compared == Set(encodings.keys).intersection(recorder.values.keys) && replay.compared.count > 20)
        #expect(replay.farthest < 1e-3 && Double(replay.moved) < 1e-3 * Double(replay.values))
        #expect(try difference(before, after) <= 1e-4)
    }

    @Test func rotationsStayOrthogonal() throws {
        let test = try Case { $0.rotation = Recipe.Rotation(residual: true, values: true, online: false) }
        let problem = try test.problem { $0.rates[.rotations] = 1 }
        try disturb(problem, by: 0.5)
        let rotations = problem.visitor.transforms.compactMap { $0 as? LearnableRotation } + [problem.visitor.residual]
        #expect(rotations.count == 3)
        for rotation in rotations { #expect(try #require(rotation).orthogonalityError() < 1e-12) }
    }

    @Test(arguments: [4, 8]) func latentWeightsStartAtTheGivenIntegers(bits: Int) throws {
        let test = try Case(bits: bits) { $0.weights.rounding = .gptq }
        let problem = try test.problem { $0.rates[.rounding] = 1e-3 }
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
        let problem = try LearningProblem(stage, test.plan, folded: test.folded, start: start)
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
        let problem = try test.problem { $0.rates[.activations] = 1 }
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

    @Test(arguments: [nil, 2.0]) func writtenGradientsOfTheObjectivesAreAutogradsOwn(cap: Double?) throws {
        let generator = try Generator(seed: 4)
        let weight = try Tensor.randn([30, 8], generator: generator)
        let otherWeight = try Tensor.randn([30, 8], generator: generator)
        func head(_ weight: Tensor) -> OutputHead { OutputHead(linear: LinearWeights(weight: weight), cap: cap) }
        func logits(_ x: Tensor, _ weight: Tensor) throws -> Tensor {
            let output = try x.linear(weight)
            return try cap.map { try (output / Float($0)).tanh() * Float($0) } ?? output
        }
        // More positions than one piece holds.
        let student = try Tensor.randn([150, 8], generator: generator).requiresGrad(true)
        let teacher = try Tensor.randn([150, 8], generator: generator)
        let tokens = (0..<150).map { $0 % 40 == 7 ? Int64(-1) : Int64($0 % 30) }
        let objective = OutputObjective(teacherHead: head(otherWeight), studentHead: head(weight))

        let target = try logits(teacher, otherWeight).logSoftmax(-1)
        let logs = try logits(student, weight).logSoftmax(-1)
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
