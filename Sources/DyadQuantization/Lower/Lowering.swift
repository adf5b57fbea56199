import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTransformer
import Foundation

/// Turns a ``StaticModel`` into an integer program: names, encodings, packed constants, tables.
struct Lowering {
    private let model: StaticModel
    private let configuration: DecoderConfiguration
    private var builder: GraphBuilder
    private let hidden: [DyadGraph.Dimension]
    private var cosine = ""
    private var sine = ""

    /// The program of `model`.
    ///
    /// - Throws: ``DyadError`` for a site without encoding, or numbers that no integer program can hold.
    static func lower(_ model: StaticModel) throws(DyadError) -> (
        graph: IntegerGraph, constants: [String: ConstantData]
    ) {
        var lowering = Lowering(model)
        try lowering.run()
        return (lowering.builder.graph, lowering.builder.constants)
    }

    private init(_ model: StaticModel) {
        self.model = model
        configuration = model.configuration
        hidden = [.tokens, .fixed(model.configuration.hiddenSize)]
        builder = GraphBuilder(
            vocabularySize: configuration.vocabularySize, maximumContext: model.maximumContext,
            prefixTokens: model.prefixTokens)
    }

    private mutating func run() throws(DyadError) {
        addRotaryTables()
        var residual = try site(.blockInput(0, layerCount: configuration.layerCount), hidden)
        let embedding = builder.weight(WeightKey(.embedding).module, model.embedding)
        builder.operation(
            WeightKey(.embedding).module,
            .embed(.init(weight: embedding.weight, scales: embedding.scales, output: residual)))
        for layer in 0..<configuration.layerCount {
            builder.layer = layer
            residual = try addBlock(layer, input: residual)
        }
        builder.layer = nil
        let normed = try addNorm(.finalNormGain, model.finalNorm, from: residual, to: .finalNormOutput, nil)
        let name = WeightKey(.headWeight).module
        let head = builder.weight(name, model.head.weight)
        let bias = try builder.bias(name, model.head.bias, input: normed, scales: model.head.weight.scales)
        func addLogits(_ name: String) -> TensorID {
            builder.tensor(
                name, [.tokens, .fixed(configuration.vocabularySize)], .i32, Encoding(scale: 0x1p-16, zeroPoint: 0))
        }
        let logits = addLogits(configuration.logitCap == nil ? "logits" : name + ".output")
        builder.operation(
            name,
            .logits(.init(input: normed, weight: head.weight, scales: head.scales, bias: bias, output: logits)))
        if let cap = configuration.logitCap {
            builder.operation(
                "logits_cap", .softCap(.init(input: logits, cap: Float(cap), output: addLogits("logits"))))
        }
    }

    // MARK: One block

    private mutating func addBlock(_ layer: Int, input: TensorID) throws(DyadError) -> TensorID {
        let block = model.blocks[layer]
        let name = "layers.\(layer)"
        let normed = try addNorm(
            .inputNormGain, block.attentionNorm, from: input, to: .attentionNormOutput, layer)
        let attended = try addAttention(layer, block, input: normed)
        var output = try addLinear(.oWeight, block.output, from: attended, to: .oOutput, layer)
        if let norm = block.postAttentionNorm {
            output = try addNorm(.postAttentionNormGain, norm, from: output, to: .postAttentionNormOutput, layer)
        }
        let middle = try site(SiteKey(.attentionResidual, layer: layer), hidden)
        builder.operation(name + ".attention_add", .add(.init(left: input, right: output, output: middle)))
        // With a shared norm the feed-forward part reads what attention read.
        let second =
            try block.feedForwardNorm.map { norm throws(DyadError) in
                try addNorm(
                    .feedForwardNormGain, norm, from: configuration.parallelResidual ? input : middle,
                    to: .feedForwardNormOutput, layer)
            } ?? normed
        return try addFeedForward(layer, block, normed: second, residual: middle)
    }

