import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer

/// Static calibration, block by block: each block sees what the already quantised network before it puts out, finds the
/// ranges of its sites, rounds its weights, and hands its quantised output on.
///
/// Memory: the float decoder, the integers, the hidden states of the calibration windows, and one block's rounded weights and
/// statistics.
struct Calibrator {
    let decoder: Decoder
    let plan: NetworkPlan
    let windows: [[Int32]]
    /// Encodings and weights that are given and stay as they are.
    var fixed: QuantizedNetwork?
    let progress: ProgressReporter?

    private var recipe: Recipe { plan.recipe }

    /// Windows that go through a block together: enough for efficient products, few enough for the tensors between the
    /// operations to stay in the cache.
    private static let batch = 2
    /// Batches that give ranges which are only used until the weights are rounded.
    private static let provisionalBatches = 4
    /// Batches that give the ranges beside rounded weights: where rounding gets more text, ranges do not need it.
    private static let rangeBatches = 16

    /// Runs calibration. While a block is calibrated, the decoder has its rounded weights; afterwards the float ones again, which
    /// are shared with other decoders and so cost nothing. Its head stays rounded.
    func run() throws -> QuantizedNetwork {
        let layers = decoder.configuration.layerCount
        let visitor = QuantizingVisitor(plan, fixed: fixed)
        if recipe.activations.range == .effect { visitor.effects = EffectObserver(decoder.configuration) }
        var weights: [WeightKey: QuantizedWeight] = [:]

        var float = recipe.weights.target == .own ? nil : try FloatStream(decoder)
        let embedding = decoder.weights.embedding
        weights[WeightKey(.embedding)] = try roundToNearest(WeightKey(.embedding), bits: 8)
        var hidden: [Tensor] = []
        for start in stride(from: 0, to: windows.count, by: Self.batch) {
            let batch = Array(windows[start..<min(start + Self.batch, windows.count)])
            hidden.append(try withNoGrad { try decoder.embed(batch, visitor: nil) })
            try float?.embed(batch)
        }
        decoder.weights.embedding = embedding
        for layer in 0..<layers {
            let block = decoder.weights.blocks[layer]
            let rounded = try calibrateBlock(layer, &hidden, &float, visitor)
            decoder.weights.blocks[layer] = block
            weights.merge(rounded) { $1 }
            progress?.update(phase: "calibrate", completed: layer + 1, total: layers)
        }
        weights[WeightKey(.headWeight)] = try roundToNearest(WeightKey(.headWeight), bits: 8)
        try calibrateEnd(hidden, visitor)
        return QuantizedNetwork(encodings: visitor.encodings, types: visitor.types, weights: weights)
    }

    private func calibrateBlock(
        _ layer: Int, _ hidden: inout [Tensor], _ float: inout FloatStream?, _ visitor: QuantizingVisitor
    ) throws -> [WeightKey: QuantizedWeight] {
        var weights: [WeightKey: QuantizedWeight] = [:]
        var linears = plan.topology.keys(layer: layer)
        for key in linears {
            if let given = fixed?.weights[key] { weights[key] = try install(given, key) }
        }
        linears.removeAll { weights[$0] != nil }
        if recipe.weights.rounding == .nearest {
            // Independent of the activations: round first, so that the ranges already know the rounded weights.
            for key in linears { weights[key] = try roundToNearest(key, bits: plan.bits(of: key)) }
        }
        let compensates = recipe.weights.rounding != .nearest && !linears.isEmpty
        try observe(layer, compensates ? Self.spread(hidden, Self.provisionalBatches) : hidden, visitor)
        if compensates {
            weights.merge(try roundCompensated(linears, layer, hidden, &float, visitor)) { $1 }
            // The rounded weights shift what leaves the linears: observe their outputs again.
            try observe(layer, Self.spread(hidden, Self.rangeBatches), visitor)
        }
        visitor.mode = .quantize
        for index in hidden.indices {
            hidden[index] = try withNoGrad { try decoder.blockForward(layer, hidden[index], visitor: visitor) }
        }
        return weights
    }

    /// About `count` of the batches, evenly over all.
    private static func spread(_ batches: [Tensor], _ count: Int) -> [Tensor] {
        stride(from: 0, to: batches.count, by: max(1, batches.count / count)).map { batches[$0] }
    }

    private func observe(_ layer: Int, _ hidden: [Tensor], _ visitor: QuantizingVisitor) throws {
        visitor.mode = .observe
        for part in hidden { _ = try withNoGrad { try decoder.blockForward(layer, part, visitor: visitor) } }
        visitor.fixRanges(rule: recipe.activations.range)
    }

