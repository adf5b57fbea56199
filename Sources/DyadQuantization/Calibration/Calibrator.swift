import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer

/// Static calibration, block by block: each block sees what the already quantised network before it puts out, finds the
/// ranges of its sites, rounds its weights, and hands its quantised output on.
///
/// Memory: the float decoder, the hidden states of the calibration windows, and one block's statistics.
struct Calibrator {
    let decoder: Decoder
    let recipe: Recipe
    let windows: [[Int32]]
    let exponentialType: IntegerType
    /// Encodings and weights that are given and stay as they are.
    var fixed: Result?
    /// The curvature on the outputs' side for ``Recipe/Weights/Rounding/yaqa``, from ``OutputMoments``.
    var outputMoments: [WeightKey: Tensor] = [:]
    let progress: ProgressReporter?

    /// What calibration found.
    struct Result {
        var encodings: [SiteKey: Encoding]
        var types: [SiteKey: IntegerType]
        /// Integer weights by key (`.embedding` and `.headWeight` included).
        var weights: [WeightKey: QuantizedWeight]
        /// Learnt gains and biases, which stand in for the float decoder's.
        var vectors: [WeightKey: [Float]] = [:]
    }

    /// Windows that go through a block together: enough for efficient products, few enough for the tensors between the
    /// operations to stay in the cache.
    private static let batch = 2
    /// One batch in so many gives the ranges that are only used until the weights are rounded.
    private static let provisionalShare = 4
    /// Damping of the outputs' moments, a share of their mean.
    private static let outputDamping = 0.05

    /// Runs calibration; the decoder's weights are replaced by their rounded values as it goes.
    func run() throws -> Result {
        let layers = decoder.configuration.layerCount
        let grids = SiteGrids(recipe: recipe, hasOnlineRotation: decoder.onlineRotation != nil)
        let visitor = QuantizingVisitor(
            configuration: decoder.configuration, grids: grids, exponentialType: exponentialType, fixed: fixed)
        var weights: [WeightKey: QuantizedWeight] = [:]

        weights[WeightKey(.embedding)] = try roundToNearest(WeightKey(.embedding), bits: 8)
        var hidden: [Tensor] = []
        for start in stride(from: 0, to: windows.count, by: Self.batch) {
            let batch = Array(windows[start..<min(start + Self.batch, windows.count)])
            hidden.append(try withNoGrad { try decoder.embed(batch, visitor: nil) })
        }
        for layer in 0..<layers {
            let rounded = try calibrateBlock(layer, &hidden, visitor)
            weights.merge(rounded) { $1 }
            progress?.update(phase: "calibrate", completed: layer + 1, total: layers)
        }
        weights[WeightKey(.headWeight)] = try roundToNearest(WeightKey(.headWeight), bits: 8)
        try calibrateEnd(hidden, visitor)
        return Result(encodings: visitor.encodings, types: visitor.types, weights: weights)
    }

    private func calibrateBlock(
        _ layer: Int, _ hidden: inout [Tensor], _ visitor: QuantizingVisitor
    ) throws -> [WeightKey: QuantizedWeight] {
        var weights: [WeightKey: QuantizedWeight] = [:]
        var linears = decoder.weights.linearKeys(layer: layer)
        for key in linears {
            if let given = fixed?.weights[key] { weights[key] = try install(given, key) }
        }
        linears.removeAll { weights[$0] != nil }
        if recipe.weights.rounding == .nearest {
            // Independent of the activations: round first, so that the ranges already know the rounded weights.
            for key in linears { weights[key] = try roundToNearest(key, bits: recipe.bits(of: key)) }
        }
        let compensates = recipe.weights.rounding != .nearest && !linears.isEmpty
        // Where rounding follows, these ranges serve its second moments only: a part of the text fixes them well enough.
        let share = compensates ? Self.provisionalShare : 1
        try observe(layer, hidden.enumerated().filter { $0.offset % share == 0 }.map(\.element), visitor)
        if compensates {
            visitor.momentSites = Set(linears.map { $0.weight.inputSite(in: decoder) })
            _ = try quantizedOutputs(layer, hidden, visitor)
            visitor.momentSites = []
            for key in linears {
                let site = SiteKey(key.weight.inputSite(in: decoder), layer: layer)
                guard let moments = visitor.moments[site] else {
                    throw DyadError(
                        .failed, subject: site.name, found: "no second moments", expected: "one matrix",
                        remedy: "This is a defect of Dyad: report it with the recipe.")
                }
                weights[key] = try roundCompensated(key, moments)
            }
            visitor.forgetMoments()
            // The rounded weights shift what leaves the linears: observe their outputs again.
            try observe(layer, hidden, visitor)
        }
        hidden = try quantizedOutputs(layer, hidden, visitor)
        return weights
    }