    private mutating func addAttention(
        _ layer: Int, _ block: StaticModel.Block, input: TensorID
    ) throws(DyadError) -> TensorID {
        let name = "layers.\(layer).self_attn"
        let (heads, groups, size) = (
            configuration.headCount, configuration.keyValueHeadCount, configuration.headDimension
        )
        var query = try addLinear(.qWeight, block.query, from: input, to: .qOutput, layer)
        var key = try addLinear(.kWeight, block.key, from: input, to: .kOutput, layer)
        let value = try addLinear(.vWeight, block.value, from: input, to: .vOutput, layer)
        if let norm = block.queryNorm {
            query = try addNorm(.qNormGain, norm, from: query, to: .qNormOutput, layer)
        }
        if let norm = block.keyNorm { key = try addNorm(.kNormGain, norm, from: key, to: .kNormOutput, layer) }
        query = try addRotary(name + ".q_rotary", from: query, heads: heads, to: .qRotated, layer)
        key = try addRotary(name + ".k_rotary", from: key, heads: groups, to: .kRotated, layer)
        let keyCache = try addCache(name + ".k_cache", of: key, prefix: block.prefixKeys)
        let valueCache = try addCache(name + ".v_cache", of: value, prefix: block.prefixValues)

        let rows: [DyadGraph.Dimension] = [.fixed(heads), .tokens, .context]
        let scores = try site(SiteKey(.scores, layer: layer), rows)
        builder.operation(
            name + ".scores",
            .matmul(
                .init(
                    form: .queryKey, input: query, cache: keyCache, factor: Float(1 / Double(size).squareRoot()),
                    output: scores)))
        var visible = scores
        if let cap = configuration.scoreCap {
            // The range of the scores, capped: nothing to calibrate.
            let (source, grid) = (builder.graph.tensors[scores], Double(IntegerType.i16.range.upperBound))
            let range = cap * tanh(Double(source.encoding.scale) * grid / cap)
            visible = builder.tensor(
                name + ".capped_scores", rows, source.type,
                Encoding(scale: Float(range / grid), zeroPoint: source.encoding.zeroPoint))
            builder.operation(
                name + ".scores_cap", .softCap(.init(input: scores, cap: Float(cap), output: visible)))
        }
        let source = builder.graph.tensors[visible]
        let masked = builder.tensor(name + ".masked_scores", rows, source.type, source.encoding)
        builder.operation(name + ".mask", .mask(.init(input: visible, output: masked)))

        let attended = try site(SiteKey(.attentionOutput, layer: layer), [.tokens, .fixed(heads * size)])
        if model.plan.recipe.attention == .softmax {
            let fixed = try fixedEncoding(SiteKey(.probabilities, layer: layer))
            let probabilities = builder.tensor(name + ".probabilities", rows, fixed.type, fixed.encoding)
            builder.operation(name + ".softmax", .softmax(.init(input: masked, output: probabilities)))
            builder.operation(
                name + ".weighted_values",
                .matmul(
                    .init(form: .weightedValues, input: probabilities, cache: valueCache, factor: 1, output: attended)))
        } else {
            let (unit, type) = try fixedEncoding(SiteKey(.exponentials, layer: layer))
            let exponentials = builder.tensor(name + ".exponentials", rows, type, unit)
            var weights: TensorID?
            if !model.prefixTokens.isEmpty {
                weights = builder.tensor(
                    name + ".prefix_weights", [.fixed(heads), .tokens, .fixed(model.prefixTokens.count)], .u32, unit)
            }
            builder.operation(
                name + ".exponential",
                .exponential(.init(input: masked, output: exponentials, prefixWeights: weights)))
            builder.operation(
                name + ".late_attention",
                .lateAttention(
                    .init(exponentials: exponentials, prefixWeights: weights, cache: valueCache, output: attended)))
        }
        return attended
    }

    private mutating func addFeedForward(
        _ layer: Int, _ block: StaticModel.Block, normed: TensorID, residual: TensorID
    ) throws(DyadError) -> TensorID {
        let name = "layers.\(layer).mlp"
        let wide: [DyadGraph.Dimension] = [.tokens, .fixed(configuration.intermediateSize)]
        let function = configuration.activation
        var product: TensorID
        if let gateWeight = block.gate {
            let gate = try addLinear(.gateWeight, gateWeight, from: normed, to: .gateOutput, layer)
            let up = try addLinear(.upWeight, block.up, from: normed, to: .upOutput, layer)
            let active = try addActivation(name, function, from: gate, layer)
            product = try site(SiteKey(.product, layer: layer), wide)
            builder.operation(name + ".product", .multiply(.init(left: active, right: up, output: product)))
        } else {
            let up = try addLinear(.upWeight, block.up, from: normed, to: .upOutput, layer)
            product = try addActivation(name, function, from: up, layer)
        }
        if let hadamard = model.hadamard {
            let source = builder.graph.tensors[product]
            let rotated = builder.tensor(
                name + ".hadamard.output", wide, .i32, Encoding(scale: source.encoding.scale, zeroPoint: 0))
            builder.operation(
                name + ".hadamard",
                .hadamard(.init(input: product, base: hadamard.baseRows, power: hadamard.power, output: rotated)))
            let input = try site(SiteKey(.downInput, layer: layer), wide)
            builder.operation(
                name + ".hadamard_requantize",
                .requantize(.init(input: rotated, factor: hadamard.normalization, output: input)))
            product = input
        }
        var down = try addLinear(.downWeight, block.down, from: product, to: .downOutput, layer)
        if let norm = block.postFeedForwardNorm {
            down = try addNorm(
                .postFeedForwardNormGain, norm, from: down, to: .postFeedForwardNormOutput, layer)
        }
        let sum = try site(.blockInput(layer + 1, layerCount: configuration.layerCount), hidden)
        builder.operation("layers.\(layer).feed_forward_add", .add(.init(left: residual, right: down, output: sum)))
        return sum
    }

    // MARK: Operations

    /// The encoding of a site that needs no calibration.
    private func fixedEncoding(_ key: SiteKey) throws(DyadError) -> (encoding: Encoding, type: IntegerType) {
        guard case .fixed(let encoding, let type) = model.plan.rounding(of: key) else { throw missing(key) }
        return (encoding, type)
    }

