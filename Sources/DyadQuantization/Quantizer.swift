import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor
import DyadTokenizer
import DyadTransformer

/// Turns a float decoder into an integer program: transforms, prefix, calibration, lowering.
public struct Quantizer {
    /// What is done to the model.
    public let recipe: Recipe
    /// Seeds the random signs of the rotations.
    public let seed: UInt64
    /// Token positions that the program must hold, without the prefix.
    public let context: Int
    private let run: RunDirectory?
    private let progress: ProgressReporter?

    /// The longest context for which the exponentials of `late` attention are u8 (NUMERICS, table).
    public static let longestNarrowContext = 1024

    /// Creates a quantiser.
    ///
    /// - Parameter run: where learning keeps its snapshots and its log; nil for nowhere.
    public init(
        recipe: Recipe, seed: UInt64, context: Int, run: RunDirectory? = nil, progress: ProgressReporter? = nil
    ) {
        (self.recipe, self.seed, self.context, self.progress) = (recipe, seed, context, progress)
        self.run = run
    }

    /// What quantisation gives.
    public struct Output {
        /// The integer program, without provenance.
        public var program: IntegerProgram
        /// The float model after every equivalent transform, prefix included: the same function as the original but for the prefix.
        public var folded: Decoder
        /// What ``exposed()`` adds to it; nil for nothing.
        var learnt: (before: Calibrator.Result, after: Calibrator.Result)?
        /// The tensors that the recipe's allocation gave more bits.
        public var allocated: [String]

        /// ``folded`` with the vectors that were learnt, and with the change that learning made to the rounded weights; nil where it
        /// changed nothing but ranges and transforms, which leave a float model as it is. A control: were it better than the float
        /// model on new text of the calibration's domain, then learning would have taught the text and not only made up for rounding.
        ///
        /// - Cost: the memory of the float model's matrices.
        public func exposed() throws -> Decoder? {
            guard let learnt else { return nil }
            let decoder = try folded.copy()
            for (key, values) in learnt.after.vectors { decoder.weights[key] = try Tensor(values) }
            for (key, weight) in learnt.after.weights {
                guard let start = learnt.before.weights[key], let float = folded.weights[key] else { continue }
                decoder.weights[key] = try float + (weight.tensor() - start.tensor())
            }
            return decoder
        }
    }

    /// Quantises.
    ///
    /// - Parameters:
    ///   - original: float32; unchanged. Where the caller does not keep it, its memory is free for the rest.
    ///   - text: windows for calibration; the held-out ones are not touched.
    /// - Throws: ``DyadError``; a model whose structure a transform of the recipe cannot handle is `unsupported`.
    public func quantize(_ original: consuming Decoder, tokenizer: Tokenizer, text: CalibrationText) throws -> Output {
        try checkPromotions(original)
        // Here, before a prefix search or smoothing meets them and fails where the reason does not show.
        for key in original.weights.keys { try original.weights.requireFinite(key) }
        var folded = try original.copy()
        _ = consume original
        try transform(folded, tokenizer: tokenizer, text: text)
        var recipe = recipe
        let calibration = try run?.calibration(folded, recipe) ?? calibrate(folded, text)
        var result = calibration.result
        recipe.promote += calibration.allocated
        for (index, stage) in recipe.learning.enumerated() {
            let outcome = try Learner(
                recipe: recipe, stage: stage, index: index, windows: text.training, exponentialType: exponentialType,
                seed: seed, run: run, progress: progress
            ).run(consume folded, result)
            (folded, result) = (outcome.folded, outcome.result)
            if stage.recalibrates {
                result = try calibrated(recipe, folded, text, keeping: stage.kept(of: result, in: folded))
            }
        }
        let model = try staticModel(folded, result)
        let lowered = try Lowering.lower(model)
        var program = IntegerProgram(graph: lowered.graph, constants: lowered.constants)
        program.tokenizer = tokenizer.json()
        program.configuration = folded.configuration.json
        let stages = recipe.learning
        let isExposed =
            stages.contains { $0.learnsVectors || $0.learnsRoundedWeights }
            && !stages.contains { $0.learnsTransforms || $0.recalibrates }
        return Output(
            program: program, folded: folded, learnt: isExposed ? (calibration.result, result) : nil,
            allocated: calibration.allocated)
    }

