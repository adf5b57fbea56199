/// Runs patterns over a text by backtracking. Not thread-safe: one per encoding run; keeps its stack between runs.
struct PatternMatcher {
    /// A place to go back to: the instruction, the position, and for a loop the position it may shrink to.
    private struct Choice {
        var instruction: Int
        var position: Int
        var lowest: Int
    }

    private var choices: [Choice] = []

    /// All matches from left to right that do not overlap, as ranges of positions in `text` within `bounds`;
    /// empty matches are left out. Neither matches nor what is looked at go beyond the bounds.
    /// - Complexity: linear in the text for the patterns of real tokenizers.
    mutating func matches(of pattern: Pattern, in text: ScalarText, bounds: Range<Int>, each: (Range<Int>) -> Void) {
        text.values.withUnsafeBufferPointer { values in
            text.kinds.withUnsafeBufferPointer { kinds in
                pattern.program.withUnsafeBufferPointer { program in
                    pattern.classes.withUnsafeBufferPointer { classes in
                        let frame = Frame(
                            program: program, classes: classes, values: values, kinds: kinds, bounds: bounds)
                        var position = bounds.lowerBound
                        while position < bounds.upperBound {
                            if let end = run(frame, instruction: 0, position: position), end > position {
                                each(position..<end)
                                position = end
                            } else {
                                position += 1
                            }
                        }
                    }
                }
            }
        }
    }

    private struct Frame {
        let program: UnsafeBufferPointer<PatternInstruction>
        let classes: UnsafeBufferPointer<ScalarClass>
        let values: UnsafeBufferPointer<UInt32>
        let kinds: UnsafeBufferPointer<UInt8>
        let bounds: Range<Int>

        @inline(__always)
        func isMember(_ position: Int, _ number: Int) -> Bool {
            classes[number].contains(values[position], kind: kinds[position])
        }

        func isWord(_ position: Int) -> Bool {
            bounds.contains(position) && ScalarKind.word >> UInt32(kinds[position]) & 1 == 1
        }
    }

    /// The end of the match that starts at `position`, or nil. Classes and positions in the program are valid by
    /// construction; positions in the text are compared with the bounds before every use.
    private mutating func run(_ frame: Frame, instruction: Int, position: Int) -> Int? {
        let bottom = choices.count
        defer { choices.removeLast(choices.count - bottom) }
        var instruction = instruction
        var position = position
        while true {
            var succeeded = true
            switch frame.program[instruction] {
            case .accept: return position
            case .one(let set):
                succeeded = position < frame.bounds.upperBound && frame.isMember(position, set)
                position += 1
                instruction += 1
            case .many(let set, let minimum, let maximum, let possessive):
                let room = frame.bounds.upperBound - position
                let limit = position + min(maximum, room)
                let lowest = position + min(minimum, room)
                succeeded = minimum <= room
                while position < limit, frame.isMember(position, set) { position += 1 }
                succeeded = succeeded && position >= lowest
                instruction += 1
                if succeeded, !possessive, position > lowest {
                    choices.append(Choice(instruction: instruction, position: position, lowest: lowest))
                }
            case .fork(let first, let second):
                choices.append(Choice(instruction: second, position: position, lowest: -1))
                instruction = first
            case .jump(let target): instruction = target
            case .lookahead(let negated, let next):
                let found = run(frame, instruction: instruction + 1, position: position) != nil
                succeeded = found != negated
                instruction = next
            case .lookbehind(let set, let negated):
                let found = position > frame.bounds.lowerBound && frame.isMember(position - 1, set)
                succeeded = found != negated
                instruction += 1
            case .start:
                succeeded = position == frame.bounds.lowerBound
                instruction += 1
            case .end:
                succeeded = position == frame.bounds.upperBound
                instruction += 1
            case .wordBoundary(let negated):
                succeeded = (frame.isWord(position) != frame.isWord(position - 1)) != negated
                instruction += 1
            }
            if succeeded { continue }
            guard choices.count > bottom else { return nil }
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
            instruction = choice.instruction
            position = choice.position
        }
    }
}
