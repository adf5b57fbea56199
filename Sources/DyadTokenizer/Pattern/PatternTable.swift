/// Where a pattern matches, worked out for all positions of a text at once, from right to left: what a step comes to at
/// a position depends only on the steps it leads to, at the same position and at the next. So the time is the number of
/// steps times the length of the text, whatever the pattern; ``PatternMatcher`` turns to it when backtracking takes long.
struct PatternTable {
    /// The end of the match that starts at each position of the bounds and at their end, -1 for none.
    private let ends: [Int32]
    private let bounds: Range<Int>

    /// The table of a layout for a part of a text. Memory: four bytes a position, and as much for each atomic group and
    /// each look-behind.
    init(_ layout: PatternTableLayout, _ text: PatternText) {
        bounds = text.bounds
        let count = bounds.count
        let pass = Pass(layout, text)
        defer { pass.deallocate() }
        if !layout.behind.isEmpty {
            for place in 0...count { pass.column(place, read: place - 1, layout.behind) }
        }
        var ends = [Int32](repeating: -1, count: count + 1)
        for place in stride(from: count, through: 0, by: -1) {
            pass.column(place, read: place, layout.ahead)
            ends[place] = pass.values[layout.start]
        }
        self.ends = ends
    }

    /// The end of the match that starts at a position, or nil.
    func end(at position: Int) -> Int? {
        let end = Int(ends[position - bounds.lowerBound])
        return end < 0 ? nil : bounds.lowerBound + end
    }
}

/// What is known while a table is made. Steps, classes and memories are valid by construction of the layout.
private struct Pass {
    let text: PatternText
    let layout: PatternTableLayout
    let count: Int
    /// What each step comes to at the place at hand.
    let values: UnsafeMutablePointer<Int32>
    /// What it came to one place further.
    private let former: UnsafeMutablePointer<Int32>
    /// What some steps came to at every place.
    private let memories: UnsafeMutablePointer<Int32>
    /// Whether the scalar at hand is in each class.
    private let members: UnsafeMutablePointer<Bool>

    init(_ layout: PatternTableLayout, _ text: PatternText) {
        self.layout = layout
        self.text = text
        count = text.bounds.count
        func allocate(_ size: Int) -> UnsafeMutablePointer<Int32> {
            let result = UnsafeMutablePointer<Int32>.allocate(capacity: max(1, size))
            result.initialize(repeating: -1, count: max(1, size))
            return result
        }
        values = allocate(layout.size)
        former = allocate(layout.size)
        memories = allocate(layout.memories * (count + 1))
        members = .allocate(capacity: max(1, layout.classes.count))
        members.initialize(repeating: false, count: max(1, layout.classes.count))
    }

    func deallocate() {
        values.deallocate()
        former.deallocate()
        memories.deallocate()
        members.deallocate()
    }

    /// Works out one place; a step that consumes takes the scalar at the place `read`.
    func column(_ place: Int, read: Int, _ steps: [PatternTableLayout.Step]) {
        let canRead = read >= 0 && read < count
        if canRead {
            let position = text.bounds.lowerBound + read
            for (number, set) in layout.classes.enumerated() { members[number] = text.isMember(position, of: set) }
        }
        former.update(from: values, count: layout.size)
        steps.withUnsafeBufferPointer { steps in
            for step in steps {
                let value = canRead || step.kind != .one ? self.value(step, place) : -1
                values[Int(step.number)] = value
                if step.memory >= 0 { memories[memory(step.memory, place)] = value }
            }
        }
    }

    private func memory(_ number: Int32, _ place: Int) -> Int { Int(number) * (count + 1) + place }

    @inline(__always)
    private func value(_ step: PatternTableLayout.Step, _ place: Int) -> Int32 {
        switch step.kind {
        case .one: return members[Int(step.first)] ? former[Int(step.second)] : -1
        case .fork:
            let first = values[Int(step.first)]
            return first >= 0 ? first : values[Int(step.second)]
        case .accept: return Int32(truncatingIfNeeded: place)
        case .anchor:
            return text.holds(step.anchor, at: text.bounds.lowerBound + place) ? values[Int(step.second)] : -1
        case .before:
            let position = text.bounds.lowerBound + place - 1
            let found = place > 0 && text.isMember(position, of: layout.classes[Int(step.first)])
            return found != step.isNegated ? values[Int(step.second)] : -1
        case .lookahead: return (values[Int(step.first)] >= 0) != step.isNegated ? values[Int(step.second)] : -1
        case .lookbehind:
            return (memories[memory(step.first, place)] >= 0) != step.isNegated ? values[Int(step.second)] : -1
        case .atomic:
            let end = Int(values[Int(step.first)])
            if end == place { return values[Int(step.second)] }
            return end < 0 ? -1 : memories[memory(step.third, end)]
        }
    }
}
