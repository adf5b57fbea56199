import DyadCheckpoint
import DyadTensor

/// `y = x·Wᵀ + b`.
public struct LinearWeights: Sendable {
    /// `[out, in]`
    public var weight: Tensor
    /// `[out]`
    public var bias: Tensor?

    /// Creates the weights of a linear layer.
    public init(weight: Tensor, bias: Tensor? = nil) {
        self.weight = weight
        self.bias = bias
    }
}

/// The affine part of a norm; a transform that folds it elsewhere leaves nothing behind.
public struct NormalizationWeights: Sendable {
    /// `[width]`, the factor itself (Gemma's stored w − 1 has had 1 added); nil for all ones.
    public var gain: Tensor?
    /// `[width]`, layer norm only; nil for all zeros.
    public var bias: Tensor?

    /// Creates the weights of a norm.
    public init(gain: Tensor? = nil, bias: Tensor? = nil) {
        self.gain = gain
        self.bias = bias
    }
}

/// The weights of one decoder block. What is nil is not computed; a norm without gain and bias is.
public struct BlockWeights: Sendable {
    /// Before attention; nil for none.
    public var inputNorm: NormalizationWeights?
    /// `[heads · headDimension, hidden]`
    public var qProj: LinearWeights
    /// `[keyValueHeads · headDimension, hidden]`
    public var kProj: LinearWeights
    /// `[keyValueHeads · headDimension, hidden]`
    public var vProj: LinearWeights
    /// Over each query head, `[headDimension]` ; gain only. Nil for none.
    public var qNorm: NormalizationWeights?
    /// Over each key head, `[headDimension]`; gain only. Nil for none.
    public var kNorm: NormalizationWeights?
    /// `[hidden, heads · headDimension]`
    public var oProj: LinearWeights
    /// On the attention's output before it is added; nil for none.
    public var postAttentionNorm: NormalizationWeights?
    /// Before the feed-forward part; nil where that reads what attention reads (a shared norm).
    public var feedForwardNorm: NormalizationWeights?
    /// `[intermediate, hidden]`; nil for none (two linears instead of three).
    public var gateProj: LinearWeights?
    /// `[intermediate, hidden]`
    public var upProj: LinearWeights
    /// `[hidden, intermediate]`
    public var downProj: LinearWeights
    /// On the feed-forward part's output before it is added; nil for none.
    public var postFeedForwardNorm: NormalizationWeights?

    /// Creates a block's weights, without any norm.
    public init(
        qProj: LinearWeights, kProj: LinearWeights, vProj: LinearWeights, oProj: LinearWeights,
        gateProj: LinearWeights?, upProj: LinearWeights, downProj: LinearWeights
    ) {
        self.qProj = qProj
        self.kProj = kProj
        self.vProj = vProj
        self.oProj = oProj
        self.gateProj = gateProj
        self.upProj = upProj
        self.downProj = downProj
    }

    /// The tensor of a role, nil where the block has none (or the role is none of a block's).
    ///
    /// Setting nil removes a bias or a gain; a matrix cannot be removed. A part that is nil (a norm, the gate) stays nil.
    public subscript(_ weight: WeightKey.Weight) -> Tensor? {
        get {
            switch weight {
            case .inputNormGain: inputNorm?.gain
            case .inputNormBias: inputNorm?.bias
            case .qWeight: qProj.weight
            case .qBias: qProj.bias
            case .kWeight: kProj.weight
            case .kBias: kProj.bias
            case .vWeight: vProj.weight
            case .vBias: vProj.bias
            case .qNormGain: qNorm?.gain
            case .kNormGain: kNorm?.gain
            case .oWeight: oProj.weight
            case .oBias: oProj.bias
            case .postAttentionNormGain: postAttentionNorm?.gain
            case .postAttentionNormBias: postAttentionNorm?.bias
            case .feedForwardNormGain: feedForwardNorm?.gain
            case .feedForwardNormBias: feedForwardNorm?.bias
            case .gateWeight: gateProj?.weight
            case .gateBias: gateProj?.bias
            case .upWeight: upProj.weight
            case .upBias: upProj.bias
            case .downWeight: downProj.weight
            case .downBias: downProj.bias
            case .postFeedForwardNormGain: postFeedForwardNorm?.gain
            case .postFeedForwardNormBias: postFeedForwardNorm?.bias
            case .embedding, .finalNormGain, .finalNormBias, .headWeight, .headBias: nil
            }
        }
        set {
            switch weight {
            case .inputNormGain: inputNorm?.gain = newValue
            case .inputNormBias: inputNorm?.bias = newValue
            case .qBias: qProj.bias = newValue
            case .kBias: kProj.bias = newValue
            case .vBias: vProj.bias = newValue
            case .qNormGain: qNorm?.gain = newValue
            case .kNormGain: kNorm?.gain = newValue
            case .oBias: oProj.bias = newValue
            case .postAttentionNormGain: postAttentionNorm?.gain = newValue
            case .postAttentionNormBias: postAttentionNorm?.bias = newValue
            case .feedForwardNormGain: feedForwardNorm?.gain = newValue
            case .feedForwardNormBias: feedForwardNorm?.bias = newValue
            case .gateBias: gateProj?.bias = newValue
            case .upBias: upProj.bias = newValue
            case .downBias: downProj.bias = newValue
            case .postFeedForwardNormGain: postFeedForwardNorm?.gain = newValue
            case .postFeedForwardNormBias: postFeedForwardNorm?.bias = newValue
            case .qWeight, .kWeight, .vWeight, .oWeight, .gateWeight, .upWeight, .downWeight:
                guard let newValue else { preconditionFailure("\(weight.rawValue) cannot be removed") }
                setMatrix(weight, newValue)
            case .embedding, .finalNormGain, .finalNormBias, .headWeight, .headBias:
                preconditionFailure("\(weight.rawValue) does not belong to a block")
            }
        }
    }

    private mutating func setMatrix(_ weight: WeightKey.Weight, _ value: Tensor) {
        switch weight {
        case .qWeight: qProj.weight = value
        case .kWeight: kProj.weight = value
        case .vWeight: vProj.weight = value
        case .oWeight: oProj.weight = value
        case .gateWeight: gateProj?.weight = value
        case .upWeight: upProj.weight = value
        default: downProj.weight = value
        }
    }
}