    /// Calibrates, and again with what the recipe's allocation promotes.
    private func calibrate(_ folded: Decoder, _ text: CalibrationText) throws -> CalibrationSnapshot {
        var recipe = recipe
        var found = CalibrationSnapshot(try calibrated(recipe, folded, text), allocated: [])
        if let allocation = recipe.allocation {
            found.allocated = try allocate(allocation, folded, found.result, text)
            recipe.promote += found.allocated
            if !found.allocated.isEmpty { found.result = try calibrated(recipe, folded, text) }
        }
        if !recipe.learning.isEmpty { try run?.keep(found) }
        return found
    }

    /// A pattern that promotes nothing is a slip that nobody would notice otherwise.
    private func checkPromotions(_ decoder: Decoder) throws(DyadError) {
        let layers = decoder.configuration.layerCount
        let sites = SiteKey.Site.allCases.flatMap { site in
            site.isInBlock ? (0..<layers).map { SiteKey(site, layer: $0) } : [SiteKey(site)]
        }
        // 8-bit weights have no wider type.
        let weights = recipe.weights.bits == 8 ? [] : (0..<layers).flatMap { decoder.weights.linearKeys(layer: $0) }
        for pattern in recipe.promote {
            guard
                weights.contains(where: { Recipe.matches($0.name, [pattern]) })
                    || sites.contains(where: {
                        Recipe.matches($0.name, [pattern]) && recipe.canPromote($0, online: recipe.rotation.online)
                    })
            else {
                throw DyadError(
                    .mismatch, file: "recipe \(recipe.name)", subject: "promote", found: "the pattern “\(pattern)”",
                    expected:
                        "a pattern of 4-bit weights, or of activation tensors that may be 16 bit, as layers.*.mlp.down_proj.input",
                    remedy:
                        "Take the names from `dyad inspect` of a quantised file; keys, values and queries stay at 8 bit."
                )
            }
        }
    }

    /// Measures the tensors of the calibrated network that could get more bits; the recipe's allocation, if any, gives the
    /// candidates. Nothing is learnt.
    public func sensitivities(
        _ original: Decoder, tokenizer: Tokenizer, text: CalibrationText
    ) throws -> SensitivityReport {
        try checkPromotions(original)
        for key in original.weights.keys { try original.weights.requireFinite(key) }
        let folded = try transformed(original, tokenizer: tokenizer, text: text)
        let result = try calibrated(recipe, folded, text)
        let analysis = try SensitivityAnalysis(
            recipe: recipe, folded: folded, result: result, exponentialType: exponentialType,
            windows: SensitivityAnalysis.windows(of: text), progress: progress)
        return try analysis.report(recipe.allocation?.candidates ?? [], heldOut: text.heldOut)
    }

    private var exponentialType: IntegerType {
        recipe.attention == .late && context <= Self.longestNarrowContext ? .u8 : .u16
    }

    private func calibrated(
        _ recipe: Recipe, _ folded: Decoder, _ text: CalibrationText, keeping fixed: Calibrator.Result? = nil
    ) throws -> Calibrator.Result {
        let measures = recipe.weights.rounding == .yaqa && fixed?.weights.isEmpty != false
        // The calibrator replaces weights as it rounds them.
        return try Calibrator(
            decoder: try folded.copy(), recipe: recipe, windows: text.calibration, exponentialType: exponentialType,
            fixed: fixed,
            outputMoments: measures
                ? try OutputMoments.measure(folded, windows: text.calibration, seed: seed, progress: progress) : [:],
            progress: progress
        ).run()
    }

