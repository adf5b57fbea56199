/// The kind of a scalar as regular expressions see it: its Unicode general category, divided so that `\s`, `\w` and
/// `\b` are sets of kinds as well. Categories are those of the Unicode version of Oniguruma (``UnicodeTables``), not
/// of the operating system.
enum ScalarKind {
    /// The general categories in the order of their numbers here, by their short names.
    static let names = [
        "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
        "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn",
    ]
    /// U+0085 NEXT LINE, the only white space outside ASCII that is a control character.
    private static let nextLine: UInt8 = 29
    /// Letters in a circle or a square: other symbols that are parts of words.
    private static let letterSymbol: UInt8 = 30
    /// Superscripts and fractions of Latin-1, which are parts of words outside classes only.
    private static let latinNumber: UInt8 = 31

    /// What is alphabetic, marks, decimal digits and connecting punctuation.
    static let word: UInt32 =
        mask(["Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "Pc"]) | 1 << UInt32(letterSymbol)
    /// The same for `\b`.
    static let wordOfBoundary: UInt32 = word | 1 << UInt32(latinNumber)

    private static func mask(_ categories: Set<String>) -> UInt32 {
        names.enumerated().reduce(0) { $0 | (categories.contains($1.element) ? 1 << UInt32($1.offset) : 0) }
    }

    /// All scalars as runs of one kind, from 0 on.
    private static let runs: [(end: UInt32, kind: UInt8)] = {
        var parts: [(range: ClosedRange<UInt32>, kind: UInt8)] = [(0x85...0x85, nextLine)]
        let circled = UnicodeTables.set("otheralphabetic").intersection(UnicodeTables.set("so"))
        for range in circled.ranges { parts.append((range, letterSymbol)) }
        for range in UnicodeProperty.latinNumbers.ranges { parts.append((range, latinNumber)) }
        let others = ScalarSet(parts.map(\.range)).complement
        for (number, name) in names.enumerated() where name != "Cn" {
            for range in UnicodeTables.set(name.lowercased()).intersection(others).ranges {
                parts.append((range, UInt8(number)))
            }
        }
        parts.sort { $0.range.lowerBound < $1.range.lowerBound }
        let unassigned = UInt8(names.count - 1)
        var runs: [(end: UInt32, kind: UInt8)] = []
        var next: UInt32 = 0
        for part in parts {
            if part.range.lowerBound > next { runs.append((part.range.lowerBound - 1, unassigned)) }
            runs.append((part.range.upperBound, part.kind))
            next = part.range.upperBound + 1
        }
        if next <= ScalarSet.largest { runs.append((ScalarSet.largest, unassigned)) }
        return runs
    }()

    /// The kinds by blocks of 256 scalars; equal blocks are held once.
    private static let table: (blocks: [UInt16], kinds: [UInt8]) = {
        var blocks: [UInt16] = []
        var kinds: [UInt8] = []
        var known: [[UInt8]: UInt16] = [:]
        var block: [UInt8] = []
        var start: UInt32 = 0
        for run in runs {
            while start <= run.end {
                let length = min(Int(run.end - start) + 1, 256 - block.count)
                block.append(contentsOf: repeatElement(run.kind, count: length))
                start += UInt32(length)
                guard block.count == 256 else { continue }
                if let place = known[block] {
                    blocks.append(place)
                } else {
                    let place = UInt16(kinds.count / 256)
                    known[block] = place
                    blocks.append(place)
                    kinds += block
                }
                block.removeAll(keepingCapacity: true)
            }
        }
        return (blocks, kinds)
    }()

    /// Looks kinds up without going through the lazy table each time.
    struct Reader {
        private let blocks = table.blocks
        private let kinds = table.kinds

        /// The kind of a scalar value. Constant time.
        @inline(__always)
        func kind(of value: UInt32) -> UInt8 {
            guard value <= ScalarSet.largest else { return UInt8(names.count - 1) }
            return kinds[Int(blocks[Int(value >> 8)]) << 8 | Int(value & 255)]
        }
    }

    /// The kind of a scalar value. Constant time.
    static func kind(of value: UInt32) -> UInt8 { Reader().kind(of: value) }

    /// The kinds of which a set holds all scalars beyond ASCII, and those of which it holds some.
    static func cover(of set: ScalarSet) -> (whole: UInt32, divided: UInt32) {
        var touched: UInt32 = 0
        var missed: UInt32 = 0
        var range = 0
        var start: UInt32 = 0
        for run in runs {
            defer { start = run.end + 1 }
            guard run.end > 127 else { continue }
            let low = max(128, start)
            while range < set.ranges.count, set.ranges[range].upperBound < low { range += 1 }
            var next = low
            var place = range
            while place < set.ranges.count, set.ranges[place].lowerBound <= run.end {
                touched |= 1 << UInt32(run.kind)
                if set.ranges[place].lowerBound > next { missed |= 1 << UInt32(run.kind) }
                next = set.ranges[place].upperBound + 1
                place += 1
            }
            if next <= run.end { missed |= 1 << UInt32(run.kind) }
        }
        return (touched & ~missed, touched & missed)
    }
}
