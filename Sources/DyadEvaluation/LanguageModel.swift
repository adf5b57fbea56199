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
}