    private func allocate(
        _ allocation: Allocation, _ folded: Decoder, _ result: Calibrator.Result, _ text: CalibrationText
    ) throws -> [String] {
        let analysis = try SensitivityAnalysis(
            recipe: recipe, folded: folded, result: result, exponentialType: exponentialType,
            windows: SensitivityAnalysis.windows(of: text), progress: progress)
        func unusable(_ key: String, _ found: String, _ expected: String, _ remedy: String) -> DyadError {
            DyadError(
                .mismatch, file: "recipe \(recipe.name)", subject: "allocation.\(key)", found: found,
                expected: expected,
                remedy: remedy)
        }
        if let limit = allocation.weightBytes, limit < analysis.weightBytes {
            throw unusable(
                "weight-bytes", "\(limit)",
                "at least \(analysis.weightBytes), what the weights take with nothing promoted",
                "Give a larger --max-bytes, or a recipe with narrower weights.")
        }
        let measured = try analysis.measure(allocation.candidates)
        guard !measured.isEmpty else {
            throw unusable(
                "candidates", "no tensor that these patterns name and that could get more bits",
                "names as `dyad sensitivity` prints them", "Correct the patterns, or leave them out for all tensors.")
        }
        for sensitivity in measured { run?.log(sensitivity.json) }
        let choices = (allocation.measure.map { [$0] } ?? Allocation.Measure.allCases).map { measure in
            var ranked = allocation
            ranked.measure = measure
            return ranked.chosen(from: measured, bytes: analysis.weightBytes, cycles: analysis.cycles).map(\.tensor)
        }
        return try better(of: choices, analysis, text)
    }

    /// Windows of the text on which choices are tried.
    private static let trialWindows = 16

    /// The choice with which the rounded network, nothing calibrated again, predicts the text best; the first of equal ones.
    private func better(
        of choices: [[String]], _ analysis: SensitivityAnalysis, _ text: CalibrationText
    ) throws -> [String] {
        let sets = choices.map(Set.init)
        guard Set(sets).count > 1 else { return choices[0] }
        let stride = max(1, text.training.count / Self.trialWindows)
        let windows = (0..<min(Self.trialWindows, text.training.count)).map { text.training[$0 * stride] }
        let scores = try analysis.score(sets, windows: windows).networks
        for (measure, score) in zip(Allocation.Measure.allCases, scores) {
            run?.log([
                "ranked_by": .string(measure.rawValue), "trial_perplexity": .measured(score.perplexity),
                "trial_kl": .measured(score.divergence),
            ])
        }
        let best = scores.indices.min { scores[$0].perplexity < scores[$1].perplexity } ?? 0
        return choices[best]
    }

    // MARK: Equivalent transforms

    /// The float model with everything the recipe folds into weights, the prefix and the online rotation.
    public func transformed(_ original: Decoder, tokenizer: Tokenizer, text: CalibrationText) throws -> Decoder {
        let decoder = try original.copy()
        try transform(decoder, tokenizer: tokenizer, text: text)
        return decoder
    }