    private func observe(_ layer: Int, _ hidden: [Tensor], _ visitor: QuantizingVisitor) throws {
        visitor.mode = .observe
        for part in hidden { _ = try withNoGrad { try decoder.blockForward(layer, part, visitor: visitor) } }
        visitor.fixRanges(rule: recipe.activations.range)
    }

    private func quantizedOutputs(_ layer: Int, _ hidden: [Tensor], _ visitor: QuantizingVisitor) throws -> [Tensor] {
        visitor.mode = .quantize
        return try hidden.map { part in try withNoGrad { try decoder.blockForward(layer, part, visitor: visitor) } }
    }

    /// The last sum and the final norm. The head's own output needs no range, so a single row of it is enough here.
    private func calibrateEnd(_ hidden: [Tensor], _ visitor: QuantizingVisitor) throws {
        let end = try decoder.copy()
        let head = end.weights.head?.weight ?? end.weights.embedding
        end.weights.head = LinearWeights(weight: try head.narrow(0, start: 0, length: 1), bias: nil)
        visitor.mode = .observe
        for part in hidden { _ = try withNoGrad { try end.finalLogits(part, visitor: visitor) } }
        visitor.fixRanges(rule: recipe.activations.range)
    }

    // MARK: Weights

    private func values(_ key: WeightKey) throws -> (values: [Float], rows: Int, columns: Int) {
        guard let weight = decoder.weights[key] else {
            throw DyadError(
                .failed, subject: key.name, found: "no such weight", expected: "one",
                remedy: "This is a defect of Dyad: report it with the model.")
        }
        // Again: a transform may have gone beyond float32.
        try decoder.weights.requireFinite(key)
        return (try weight.toArray(Float.self), try weight.size(0), try weight.size(1))
    }

    /// Rounds a weight, puts the rounded one into the decoder, and returns the integers.
    private func roundToNearest(_ key: WeightKey, bits: Int) throws -> QuantizedWeight {
        let (values, rows, columns) = try values(key)
        let clip = recipe.weights.clip == .none ? Recipe.Weights.Clip.none : .mse
        let scales = WeightQuantizer.scales(
            values, rows: rows, columns: columns, bits: bits, clip: clip, importance: nil)
        return try install(
            WeightQuantizer.nearest(values, rows: rows, columns: columns, bits: bits, scales: scales), key)
    }

    private func roundCompensated(_ key: WeightKey, _ moments: Tensor) throws -> QuantizedWeight {
        let (values, rows, columns) = try values(key)
        let bits = recipe.bits(of: key)
        // Damping 1 % of the mean second moment, as in the GPTQ paper; a channel that never fires gets only that.
        let input = try OrderedMoments(moments, damping: 0.01)
        let scales = WeightQuantizer.scales(
            values, rows: rows, columns: columns, bits: bits, clip: recipe.weights.clip,
            importance: recipe.weights.clip == .hessian ? input.relativeDiagonal : nil)
        guard recipe.weights.rounding == .yaqa, let outputs = outputMoments[key] else {
            return try install(
                GPTQ.round(
                    values, rows: rows, columns: columns, bits: bits, scales: scales, order: input.order,
                    factor: input.inverseFactor()), key)
        }
        let output = try OrderedMoments(outputs.to(.float64), damping: Self.outputDamping)
        return try install(
            KroneckerRounding.round(
                values, rows: rows, columns: columns, bits: bits, scales: scales, input: input.unitUpperFactor(),
                output: output.unitUpperFactor()), key)
    }

    private func install(_ weight: QuantizedWeight, _ key: WeightKey) throws -> QuantizedWeight {
        decoder.weights[key] = try Tensor(weight.dequantized, shape: [weight.rows, weight.columns])
        return weight
    }
}

extension DecoderWeights {
    /// Refuses NaN and infinity, which have no integer.
    func requireFinite(_ key: WeightKey) throws {
        guard try self[key]?.isFinite().allTrue() ?? true else {
            throw DyadError(
                .malformed, subject: key.name, found: "values that are not finite", expected: "finite weights",
                remedy: "Download the checkpoint again.")
        }
    }

    /// The matrices of a block that are rounded at the recipe's width.
    func linearKeys(layer: Int) -> [WeightKey] {
        let all: [WeightKey.Weight] = [.qWeight, .kWeight, .vWeight, .oWeight, .gateWeight, .upWeight, .downWeight]
        return all.map { WeightKey($0, layer: layer) }.filter { self[$0] != nil }
    }
}
