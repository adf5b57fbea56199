import DyadTensor
import DyadTransformer

/// A float decoder, or with a visitor that rounds every site, the simulation of a quantised one.
public struct FloatModel: LanguageModel {
    /// The decoder.
    public let decoder: Decoder
    /// Its name in reports.
    public let name: String
    private let visitor: (any SiteVisitor)?
    /// Keeps hidden states of windows; nil computes them every time.
    private let store: HiddenStateStore?
    /// Positions whose logits are computed together: enough for an efficient product, few enough to stay small.
    private let chunk = 256
    /// Tokens of several windows that run side by side, padding included, so that memory stays that of one long window.
    private let tokensAtOnce = 2048

    /// Creates the adapter.
    public init(_ decoder: Decoder, name: String, visitor: (any SiteVisitor)? = nil) {
        (self.decoder, self.name, self.visitor, store) = (decoder, name, visitor, nil)
    }

    /// Creates the adapter of a float model whose hidden states are kept.
    public init(_ decoder: Decoder, name: String, store: HiddenStateStore?) {
        (self.decoder, self.name, visitor, self.store) = (decoder, name, nil, store)
    }

    /// Logits per position.
    public var vocabularySize: Int { decoder.configuration.vocabularySize }

    /// One pass over the window, then the head for 256 positions at a time, without recording gradients.
    public func evaluate(
        window: [Int32], _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        func compute() throws -> Tensor { try withNoGrad { try decoder.hiddenStates([window], visitor: visitor) } }
        let size = decoder.configuration.hiddenSize
        try logits(of: try store?.states(of: window, hiddenSize: size, compute) ?? compute(), body)
    }

    /// As ``LanguageModel`` says: the common beginning runs once, its keys and values are copied for every window, and the
    /// rest of the windows run side by side.
    ///
    /// The rests are padded to one length behind their ends, where no token looks.
    public func evaluate(
        tails: [WindowTail], _ body: (Int, Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        let shared = tails.count > 1 ? sharedCount(tails) : 0
        let cache = try KeyValueCache(decoder: decoder, batch: 1, capacity: max(shared, 1))
        if shared > 0, let first = tails.first {
            let beginning = Array(first.tokens.prefix(shared))
            _ = try withNoGrad { try decoder.hiddenStates([beginning], cache: cache, visitor: visitor) }
        }
        let longest = (tails.map(\.tokens.count).max() ?? 0) - shared
        let batch = max(1, tokensAtOnce / max(longest, 1))
        for start in stride(from: 0, to: tails.count, by: batch) {
            let part = start..<min(start + batch, tails.count)
            try evaluate(tails[part], behind: cache) { try body($0, $1, $2) }
        }
    }

    /// Some windows side by side, behind what `beginning` holds.
    private func evaluate(
        _ tails: ArraySlice<WindowTail>, behind beginning: KeyValueCache,
        _ body: (Int, Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        let shared = beginning.length
        let length = (tails.map(\.tokens.count).max() ?? 0) - shared
        let sequences = tails.map { tail in
            let rest = tail.tokens[shared...]
            return Array(rest) + [Int32](repeating: tail.tokens[shared], count: length - rest.count)
        }
        let wanted = try withNoGrad {
            let cache =
                shared == 0
                ? nil : try KeyValueCache(repeating: beginning, batch: tails.count, capacity: shared + length)
            let hidden = try decoder.hiddenStates(sequences, cache: cache, visitor: visitor)
            return try Tensor.cat(
                zip(0..., tails).map { row, tail in
                    try hidden.narrow(0, start: row, length: 1)
                        .narrow(1, start: tail.start - shared, length: tail.tokens.count - tail.start)
                }, dim: 1)
        }
        // Where each window's rows begin among all wanted rows.
        var offset = 0
        let places = tails.indices.map { index in
            defer { offset += tails[index].tokens.count - tails[index].start }
            return (index: index, offset: offset, tail: tails[index])
        }
        try logits(of: wanted) { range, logits in
            for (index, offset, tail) in places {
                let rows = range.clamped(to: offset..<offset + tail.tokens.count - tail.start)
                guard !rows.isEmpty else { continue }
                let first = (rows.lowerBound - range.lowerBound) * vocabularySize
                let shift = tail.start - offset
                try body(
                    index, rows.lowerBound + shift..<rows.upperBound + shift,
                    UnsafeBufferPointer(rebasing: logits[first..<first + rows.count * vocabularySize]))
            }
        }
    }

    /// The head for 256 positions at a time, `hidden` being `[1, tokens, hidden]`.
    private func logits(of hidden: Tensor, _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void) throws {
        let count = try hidden.size(1)
        for start in stride(from: 0, to: count, by: chunk) {
            let range = start..<min(start + chunk, count)
            let logits = try withNoGrad {
                let rows = try hidden.narrow(1, start: range.lowerBound, length: range.count)
                return try decoder.finalLogits(rows, visitor: visitor).to(.cpu, dtype: .float32).contiguous()
            }
            let outcome = try logits.withUnsafeBytes { bytes in
                Result { try body(range, bytes.bindMemory(to: Float.self)) }
            }
            try outcome.get()
        }
    }
}