    private func transform(_ decoder: Decoder, tokenizer: Tokenizer, text: CalibrationText) throws {
        let configuration = decoder.configuration
        let generator = try Generator(seed: seed)
        let rotation = recipe.rotation
        Transform.untieHead(&decoder.weights)
        if rotation.residual || recipe.smoothing?.sites.contains(.norms) == true {
            try Transform.foldNorms(&decoder.weights)
        }
        if rotation.residual {
            let matrix = try Transform.randomHadamard(configuration.hiddenSize, generator: generator)
            try Transform.rotateResidual(&decoder.weights, configuration: configuration, by: matrix)
        }
        if rotation.values {
            for layer in decoder.weights.blocks.indices {
                let matrices = try (0..<configuration.keyValueHeadCount).map { _ in
                    try Transform.randomHadamard(configuration.headDimension, generator: generator)
                }
                try Transform.rotateValues(
                    &decoder.weights.blocks[layer], configuration: configuration, by: matrices)
            }
        }
        let prefix = try prefixTokens(decoder, tokenizer, text)
        decoder.attentionForm = recipe.attention == .softmax ? .softmax : .lateDivision
        if let smoothing = recipe.smoothing {
            if !prefix.isEmpty { decoder.prefix = try withNoGrad { try decoder.computePrefix(prefix) } }
            try smooth(decoder, smoothing, text)
            decoder.prefix = nil
        }
        if rotation.online {
            let block = BlockHadamard(width: configuration.intermediateSize)
            let online = try OnlineRotation(base: block.base(), power: block.power)
            for layer in decoder.weights.blocks.indices {
                try Transform.rotateDownProjection(&decoder.weights.blocks[layer], by: online)
            }
            decoder.onlineRotation = online
        }
        // Last: keys and values in the basis that the program uses.
        if !prefix.isEmpty { decoder.prefix = try withNoGrad { try decoder.computePrefix(prefix) } }
    }

    private func prefixTokens(_ decoder: Decoder, _ tokenizer: Tokenizer, _ text: CalibrationText) throws -> [Int32] {
        switch recipe.prefix {
        case .none: return []
        case .tokens(let ids):
            guard let wrong = ids.first(where: { Int($0) >= decoder.configuration.vocabularySize }) else { return ids }
            throw DyadError(
                .mismatch, file: "recipe \(recipe.name)", subject: "prefix", found: "token id \(wrong)",
                expected: "ids below \(decoder.configuration.vocabularySize)", remedy: "Correct the recipe.")
        case .automatic:
            // The sink shows in any text: a few short windows decide as well as many.
            let windows = text.calibration.prefix(4).map { Array($0.prefix(256)) }
            return [
                try PrefixSearch.bestToken(decoder, tokenizer: tokenizer, windows: windows, progress: progress)
            ]
        }
    }

    private func smooth(_ decoder: Decoder, _ smoothing: Recipe.Smoothing, _ text: CalibrationText) throws {
        let magnitudes = Transform.ChannelMagnitudes()
        for window in text.calibration.prefix(16) {
            _ = try withNoGrad { try decoder.hiddenStates([window], cache: nil, visitor: magnitudes) }
        }
        for layer in decoder.weights.blocks.indices {
            try Transform.smooth(
                &decoder.weights.blocks[layer], layer: layer, magnitudes: magnitudes.values, smoothing,
                configuration: decoder.configuration)
        }
    }

    // MARK: Towards lowering

