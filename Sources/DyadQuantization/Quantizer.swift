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

    /// The longest context for which the exponentials of `late` attention are u8 (the page Numerics, table).
    public static let longestNarrowContext = NetworkPlan.longestNarrowContext

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
        var learnt: (before: QuantizedNetwork, after: QuantizedNetwork)?
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

    /// Quantises: the steps of the page Architecture, “The way through a quantisation”, from its third on.
    ///
    /// - Parameters:
    ///   - original: float32; unchanged. Where the caller does not keep it, its memory is free for the rest.
    ///   - text: windows for calibration; the held-out ones are not touched.
    /// - Throws: ``DyadError``; a model whose structure a transform of the recipe cannot handle is `unsupported`.
    public func quantize(_ original: consuming Decoder, tokenizer: Tokenizer, text: CalibrationText) throws -> Output {
        try check(original)
        var folded = try original.copy()
        _ = consume original
        try preparation(tokenizer, text).apply(to: folded)
        var plan = NetworkPlan(recipe, folded.configuration, context: context)
        let calibration = try run?.calibration(folded, plan) ?? calibrate(folded, plan, text)
        plan = plan.promoting(calibration.allocated)
        var network = calibration.network
        for (index, stage) in recipe.learning.enumerated() {
            let outcome = try Learner(
                plan: plan, stage: stage, index: index, windows: text.training, seed: seed, run: run,
                progress: progress
            ).run(consume folded, network)
            (folded, network) = (outcome.folded, outcome.result)
            if stage.recalibrates {
                network = try calibrated(folded, plan, text, keeping: network.kept(after: stage, plan))
            }
        }
        let model = try StaticModel(folded, network, plan, context: context)
        let lowered = try Lowering.lower(model)
        var program = IntegerProgram(graph: lowered.graph, constants: lowered.constants)
        program.tokenizer = tokenizer.json()
        program.configuration = folded.configuration.json
        return Output(
            program: program, folded: folded, learnt: recipe.exposesText ? (calibration.network, network) : nil,
            allocated: calibration.allocated)
    }

    /// The float model with everything the recipe folds into weights, the prefix and the online rotation.
    public func transformed(_ original: Decoder, tokenizer: Tokenizer, text: CalibrationText) throws -> Decoder {
        let decoder = try original.copy()
        try preparation(tokenizer, text).apply(to: decoder)
        return decoder
    }

    /// Measures the tensors of the calibrated network that could get more bits; the recipe's allocation, if any, gives the
    /// candidates. Nothing is learnt.
    public func sensitivities(
        _ original: Decoder, tokenizer: Tokenizer, text: CalibrationText
    ) throws -> SensitivityReport {
        try check(original)
        let folded = try transformed(original, tokenizer: tokenizer, text: text)
        let plan = NetworkPlan(recipe, folded.configuration, context: context)
        let analysis = try SensitivityAnalysis(
            plan, folded: folded, result: try calibrated(folded, plan, text),
            windows: SensitivityAnalysis.windows(of: text), progress: progress)
        return try analysis.report(recipe.allocation?.candidates ?? [], heldOut: text.heldOut)
    }

    /// Here, before a prefix search or smoothing meets what is wrong and fails where the reason does not show.
    private func check(_ original: Decoder) throws {
        try NetworkPlan(recipe, original.configuration, context: context).checkPromotions()
        for key in original.weights.keys { try original.weights.requireFinite(key) }
    }

    private func preparation(_ tokenizer: Tokenizer, _ text: CalibrationText) -> Preparation {
        Preparation(recipe: recipe, seed: seed, tokenizer: tokenizer, text: text, progress: progress)
    }

    /// Calibrates, and again with what the recipe's allocation promotes.
    private func calibrate(_ folded: Decoder, _ plan: NetworkPlan, _ text: CalibrationText) throws
        -> CalibrationSnapshot
    {
        var found = CalibrationSnapshot(try calibrated(folded, plan, text), allocated: [])
        if let allocation = recipe.allocation {
            let allocator = Allocator(allocation: allocation, plan: plan, text: text, log: run, progress: progress)
            found.allocated = try allocator.run(folded, found.network)
            if !found.allocated.isEmpty {
                found.network = try calibrated(folded, plan.promoting(found.allocated), text)
            }
        }
        if !recipe.learning.isEmpty { try run?.keep(found) }
        return found
    }

    private func calibrated(
        _ folded: Decoder, _ plan: NetworkPlan, _ text: CalibrationText, keeping fixed: QuantizedNetwork? = nil
    ) throws -> QuantizedNetwork {
        // The calibrator replaces weights as it rounds them.
        try Calibrator(
            decoder: try folded.copy(), plan: plan, windows: text.calibration, fixed: fixed, progress: progress
        ).run()
    }
}

extension Recipe {
    /// Whether learning changes a float model by more than transforms, so that it may learn a text.
    fileprivate var exposesText: Bool {
        learning.contains { $0.learnsVectors || $0.rates[.weightScales] > 0 || $0.rates[.rounding] > 0 }
            && !learning.contains { $0.learnsTransforms || $0.recalibrates }
    }
}
