import DyadCheckpoint
import DyadFormats
import DyadGraph
import DyadTensor
import DyadTransformer

/// What one stage learns: the parameters around a calibration's result, the student network, and how both become a result
/// again.
struct LearningProblem {
    let stage: Recipe.Learning
    /// The float decoder that the transforms start from.
    let folded: Decoder
    /// The same with the embedding and head of the program, where the problem has all layers and no learnt R1.
    let student: Decoder
    let visitor: LearningVisitor
    /// The only layer whose parameters exist; nil for all.
    private let layer: Int?
    private let start: QuantizedNetwork
    private let plan: NetworkPlan

    init(
        _ stage: Recipe.Learning, _ plan: NetworkPlan, folded: Decoder, start: QuantizedNetwork, layer: Int? = nil
    ) throws {
        (self.stage, self.plan, self.start, self.layer) = (stage, plan, start, layer)
        let folded = try folded.copy()
        if stage.rates[.scalings] > 0, stage.scalings.contains(.norms) {
            try folded.weights.giveGains(hiddenSize: folded.configuration.hiddenSize)
        }
        self.folded = folded
        student = try folded.copy()
        for (key, values) in start.vectors { student.weights[key] = try Tensor(values) }
        func isWanted(_ other: Int?) -> Bool { layer == nil || layer == other }

        var encodings: [SiteKey: LearnableEncoding] = [:]
        for (key, encoding) in start.encodings where isWanted(key.layer) {
            guard let grid = plan.grid(key), grid != .centred16 else { continue }
            guard stage.activations == .all || !plan.topology.readers(of: key.site).isEmpty else { continue }
            encodings[key] = try LearnableEncoding(encoding, grid: grid)
        }
        var weights: [WeightKey: any LearnableWeight] = [:]
        for (key, rounded) in start.weights {
            guard let float = folded.weights[key] else { continue }
            if key.layer == nil {
                // Rounded by the program; a learnt R1 turns them, which leaves them as float here. No block reads them.
                if stage.rates[.rotations] == 0, layer == nil { student.weights[key] = try rounded.tensor() }
            } else if isWanted(key.layer), stage.quantizesWeights {
                if stage.rates[.rounding] > 0 {
                    weights[key] = try LatentWeight(rounded, float: float)
                } else if stage.rates[.weightScales] > 0 {
                    weights[key] = try ScaledWeight(rounded)
                } else if stage.clipsWeights {
                    weights[key] = try ClippedWeight(rows: rounded.rows, bits: rounded.bits)
                } else {
                    weights[key] = FixedWeight(rounded)
                }
            }
        }
        let vectors = try Self.vectors(stage.rates, student, start, plan.topology, isWanted: isWanted)
        var transforms: [any LearnableTransform] = []
        var residual: LearnableRotation?
        if stage.rates[.scalings] > 0 {
            transforms += try LearnableScaling.all(stage.scalings, of: folded).filter { isWanted($0.layer) }
        }
        if stage.rates[.rotations] > 0 {
            if plan.recipe.rotation.values {
                for layer in folded.weights.blocks.indices {
                    transforms.append(try LearnableRotation(layer: layer, configuration: folded.configuration))
                }
            }
            if plan.recipe.rotation.residual {
                residual = try LearnableRotation(layer: nil, configuration: folded.configuration)
            }
        }
        visitor = LearningVisitor(
            plan, encodings: encodings, weights: weights, vectors: vectors, transforms: transforms, residual: residual)
        for parameter in visitor.parameters where rate(parameter) == 0 { try parameter.tensor.requiresGrad(false) }
    }

    /// The gains and biases to learn; the student gets ones and zeros where it has none.
    private static func vectors(
        _ rates: Recipe.Learning.Rates, _ student: Decoder, _ start: QuantizedNetwork, _ topology: Topology,
        isWanted: (Int?) -> Bool
    ) throws -> [WeightKey: LearnableVector] {
        var vectors: [WeightKey: LearnableVector] = [:]
        let hidden = student.configuration.hiddenSize
        func addGain(_ weight: WeightKey.Weight, _ layer: Int?, _ norm: NormalizationWeights?) throws {
            guard let norm, isWanted(layer) else { return }
            let key = WeightKey(weight, layer: layer)
            if norm.gain == nil { student.weights[key] = try Tensor.ones([hidden]) }
            vectors[key] = try LearnableVector(gain: hidden)
        }
        for (layer, block) in student.weights.blocks.enumerated() where isWanted(layer) {
            if rates[.gains] > 0 {
                try addGain(.inputNormGain, layer, block.inputNorm)
                try addGain(.feedForwardNormGain, layer, block.feedForwardNorm)
            }
            guard rates[.biases] > 0 else { continue }
            for linear in topology.linears {
                let output = SiteKey(linear.output, layer: layer)
                guard let size = try student.weights[WeightKey(linear.weight, layer: layer)]?.size(0),
                    let bias = linear.weight.bias.map({ WeightKey($0, layer: layer) }),
                    let encoding = start.encodings[output], let type = start.types[output]
                else { continue }
                if student.weights[bias] == nil { student.weights[bias] = try Tensor.zeros([size]) }
                // A range is some ten standard deviations wide, with the headroom of 16 bits twice as many.
                let deviations = type == .u16 ? 20.0 : 10.0
                vectors[bias] = try LearnableVector(
                    bias: size, deviation: Double(encoding.scale) * Double(type.range.count) / deviations)
            }
        }
        if rates[.gains] > 0 { try addGain(.finalNormGain, nil, student.weights.finalNorm) }
        return vectors
    }

