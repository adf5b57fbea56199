/// Runs patterns over a text by backtracking, and by ``PatternTable`` where that takes long. Not thread-safe: one per
/// encoding run; keeps its stack between runs.
struct PatternMatcher {
    /// A place to go back to: the step, the position, and for a run the position it may shrink to.
    private struct Choice {
        var step: Int
        var position: Int
        var lowest: Int
    }

    private var choices: [Choice] = []
    /// What backtracking may still take: choices made and taken back, and scalars passed over.
    private var allowance = 0

    /// What backtracking may take in a text of one scalar more than another, and in an empty one. Patterns of real
    /// tokenizers take five to ten a scalar; with less than nothing every text goes to the table.
    private let allowancePerScalar: Int
    private let leastAllowance: Int
    private static let depthLimit = 1 << 20

    init(allowancePerScalar: Int = 32, leastAllowance: Int = 256) {
        self.allowancePerScalar = allowancePerScalar
        self.leastAllowance = leastAllowance
    }

    /// All matches from left to right that do not overlap, as ranges of positions in `text` within `bounds`, as
    /// Oniguruma's search finds them one after the other: an empty match may stand anywhere but right after another
    /// match. Neither matches nor what is looked at go beyond the bounds.
    /// - Complexity: linear in the text, at worst by a factor of ``PatternCompiler/sizeLimit``.
    mutating func matches(of pattern: Pattern, in text: ScalarText, bounds: Range<Int>, each: (Range<Int>) -> Void) {
        text.values.withUnsafeBufferPointer { values in
            text.kinds.withUnsafeBufferPointer { kinds in
                pattern.program.steps.withUnsafeBufferPointer { steps in
                    pattern.classes.withUnsafeBufferPointer { classes in
                        let text = PatternText(values: values, kinds: kinds, bounds: bounds)
                        find(pattern, Frame(steps: steps, classes: classes, text: text), each)
                    }
                }
            }
        }
    }

    private mutating func find(_ pattern: Pattern, _ frame: Frame, _ each: (Range<Int>) -> Void) {
        let bounds = frame.text.bounds
        allowance = leastAllowance + allowancePerScalar * bounds.count
        var table: PatternTable?
        var position = bounds.lowerBound
        var last = -1
        while position <= bounds.upperBound {
            var end = table == nil ? run(frame, step: pattern.program.start, position: position) : nil
            if table == nil, allowance < 0 { table = PatternTable(pattern.expanded, frame.text) }
            if let table { end = table.end(at: position) }
            guard let end, end > position || position != last else {
                position += 1
                continue
            }
            each(position..<end)
            last = end
            position = max(end, position + (end == position ? 1 : 0))
        }
    }

    private struct Frame {
        let steps: UnsafeBufferPointer<PatternInstruction>
        let classes: UnsafeBufferPointer<ScalarClass>
        let text: PatternText

        @inline(__always)
        func isMember(_ position: Int, _ number: Int) -> Bool {
            classes[number].contains(text.values[position], kind: text.kinds[position])
        }
    }

    /// The end of the match that starts at `position`, or nil; means nothing once the allowance is used up. Classes and
    /// steps are valid by construction; positions in the text are compared with the bounds before every use.
    private mutating func run(_ frame: Frame, step: Int, position: Int) -> Int? {
        guard allowance >= 0 else { return nil }
        let bottom = choices.count
        defer { choices.removeLast(choices.count - bottom) }
        let bounds = frame.text.bounds
        var step = step
        var position = position
        while true {
            var succeeded = true
            switch frame.steps[step] {
            case .accept: return position
            case .one(let set, let next):
                succeeded = position < bounds.upperBound && frame.isMember(position, set)
                position += 1
                step = next
            case .oneBefore(let set, let next):
                succeeded = position > bounds.lowerBound && frame.isMember(position - 1, set)
                position -= 1
                step = next
            case .many(let set, let minimum, let maximum, let possessive, let next):
                let room = bounds.upperBound - position
                let limit = position + min(maximum, room)
                let lowest = position + min(minimum, room)
                let start = position
                succeeded = minimum <= room
                while position < limit, frame.isMember(position, set) { position += 1 }
                allowance -= position - start
                succeeded = succeeded && position >= lowest
                step = next
                if succeeded, !possessive, position > lowest {
                    choices.append(Choice(step: step, position: position, lowest: lowest))
                }
            case .fork(let first, let second):
                allowance -= 1
                if choices.count >= Self.depthLimit { allowance = -1 }
                guard allowance >= 0 else { return nil }
                choices.append(Choice(step: second, position: position, lowest: -1))
                step = first
            case .anchor(let anchor, let next):
                succeeded = frame.text.holds(anchor, at: position)
                step = next
            case .before(let set, let negated, let next):
                let found = position > bounds.lowerBound && frame.isMember(position - 1, set)
                succeeded = found != negated
                step = next
            case .look(let body, let negated, let next):
                succeeded = (run(frame, step: body, position: position) != nil) != negated
                step = next
            case .atomic(let body, let whenEmpty, let next):
                if let end = run(frame, step: body, position: position) {
                    step = end == position ? whenEmpty : next
                    position = end
                } else {
                    succeeded = false
                }
            }
            if succeeded { continue }
            allowance -= 1
            guard choices.count > bottom, allowance >= 0 else { return nil }
            var choice = choices[choices.count - 1]
            if choice.lowest >= 0 {
                choice.position -= 1
                if choice.position > choice.lowest {
                    choices[choices.count - 1].position = choice.position
                } else {
                    choices.removeLast()
                }
            } else {
                choices.removeLast()
            }
            step = choice.step
            position = choice.position
        }
    }
}
