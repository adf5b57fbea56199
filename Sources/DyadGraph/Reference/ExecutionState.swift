/// What operations work on, in stored integers (``ReferenceState``) or in real numbers (``ExactState``): `values`, `tokens`
/// and `rows` live during a call, `caches` and `position` between calls.
final class ExecutionState<Value, CacheValue> {
    /// By tensor, row-major; a stored u32 as the bits of Int32.
    var values: [[Value]] = []
    var tokens: [Int32] = []
    var rows = ReferenceInterpreter.LogitRows.all
    /// The absolute position of the first of `tokens`.
    var position = 0
    /// `[column, keyValueHeads · headDimension]` by cache.
    var caches: [[CacheValue]] = []

    /// Columns that the last of `tokens` sees.
    var context: Int { position + tokens.count }

    /// Where each row of scores `[heads, tokens, context]` starts, and how many of its columns its token sees.
    func scoreRows(_ count: Int) -> some Sequence<(start: Int, visible: Int)> {
        let (context, tokens, position) = (context, tokens.count, position)
        return (0..<count / context).lazy.map { ($0 * context, position + $0 % tokens + 1) }
    }
}

/// The state of a ``ReferenceInterpreter``.
typealias ReferenceState = ExecutionState<Int32, UInt8>

extension ReferenceState {
    /// An operation, ready to run: it reads its inputs and sets its outputs.
    typealias Step = (ReferenceState) -> Void
}

/// The state of an ``ExactEvaluator``.
typealias ExactState = ExecutionState<Double, Double>