    /// The parameters that are learnt.
    var parameters: [LearnableParameter] { visitor.parameters.filter { rate($0) > 0 } }

    /// The highest learning rate of a parameter.
    func rate(_ parameter: LearnableParameter) -> Double {
        stage.rates[parameter.kind] * parameter.unit
    }

    /// An optimiser with one group for each learning rate.
    func optimizer() -> any Optimizer {
        var rates: [Double] = []
        for parameter in parameters where !rates.contains(rate(parameter)) { rates.append(rate(parameter)) }
        let groups = rates.map { value in
            ParameterGroup(parameters.filter { rate($0) == value }.map(\.tensor), learningRate: value)
        }
        return stage.optimizer == .sgd ? SGD(groups) : AdamW(groups)
    }

    // MARK: What was learnt

    /// Writes encodings and integers of the problem's parameters into a result.
    func store(in result: inout QuantizedNetwork) throws {
        visitor.beginPass()
        if stage.rates[.activations] > 0 {
            for (key, encoding) in visitor.encodings { result.encodings[key] = try encoding.encoding() }
        }
        try withNoGrad {
            for (key, vector) in visitor.vectors {
                guard let start = student.weights[key] else { continue }
                result.vectors[key] = try vector.value(start).toArray(Float.self)
            }
            for (key, weight) in visitor.weights {
                guard let float = folded.weights[key] else { continue }
                result.weights[key] = try weight.rounded(try visitor.transformed(key, float))
            }
        }
        visitor.beginPass()
    }

    /// Folds the transforms into the weights of `decoder` (which has the problem's float weights) in float64; those of the problem's
    /// layer, where it has one.
    func fold(into decoder: Decoder) throws {
        guard stage.learnsTransforms else { return }
        visitor.beginPass()
        try withNoGrad {
            let transforms = try visitor.allTransforms.map { try $0.current(.float64) }
            for key in folded.weights.keys where layer == nil || layer == key.layer {
                decoder.weights[key] = folded.weights[key]
            }
            try decoder.weights.fold(transforms, layer: layer)
            if let prefix = decoder.prefix {
                func turned(_ x: Tensor, _ site: SiteKey.Site, _ layer: Int) throws -> Tensor {
                    var wide = try x.unsqueeze(0).to(.float64)
                    for transform in transforms {
                        wide = try transform.apply(prefix: SiteKey(site, layer: layer), wide)
                    }
                    return try wide.squeeze(0).to(x.dtype).contiguous()
                }
                let blocks = try prefix.blocks.enumerated().map { layer, block in
                    Prefix.Block(
                        keys: try turned(block.keys, .prefixKeys, layer),
                        values: try turned(block.values, .prefixValues, layer))
                }
                decoder.prefix = Prefix(tokens: prefix.tokens, blocks: blocks)
            }
        }
        visitor.beginPass()
    }

    /// Ranges of the 16-bit tensors that `forward` meets, into a result, with calibration's headroom ×2. Where only zeros are
    /// met, calibration's range stays: an 8-bit range that a massive activation has widened rounds all else to zero.
    func measureWideRanges(_ result: inout QuantizedNetwork, _ forward: (any SiteVisitor) throws -> Void) throws {
        let observer = ExtremesVisitor(inner: visitor, plan: plan, keepsWeights: layer != nil)
        visitor.beginPass()
        try withNoGrad { try forward(observer) }
        visitor.beginPass()
        for (key, range) in observer.ranges where range.low < range.high {
            result.encodings[key] = Grid.centred16.encoding(low: 2 * range.low, high: 2 * range.high)
        }
    }
}

/// A weight that a stage rounds but does not learn.
final class FixedWeight: LearnableWeight {
    private let weight: QuantizedWeight
    var parameters: [LearnableParameter] { [] }

    init(_ weight: QuantizedWeight) { self.weight = weight }

    func quantized(_ w: Tensor) throws(DyadError) -> Tensor { try weight.tensor() }
    func rounded(_ w: Tensor) throws(DyadError) -> QuantizedWeight { weight }
}

extension QuantizedWeight {
    /// The real weight as a tensor, float32 `[rows, columns]`.
    func tensor() throws(DyadError) -> Tensor {
        try Tensor(integers, shape: [rows, columns]).to(.float32) * Tensor(scales, shape: [rows, 1])
    }
}

/// Notes the extremes of the 16-bit tensors on the way through another visitor.
private final class ExtremesVisitor: SiteVisitor {
    private(set) var ranges: [SiteKey: (low: Double, high: Double)] = [:]
    private let inner: LearningVisitor
    private let plan: NetworkPlan
    /// Rounded weights, kept from one forward pass to the next: of one block, since all of them are the float model again.
    private var weights: [WeightKey: Tensor] = [:]
    private let keepsWeights: Bool

    init(inner: LearningVisitor, plan: NetworkPlan, keepsWeights: Bool) {
        (self.inner, self.plan, self.keepsWeights) = (inner, plan, keepsWeights)
    }

    func weight(_ key: WeightKey, _ w: Tensor) throws -> Tensor {
        if let known = weights[key] { return known }
        let made = try inner.weight(key, w)
        if keepsWeights { weights[key] = made }
        return made
    }

    func outputFactors(_ key: WeightKey) throws -> Tensor? { try inner.outputFactors(key) }

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        let result = try inner.visit(key, x)
        if plan.grid(key) == .centred16 {
            let (low, high) = try result.extrema()
            let known = ranges[key] ?? (0, 0)
            ranges[key] = (min(known.low, low), max(known.high, high))
        }
        return result
    }
}