    /// The last sum and the final norm. The head's own output needs no range, so a single row of it is enough here.
    private func calibrateEnd(_ hidden: [Tensor], _ visitor: QuantizingVisitor) throws {
        let end = try decoder.copy()
        let row = try end.weights.effectiveHead.weight.narrow(0, start: 0, length: 1)
        end.weights.head = LinearWeights(weight: row, bias: nil)
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

    /// Rounds linears of a block with the second moments of their inputs.
    private func roundCompensated(
        _ linears: [WeightKey], _ layer: Int, _ hidden: [Tensor], _ float: inout FloatStream?,
        _ visitor: QuantizingVisitor
    ) throws -> [WeightKey: QuantizedWeight] {
        visitor.mode = .quantize
        var weights: [WeightKey: QuantizedWeight] = [:]
        let sites = Set(linears.compactMap { input(of: $0) }).sorted { $0.rawValue < $1.rawValue }
        guard float != nil else {
            visitor.momentSites = Set(sites)
            for part in hidden { _ = try withNoGrad { try decoder.blockForward(layer, part, visitor: visitor) } }
            visitor.momentSites = []
            defer { visitor.forgetMoments() }
            for key in linears {
                guard let site = input(of: key), let moments = visitor.moments[SiteKey(site, layer: layer)] else {
                    throw DyadError(
                        .failed, subject: key.name, found: "no second moments", expected: "one matrix",
                        remedy: "This is a defect of Dyad: report it with the recipe.")
                }
                weights[key] = try round(key, target: nil, moments)
            }
            return weights
        }
        try float?.advance(layer, keeping: Set(sites + [.embeddingOutput, .residual, .attentionResidual]))
        // In the order of execution: what is rounded first changes the inputs of what follows.
        for site in sites {
            let keys = linears.filter { input(of: $0) == site }
            let sums = LayerMoments(
                visitor, site: site, addedTo: streamSite(layer, keys),
                correctsStream: recipe.weights.target == .residual)
            for (index, part) in hidden.enumerated() {
                if let float { try sums.add(decoder, layer, part, float, batch: index) }
            }
            guard let moments = try sums.own else { continue }
            for key in keys {
                guard let weight = decoder.weights[key] else { continue }
                weights[key] = try round(key, target: sums.target(weight), moments)
            }
        }
        return weights
    }

    /// The site that a linear of the blocks reads.
    private func input(of key: WeightKey) -> SiteKey.Site? { plan.topology.linear(key.weight)?.input }

    /// The site of the residual stream that the output of linears is added to; nil where it is not, or not as it is.
    private func streamSite(_ layer: Int, _ linears: [WeightKey]) -> SiteKey.Site? {
        let block = decoder.weights.blocks[layer]
        if linears.contains(where: { $0.weight == .oWeight }), block.postAttentionNorm == nil {
            return layer == 0 ? .embeddingOutput : .residual
        }
        if linears.contains(where: { $0.weight == .downWeight }), block.postFeedForwardNorm == nil {
            return .attentionResidual
        }
        return nil
    }

    /// Rounds a weight.
    ///
    /// - Parameters:
    ///   - target: what stands in for the float weight.
    ///   - moments: of its inputs.
    private func round(_ key: WeightKey, target: Tensor?, _ moments: Tensor) throws -> QuantizedWeight {
        let (own, rows, columns) = try values(key)
        let values = try target?.to(.float32).toArray(Float.self) ?? own
        let bits = plan.bits(of: key)
        // Damping 1 % of the mean second moment, as in the GPTQ paper; a channel that never fires gets only that.
        let input = try OrderedMoments(moments, damping: 0.01)
        let scales = WeightQuantizer.scales(
            values, rows: rows, columns: columns, bits: bits, clip: recipe.weights.clip,
            importance: recipe.weights.clip == .hessian ? input.relativeDiagonal : nil)
        if recipe.weights.rounding == .descent {
            return try install(
                CoordinateDescent.round(
                    values, rows: rows, columns: columns, bits: bits, scales: scales, hessian: input.hessian(),
                    order: input.order, factor: input.inverseFactor()), key)
        }
        return try install(
            GPTQ.round(
                values, rows: rows, columns: columns, bits: bits, scales: scales, order: input.order,
                factor: input.inverseFactor()), key)
    }

    private func install(_ weight: QuantizedWeight, _ key: WeightKey) throws -> QuantizedWeight {
        decoder.weights[key] = try weight.tensor()
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
}
