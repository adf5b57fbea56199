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

    /// Room for `batch` sequences of up to `capacity` tokens that all go on from the one sequence in `other`.
    ///
    /// Copies keys and values of `other.length` tokens `batch` times. Throws `.failed` where they do not fit.
    public init(repeating other: KeyValueCache, batch: Int, capacity: Int) throws {
        guard capacity >= other.length else { throw Self.full(other.length, capacity) }
        self.capacity = capacity
        lengths = other.lengths
        let (count, blocks) = (other.length, other.blocks)
        func repeated(_ old: Tensor) throws -> Tensor {
            let shape = [batch, try old.size(1), capacity, try old.size(3)]
            let new = try Tensor.zeros(shape, dtype: old.dtype, device: old.device)
            let held = try old.narrow(2, start: 0, length: count)
            if count > 0 { try new.assign(held.expand([batch, shape[1], count, shape[3]]), dim: 2, start: 0) }
            return new
        }
        self.blocks = try withNoGrad { try blocks.map { (try repeated($0.keys), try repeated($0.values)) } }
    }

    private static func full(_ count: Int, _ capacity: Int) -> DyadError {
        DyadError(
            .failed, subject: "KV cache", found: "\(count) tokens", expected: "at most \(capacity)",
            remedy: "Make the cache larger, or the sequence shorter.")
    }

    /// Tokens in the cache.
    public var length: Int { lengths.last ?? 0 }

    /// Tokens that one layer has appended; ahead of ``length`` while a forward pass is under way.
    func length(of layer: Int) -> Int { lengths[layer] }

    /// Forgets all tokens.
    public func reset() { truncate(to: 0) }

    /// Forgets all but the first `count` tokens.
    public func truncate(to count: Int) {
        for layer in lengths.indices { lengths[layer] = min(lengths[layer], count) }
    }

    /// Appends `[batch, keyValueHeads, t, d]` and returns all keys and values so far (views).
    func append(_ keys: Tensor, _ values: Tensor, layer: Int) throws -> (keys: Tensor, values: Tensor) {
        let count = try keys.size(2)
        let (start, end) = (lengths[layer], lengths[layer] + count)
        guard end <= capacity else { throw Self.full(end, capacity) }
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
