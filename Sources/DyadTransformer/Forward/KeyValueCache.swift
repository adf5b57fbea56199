import DyadCheckpoint
import DyadFormats
import DyadTensor

/// Keys (after rotation) and values of the tokens that a batch of sequences has seen; allocated once.
///
/// A constant prefix is not in here: the decoder puts it in front. The cache is written in place and is for inference
/// only; a forward pass that needs gradients goes without.
public final class KeyValueCache {
    /// Tokens that fit.
    public let capacity: Int
    private let blocks: [(keys: Tensor, values: Tensor)]
    private var lengths: [Int]

    /// Creates an empty cache, `[batch, keyValueHeads, capacity, headDimension]` twice per layer.
    public init(decoder: Decoder, batch: Int, capacity: Int) throws(DyadError) {
        let configuration = decoder.configuration
        let shape = [batch, configuration.keyValueHeadCount, capacity, configuration.headDimension]
        var blocks: [(keys: Tensor, values: Tensor)] = []
        for _ in 0..<configuration.layerCount {
            blocks.append(
                (
                    try Tensor.zeros(shape, dtype: decoder.dtype, device: decoder.device),
                    try Tensor.zeros(shape, dtype: decoder.dtype, device: decoder.device)
                ))
        }
        self.blocks = blocks
        self.capacity = capacity
        lengths = [Int](repeating: 0, count: configuration.layerCount)
    }

    /// Tokens in the cache.
    public var length: Int { lengths.last ?? 0 }

    /// Tokens that one layer has appended; ahead of ``length`` while a forward pass is under way.
    func length(of layer: Int) -> Int { lengths[layer] }

    /// Forgets all tokens.
    public func reset() {
        for layer in lengths.indices { lengths[layer] = 0 }
    }

    /// Appends `[batch, keyValueHeads, t, d]` and returns all keys and values so far (views).
    func append(_ keys: Tensor, _ values: Tensor, layer: Int) throws -> (keys: Tensor, values: Tensor) {
        let count = try keys.size(2)
        let (start, end) = (lengths[layer], lengths[layer] + count)
        guard end <= capacity else {
            throw DyadError(
                .failed, subject: "KV cache", found: "\(end) tokens", expected: "at most \(capacity)",
                remedy: "Make the cache larger, or the sequence shorter.")
        }
        let block = blocks[layer]
        try withNoGrad {
            try block.keys.assign(keys.detach(), dim: 2, start: start)
            try block.values.assign(values.detach(), dim: 2, start: start)
        }
        lengths[layer] = end
        return (
            try block.keys.narrow(2, start: 0, length: end), try block.values.narrow(2, start: 0, length: end)
        )
    }
}
