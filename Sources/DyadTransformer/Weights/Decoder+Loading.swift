import DyadCheckpoint
import DyadFormats
import DyadTensor

extension Decoder {
    /// Reads a checkpoint's weights, tensor by tensor: never more than one tensor exists twice.
    ///
    /// Throws when a tensor is missing or has another shape than the configuration says.
    public convenience init(
        checkpoint: Checkpoint, dtype: DType = .float32, device: Device = .cpu
    ) throws {
        let configuration = checkpoint.configuration
        let names = Set(configuration.tensorShapes().map(\.name))
        let weights = try DecoderWeights(layerCount: configuration.layerCount) { key in
            guard names.contains(key.checkpointName) else { return nil }
            return try Self.load(key, from: checkpoint, dtype: dtype, device: device)
        }
        try self.init(configuration: configuration, weights: weights)
    }

    private static func load(
        _ key: WeightKey, from checkpoint: Checkpoint, dtype: DType, device: Device
    ) throws -> Tensor {
        let name = key.checkpointName
        let view = try checkpoint.view(name)
        var tensor: Tensor
        if let view, let stored = DType(view.type) {
            let bytes = try view.bytes()
            tensor = try Tensor(borrowing: bytes.bytes, dtype: stored, shape: view.shape, owner: bytes)
            // What `to` would give back as it is must be a tensor that transforms may write to.
            if stored == dtype { tensor = try tensor.clone() }
        } else {
            tensor = try Tensor(try checkpoint.floats(name), shape: try checkpoint.shape(of: name))
        }
        if checkpoint.configuration.normAddsOne, key.weight.isGain {
            tensor = try tensor.to(.float32) + 1
        }
        return try tensor.to(device, dtype: dtype)
    }
}

extension DType {
    /// The dtype of a checkpoint's floating-point elements; nil for others.
    fileprivate init?(_ type: ElementType) {
        switch type {
        case .float32: self = .float32
        case .float16: self = .float16
        case .bfloat16: self = .bfloat16
        default: return nil
        }
    }
}

extension WeightKey.Weight {
    /// Whether this is the factor of a norm.
    public var isGain: Bool {
        switch self {
        case .inputNormGain, .qNormGain, .kNormGain, .postAttentionNormGain, .feedForwardNormGain,
            .postFeedForwardNormGain, .finalNormGain:
            true
        default: false
        }
    }
}
