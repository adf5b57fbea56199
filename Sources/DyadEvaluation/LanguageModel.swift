/// What every measurement needs of a model, be it the float model, a simulation, or the integer program.
public protocol LanguageModel {
    /// Names it in reports and errors.
    var name: String { get }
    /// Logits per position.
    var vocabularySize: Int { get }

    /// Gives `body` the logits of every position of `window`, computed from an empty cache (behind the model's constant
    /// prefix, if it has one, which is not counted).
    ///
    /// `body` is called for consecutive ranges of positions, from 0 to the last; its second argument holds
    /// `range.count · vocabularySize` logits, row-major, valid during the call.
    func evaluate(
        window: [Int32], _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws

    /// Gives `body` the last logits of several windows, each as ``evaluate(window:_:)`` gives them (a float model: up to
    /// rounding).
    ///
    /// What the windows begin with in common may be computed once, and logits before ``WindowTail/start`` not at all;
    /// without an implementation of its own, a model computes every window whole. `body` is given the window's index, then
    /// what ``evaluate(window:_:)`` gives, for ranges that together are `start ..< tokens.count`.
    func evaluate(
        tails: [WindowTail], _ body: (Int, Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws
}

/// A window of which only the last logits are wanted: those that score a continuation of a context.
public struct WindowTail: Sendable, Equatable {
    /// The window.
    public var tokens: [Int32]
    /// The first position whose logits are wanted, below `tokens.count`.
    public var start: Int

    /// Creates a tail.
    public init(tokens: [Int32], start: Int) {
        precondition(tokens.indices.contains(start), "a tail begins inside its window")
        (self.tokens, self.start) = (tokens, start)
    }
}

extension LanguageModel {
    /// Computes every window whole: for models that keep no state.
    public func evaluate(
        tails: [WindowTail], _ body: (Int, Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        for (index, tail) in tails.enumerated() {
            try evaluate(window: tail.tokens) { range, logits in
                let wanted = range.clamped(to: tail.start..<tail.tokens.count)
                guard !wanted.isEmpty else { return }
                let first = (wanted.lowerBound - range.lowerBound) * vocabularySize
                try body(
                    index, wanted,
                    UnsafeBufferPointer(rebasing: logits[first..<first + wanted.count * vocabularySize]))
            }
        }
    }
}

/// How many tokens all windows begin with in common, at most so many that every tail's logits are still computed.
func sharedCount(_ tails: some Collection<WindowTail>) -> Int {
    guard let first = tails.first else { return 0 }
    return tails.reduce(first.start) { shared, tail in
        let limit = min(shared, tail.start)
        return (0..<limit).first { tail.tokens[$0] != first.tokens[$0] } ?? limit
    }
}
