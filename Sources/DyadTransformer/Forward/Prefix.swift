import DyadTensor

/// Constant keys and values that stand in front of every sequence (Quant.npu, arXiv 2605.20295): they take the attention
/// that a model otherwise sinks into the first token, whose massive activations no static 8-bit encoding can hold.
public struct Prefix: Sendable {
    /// The tokens whose keys and values these are.
    public let tokens: [Int32]
    /// Per layer, float32 `[keyValueHeads, p, headDimension]`; keys after rotation at positions 0 ..< p.
    public let blocks: [Block]

    /// One layer's part.
    public struct Block: Sendable {
        /// After rotation.
        public var keys: Tensor
        /// As v_proj gives them.
        public var values: Tensor

        /// Creates a layer's part.
        public init(keys: Tensor, values: Tensor) {
            self.keys = keys
            self.values = values
        }
    }

    /// Creates a prefix.
    public init(tokens: [Int32], blocks: [Block]) {
        self.tokens = tokens
        self.blocks = blocks
    }

    /// p, the number of positions taken.
    public var count: Int { tokens.count }

    /// Puts one layer's constants, visited as `site`, in front of `[b, keyValueHeads, t, d]`.
    func prepend(_ constant: Tensor, _ site: SiteKey.Site, to x: Tensor, _ pass: Pass) throws -> Tensor {
        let visited = try pass.site(site, try constant.unsqueeze(0).to(x.device, dtype: x.dtype))
        var shape = x.shape
        shape[2] = count
        return try Tensor.cat([try visited.expand(shape), x], dim: 2)
    }
}

extension Decoder {
    /// The keys and values of `tokens`, seen by this decoder alone at positions 0, 1, ...: float32.
    public func computePrefix(_ tokens: [Int32]) throws -> Prefix {
        let alone = try copy()
        alone.prefix = nil
        let collector = KeyValueCollector()
        _ = try withNoGrad { try alone.hiddenStates([tokens], visitor: collector) }
        let shape = [tokens.count, configuration.keyValueHeadCount, configuration.headDimension]
        let blocks = try (0..<configuration.layerCount).map { layer in
            func part(_ site: SiteKey.Site) throws -> Tensor {
                guard let found = collector.tensors[SiteKey(site, layer: layer)] else {
                    preconditionFailure("every block visits its keys and values")
                }
                return try found.reshape(shape).transpose(0, 1).contiguous().to(.float32)
            }
            return Prefix.Block(keys: try part(.kRotated), values: try part(.vOutput))
        }
        return Prefix(tokens: tokens, blocks: blocks)
    }
}

/// Keeps what would go into the cache.
private final class KeyValueCollector: SiteVisitor {
    var tensors: [SiteKey: Tensor] = [:]

    func visit(_ key: SiteKey, _ x: Tensor) throws -> Tensor {
        if key.site == .kRotated || key.site == .vOutput { tensors[key] = x }
        return x
    }
}
