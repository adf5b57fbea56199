import DyadFormats
import DyadRuntime
import DyadTensor
import DyadTransformer

/// A float model as ``Generator`` sees a program: what the model itself would answer.
public final class FloatSession: TokenSession {
    private let decoder: Decoder
    private let cache: KeyValueCache
    private let capacity: Int

    /// Creates an empty session.
    ///
    /// - Parameter capacity: tokens that fit, the decoder's prefix not counted; keys and values of all of them are
    ///   allocated at once.
    public init(_ decoder: Decoder, capacity: Int) throws(DyadError) {
        (self.decoder, self.capacity) = (decoder, capacity)
        cache = try KeyValueCache(decoder: decoder, batch: 1, capacity: capacity)
    }

    /// The tokens of the decoder's constant prefix.
    public var prefixTokens: [Int32] { decoder.prefix?.tokens ?? [] }

    /// Tokens that still fit.
    public var remainingTokens: Int { capacity - cache.length }

    /// Forgets all tokens.
    public func reset() { cache.reset() }

    /// Forgets all but the first `count` tokens.
    public func truncate(to count: Int) { cache.truncate(to: count) }

    /// Logits rounded to the scale 2⁻¹⁶ that a program's have.
    public static func rounded(_ logits: [Float]) -> [Int32] {
        logits.map { Int32(clamping: Int64(($0 * 65536).rounded().clamped(to: -0x1p40...0x1p40))) }
    }

    /// Appends `tokens` and returns the logits behind the last, `[vocabulary]`, as ``rounded(_:)``.
    ///
    /// - Throws: ``DyadError``: (usage) for no token, (failed) where they do not fit, (mismatch) for an id outside the
    ///   vocabulary.
    public func extend(_ tokens: [Int32]) throws(DyadError) -> [Int32] {
        guard !tokens.isEmpty else { throw .emptyPrompt() }
        guard tokens.count <= remainingTokens else {
            throw DyadError(
                .failed, subject: "context", found: "\(tokens.count) more tokens after \(cache.length)",
                expected: "at most \(remainingTokens) of \(capacity)",
                remedy: "Shorten the prompt, or start a new conversation.")
        }
        do {
            return try withNoGrad {
                let hidden = try decoder.hiddenStates([tokens], cache: cache)
                let last = try hidden.narrow(1, start: tokens.count - 1, length: 1)
                return Self.rounded(try decoder.finalLogits(last).to(.cpu, dtype: .float32).toArray(Float.self))
            }
        } catch let error as DyadError {
            throw error
        } catch {
            throw DyadError(
                .failed, subject: "float model", found: "\(error)", expected: "logits",
                remedy: "Check the model with `dyad inspect`.")
        }
    }
}

extension Float {
    /// NaN becomes the lower bound.
    fileprivate func clamped(to range: ClosedRange<Float>) -> Float {
        isNaN ? range.lowerBound : min(max(self, range.lowerBound), range.upperBound)
    }
}