    private func staticModel(_ folded: Decoder, _ result: Calibrator.Result) throws -> StaticModel {
        var weights = folded.weights
        for (key, values) in result.vectors { weights[key] = try Tensor(values) }
        func quantized(_ weight: WeightKey.Weight, _ layer: Int? = nil) throws(DyadError) -> QuantizedWeight {
            let key = WeightKey(weight, layer: layer)
            guard let weight = result.weights[key] else {
                throw DyadError(
                    .failed, subject: key.name, found: "no integer weight", expected: "one from calibration",
                    remedy: "This is a defect of Dyad: report it with the model.")
            }
            return weight
        }
        let configuration = folded.configuration
        func norm(_ norm: NormalizationWeights?) throws -> StaticModel.Norm? {
            try norm.map {
                StaticModel.Norm(gain: try $0.gain?.toArray(Float.self), bias: try $0.bias?.toArray(Float.self))
            }
        }
        var blocks: [StaticModel.Block] = []
        for (layer, block) in weights.blocks.enumerated() {
            guard let attentionNorm = try norm(block.inputNorm) else {
                throw DyadError(
                    .unsupported, subject: "layers.\(layer)", found: "no norm before attention",
                    expected: "a pre-norm decoder", remedy: "Choose another model: this family cannot be lowered yet.")
            }
            func linear(_ part: LinearWeights, _ weight: WeightKey.Weight) throws -> StaticModel.Linear {
                StaticModel.Linear(weight: try quantized(weight, layer), bias: try part.bias?.toArray(Float.self))
            }
            blocks.append(
                StaticModel.Block(
                    attentionNorm: attentionNorm,
                    feedForwardNorm: try norm(block.feedForwardNorm),
                    postAttentionNorm: try norm(block.postAttentionNorm),
                    postFeedForwardNorm: try norm(block.postFeedForwardNorm),
                    query: try linear(block.qProj, .qWeight), key: try linear(block.kProj, .kWeight),
                    value: try linear(block.vProj, .vWeight), output: try linear(block.oProj, .oWeight),
                    gate: try block.gateProj.map { try linear($0, .gateWeight) },
                    up: try linear(block.upProj, .upWeight), down: try linear(block.downProj, .downWeight),
                    queryNorm: try norm(block.qNorm), keyNorm: try norm(block.kNorm),
                    prefixKeys: try folded.prefix?.blocks[layer].keys.toArray(Float.self) ?? [],
                    prefixValues: try folded.prefix?.blocks[layer].values.toArray(Float.self) ?? []))
        }
        let prefix = folded.prefix?.tokens ?? []
        var embedding = try quantized(.embedding)
        embedding.scales = embedding.scales.map { $0 * configuration.embeddingScale }
        return StaticModel(
            configuration: configuration, maximumContext: context + prefix.count, prefixTokens: prefix,
            embedding: embedding,
            head: StaticModel.Linear(
                weight: try quantized(.headWeight), bias: try weights.head?.bias?.toArray(Float.self)),
            finalNorm: try norm(weights.finalNorm) ?? StaticModel.Norm(), blocks: blocks,
            encodings: result.encodings, types: result.types,
            attention: recipe.attention == .softmax ? .softmax : .late(exponentialType),
            hadamard: recipe.rotation.online ? BlockHadamard(width: configuration.intermediateSize) : nil)
    }
}

extension Recipe.Learning {
    /// Whether it learns weights apart from transforms and clipping.
    var learnsRoundedWeights: Bool { rates.weightScales > 0 || rates.rounding > 0 }

    /// What calibration after this stage leaves as it was learnt.
    func kept(of result: Calibrator.Result, in decoder: Decoder) -> Calibrator.Result {
        var kept = Calibrator.Result(encodings: [:], types: [:], weights: [:])
        if rates.activations > 0 {
            for (key, encoding) in result.encodings where result.types[key] == .u8 {
                guard activations == .all || key.site.isLinearInput(of: decoder) else { continue }
                (kept.encodings[key], kept.types[key]) = (encoding, .u8)
            }
        }
        if rates.clipping > 0 || rates.rounding > 0 { kept.weights = result.weights.filter { $0.key.layer != nil } }
        return kept
    }
}

extension DecoderConfiguration {
    /// The switches that people and exporters read in a file's `dyad.configuration`.
    var json: JSONValue {
        .object(
            JSONObject([
                ("family", .string(family)), ("vocabulary_size", .integer(vocabularySize)),
                ("hidden_size", .integer(hiddenSize)), ("intermediate_size", .integer(intermediateSize)),
                ("layer_count", .integer(layerCount)), ("head_count", .integer(headCount)),
                ("key_value_head_count", .integer(keyValueHeadCount)), ("head_dimension", .integer(headDimension)),
                ("norm", .string(normKind.rawValue)), ("activation", .string(activation.rawValue)),
                ("gated", .bool(gated)), ("rotary_fraction", .number(rotaryFraction)),
                ("rope_theta", .number(ropeTheta)),
                ("tie_word_embeddings", .bool(tieWordEmbeddings)), ("maximum_positions", .integer(maximumPositions)),
            ]))
    }
}
