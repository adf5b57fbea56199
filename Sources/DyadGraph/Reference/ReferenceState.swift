/// What the operations of one ``ReferenceInterpreter`` work on: `values`, `tokens` and `rows` live during a call, `caches`
/// and `position` between calls.
final class ReferenceState {
    /// An operation, ready to run: it reads its inputs and sets its outputs.
    typealias Step = (ReferenceState) -> Void

    /// Stored integers by tensor, row-major; u32 as the bits of Int32.
    var values: [[Int32]] = []
    var tokens: [Int32] = []
    var rows = ReferenceInterpreter.LogitRows.all
    /// The absolute position of the first of `tokens`.
    var position = 0
    /// `[column, keyValueHeads · headDimension]` by cache.
    var caches: [[UInt8]] = []

    /// Columns that the last of `tokens` sees.
    var context: Int { position + tokens.count }

    /// Where each row of scores `[heads, tokens, context]` starts, and how many of its columns its token sees.
    func scoreRows(_ count: Int) -> some Sequence<(start: Int, visible: Int)> {
        let (context, tokens, position) = (context, tokens.count, position)
        return (0..<count / context).lazy.map { ($0 * context, position + $0 % tokens + 1) }
    }
}
