import DyadTensor
import DyadTransformer

/// A float decoder, or with a visitor that rounds every site, the simulation of a quantised one.
public struct FloatModel: LanguageModel {
    /// The decoder.
    public let decoder: Decoder
    /// Its name in reports.
    public let name: String
    private let visitor: (any SiteVisitor)?
    /// Positions whose logits are computed together: enough for an efficient product, few enough to stay small.
    private let chunk = 256

    /// Creates the adapter.
    public init(_ decoder: Decoder, name: String, visitor: (any SiteVisitor)? = nil) {
        self.decoder = decoder
        self.name = name
        self.visitor = visitor
    }

    /// Logits per position.
    public var vocabularySize: Int { decoder.configuration.vocabularySize }

    /// One pass over the window, then the head for 256 positions at a time, without recording gradients.
    public func evaluate(
        window: [Int32], _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        let hidden = try withNoGrad { try decoder.hiddenStates([window], visitor: visitor) }
        for start in stride(from: 0, to: window.count, by: chunk) {
            let range = start..<min(start + chunk, window.count)
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