    private func missing(_ key: SiteKey) -> DyadError {
        DyadError(
            .failed, subject: key.name, found: "no encoding", expected: "one from the plan, or from calibration",
            remedy: "This is a defect of Dyad: report it with the recipe.")
    }

    /// The tensor of a site, with the encoding that calibration found.
    private mutating func site(
        _ key: SiteKey, _ shape: [DyadGraph.Dimension]
    ) throws(DyadError) -> TensorID {
        guard let encoding = model.encodings[key], let type = model.types[key] else { throw missing(key) }
        return builder.tensor(key.name, shape, type, encoding)
    }

    private mutating func addNorm(
        _ gain: WeightKey.Weight, _ norm: StaticModel.Norm, from input: TensorID, to output: SiteKey.Site, _ layer: Int?
    ) throws(DyadError) -> TensorID {
        let name = WeightKey(gain, layer: layer).module
        let result = try site(SiteKey(output, layer: layer), builder.graph.tensors[input].shape)
        let isHead = output == .qNormOutput || output == .kNormOutput
        let size = isHead ? configuration.headDimension : configuration.hiddenSize
        let gain = norm.gain.map { builder.constant(name + ".weight", floats: $0) }
        let bias = norm.bias.map { builder.constant(name + ".bias", floats: $0) }
        let operands = Operation.Normalization(
            input: input, gain: gain, bias: bias, epsilon: Float(configuration.normEpsilon), size: size, output: result)
        builder.operation(
            name, configuration.normKind == .layer && !isHead ? .layerNorm(operands) : .rmsNorm(operands))
        return result
    }

    private mutating func addLinear(
        _ weight: WeightKey.Weight, _ linear: StaticModel.Linear, from input: TensorID, to output: SiteKey.Site,
        _ layer: Int
    ) throws(DyadError) -> TensorID {
        let name = WeightKey(weight, layer: layer).module
        let weight = builder.weight(name, linear.weight)
        let result = try site(SiteKey(output, layer: layer), [.tokens, .fixed(linear.weight.rows)])
        let bias = try builder.bias(name, linear.bias, input: input, scales: linear.weight.scales)
        builder.operation(
            name,
            .linear(
                .init(input: input, weight: weight.weight, scales: weight.scales, bias: bias, output: result)))
        return result
    }

    private mutating func addActivation(
        _ name: String, _ function: ActivationFunction, from input: TensorID, _ layer: Int
    ) throws(DyadError) -> TensorID {
        let source = builder.graph.tensors[input]
        let output = try site(SiteKey(.activationOutput, layer: layer), source.shape)
        let bytes = ActivationTable.bytes(
            function.value, input: source, output: builder.graph.tensors[output])
        let table = builder.constant(
            name + ".act_fn.table", [1 << source.type.bitWidth], builder.graph.tensors[output].type, bytes)
        builder.operation(
            name + ".act_fn",
            .lookup(.init(input: input, table: table, function: function, output: output)))
        return output
    }

    // MARK: Attention state

    private mutating func addRotaryTables() {
        let frequencies = configuration.inverseFrequencies()
        func table(_ function: (Double) -> Double) -> [UInt8] {
            var integers: [Int16] = []
            integers.reserveCapacity(model.maximumContext * frequencies.count)
            for position in 0..<model.maximumContext {
                for frequency in frequencies {
                    integers.append(Int16((function(Double(position) * frequency) * 16384).rounded()))
                }
            }
            return littleEndian(integers)
        }
        let shape = [model.maximumContext, frequencies.count]
        cosine = builder.constant("rotary.cosine", shape, .i16, table(cos))
        sine = builder.constant("rotary.sine", shape, .i16, table(sin))
    }

    private mutating func addRotary(
        _ name: String, from input: TensorID, heads: Int, to output: SiteKey.Site, _ layer: Int
    ) throws(DyadError) -> TensorID {
        let result = try site(SiteKey(output, layer: layer), [.tokens, .fixed(heads * configuration.headDimension)])
        builder.operation(
            name,
            .rotary(
                .init(
                    input: input, cosine: cosine, sine: sine, headDimension: configuration.headDimension,
                    rotated: configuration.rotaryDimension, output: result)))
        return result
    }

    /// A cache for `tensor`, its first columns filled with the prefix clamped to the cache's encoding.
    private mutating func addCache(_ name: String, of tensor: TensorID, prefix: [Float]) throws(DyadError) -> Int {
        let encoding = builder.graph.tensors[tensor].encoding
        var constant: String?
        if !model.prefixTokens.isEmpty {
            let bytes = prefix.map { value in
                UInt8(min(max((Double(value) / Double(encoding.scale) + 0.5).rounded(.down) + 128, 0), 255))
            }
            constant = builder.constant(
                name + ".prefix",
                [configuration.keyValueHeadCount, model.prefixTokens.count, configuration.headDimension], .u8, bytes)
        }
        let cache = builder.cache(
            CacheState(
                name: name, keyValueHeads: configuration.keyValueHeadCount,
                headDimension: configuration.headDimension, encoding: encoding, prefix: constant))
        builder.operation(name + "_append", .cacheAppend(.init(input: tensor, cache: cache)))
        return cache
    }
}
