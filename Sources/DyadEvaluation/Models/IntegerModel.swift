import DyadFormats
import DyadGraph
import DyadRuntime

/// The integer program itself, run by ``Runtime``.
public final class IntegerModel: LanguageModel {
    private let session: Session
    /// Names it in reports.
    public let name: String

    /// Plans a program for the evaluation of windows.
    public init(_ program: IntegerProgram, name: String, options: Runtime.Options = .init()) throws(DyadError) {
        session = try Runtime(program: program, options: options).makeSession()
        self.name = name
    }

    /// Logits per position.
    public var vocabularySize: Int { session.runtime.vocabularySize }

    /// As ``LanguageModel`` says.
    public func evaluate(
        window: [Int32], _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        session.reset()
        try extend(window, from: 0) { try body($0, $1) }
    }

    /// As ``LanguageModel`` says: what a window has in common with the one before it stays in the cache. Integers do not
    /// depend on how the tokens are divided, so the logits are those of whole windows bit for bit.
    public func evaluate(
        tails: [WindowTail], _ body: (Int, Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        session.reset()
        for (index, tail) in tails.enumerated() {
            let kept = index == 0 ? 0 : sharedCount([tail, tails[index - 1]])
            session.truncate(to: kept)
            try extend(Array(tail.tokens[kept...]), from: tail.start - kept) { range, logits in
                try body(index, range.lowerBound + kept..<range.upperBound + kept, logits)
            }
        }
    }

    /// Appends `tokens` and hands over the logits from the index `start` on.
    private func extend(
        _ tokens: [Int32], from start: Int, _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        let vocabulary = vocabularySize
        var rows: [Float] = []
        // The session's closure throws DyadError only; anything else is carried past it.
        var failure: (any Error)?
        try session.evaluate(tokens, droppingPrefix: false, from: start) { (first, logits) throws(DyadError) in
            guard failure == nil else { return }
            rows.removeAll(keepingCapacity: true)
            rows.append(contentsOf: logits.lazy.map { Float($0) * 0x1p-16 })
            do {
                try rows.withUnsafeBufferPointer { try body(first..<first + logits.count / vocabulary, $0) }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }
}
