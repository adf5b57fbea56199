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
        let vocabulary = vocabularySize
        var rows: [Float] = []
        // The session's closure throws DyadError only; anything else is carried past it.
        var failure: (any Error)?
        try session.evaluate(window, droppingPrefix: false) { (first, logits) throws(DyadError) in
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
