import Foundation

/// Unicode's normal forms as tokenizers makes them: with the scalars of Unicode 9. What came later has no decomposition,
/// joins with nothing and is passed by nothing.
///
/// The algorithm is that of the standard (section 3.11): decompose, order the marks, compose. Only the decomposition of
/// single scalars is Foundation's; over whole strings Foundation on Linux neither joins all Hangul nor orders all marks.
struct NormalForm {
    let composes: Bool
    let isCompatible: Bool

    private static let known = UnicodeTables.set("unicode9")
    private static let compositions: [UInt64: UInt32] = {
        var pairs: [UInt64: UInt32] = [:]
        for pair in UnicodeTables.compositions.split(whereSeparator: \.isWhitespace) {
            let numbers = pair.split { $0 == "," || $0 == "=" }.compactMap { UInt32($0, radix: 36) }
            pairs[UInt64(numbers[0]) << 32 | UInt64(numbers[1])] = numbers[2]
        }
        return pairs
    }()

    private enum Hangul {
        static let syllables: ClosedRange<UInt32> = 0xac00...0xd7a3
        static let leading: Range<UInt32> = 0x1100..<0x1113
        static let vowels: Range<UInt32> = 0x1161..<0x1176
        /// The first is no scalar of its own: it stands for none.
        static let trailing: Range<UInt32> = 0x11a7..<0x11c3
        static let vowelCount = UInt32(vowels.count)
        static let trailingCount = UInt32(trailing.count)
    }

    /// The text in the form. Linear but for runs of marks, which are sorted.
    func apply(to text: String) -> String {
        if text.unicodeScalars.allSatisfy({ isUnchanged($0.value) }) { return text }
        var scalars: [UInt32] = []
        var classes: [UInt8] = []
        var parts: [UInt32: [(value: UInt32, rank: UInt8)]] = [:]
        for scalar in text.unicodeScalars {
            let value = scalar.value
            if value < 0x80 || (0x4e00...0x9fd5).contains(value) {
                scalars.append(value)
                classes.append(0)
                continue
            }
            if parts[value] == nil {
                parts[value] = decomposition(scalar).map { ($0, Self.combiningClass($0)) }
            }
            for part in parts[value] ?? [] {
                scalars.append(part.value)
                classes.append(part.rank)
            }
        }
        Self.order(&scalars, classes: &classes)
        if composes { scalars = Self.composed(scalars, classes) }
        return String(String.UnicodeScalarView(scalars.compactMap(Unicode.Scalar.init)))
    }

    private func decomposition(_ scalar: Unicode.Scalar) -> [UInt32] {
        let value = scalar.value
        guard Self.known.contains(value) else { return [value] }
        guard Hangul.syllables.contains(value) else {
            let one = String(Character(scalar))
            let parts =
                isCompatible ? one.decomposedStringWithCompatibilityMapping : one.decomposedStringWithCanonicalMapping
            return parts.unicodeScalars.map(\.value)
        }
        let place = value - Hangul.syllables.lowerBound
        let pair = place / Hangul.trailingCount
        let last = Hangul.trailing.lowerBound + place % Hangul.trailingCount
        let parts = [
            Hangul.leading.lowerBound + pair / Hangul.vowelCount, Hangul.vowels.lowerBound + pair % Hangul.vowelCount,
        ]
        return last == Hangul.trailing.lowerBound ? parts : parts + [last]
    }

    /// Whether a scalar stays as it is whatever other such scalars stand around it: true for most of most texts.
    private func isUnchanged(_ value: UInt32) -> Bool {
        if value < 0x80 || (0x4e00...0x9fd5).contains(value) { return true }
        guard composes else { return false }
        if Hangul.syllables.contains(value) { return true }
        switch value {
        case 0x80..<0x300, 0x391...0x3a1, 0x3a3...0x3ce, 0x400...0x482, 0x48a...0x52f, 0x5d0...0x5ea, 0x621...0x64a,
            0x2010...0x2027, 0x2030...0x205e, 0x3001...0x3029, 0x3041...0x3096, 0x30a1...0x30fa:
            return !isCompatible
        default: return false
        }
    }

    private static func combiningClass(_ value: UInt32) -> UInt8 {
        guard value >= 0x300, let scalar = Unicode.Scalar(value), known.contains(value) else { return 0 }
        return scalar.properties.canonicalCombiningClass.rawValue
    }

    /// Sorts each run of marks by class; equals stay in order.
    private static func order(_ scalars: inout [UInt32], classes: inout [UInt8]) {
        var start = 0
        while start < classes.count {
            guard classes[start] != 0 else {
                start += 1
                continue
            }
            let end = classes[start...].firstIndex(of: 0) ?? classes.count
            let sorted = (start..<end).sorted { (classes[$0], $0) < (classes[$1], $1) }
            let (values, ranks) = (sorted.map { scalars[$0] }, sorted.map { classes[$0] })
            scalars.replaceSubrange(start..<end, with: values)
            classes.replaceSubrange(start..<end, with: ranks)
            start = end
        }
    }

    /// Joins every scalar with the starter before it, unless one between them is a starter or of no lower class.
    private static func composed(_ scalars: [UInt32], _ classes: [UInt8]) -> [UInt32] {
        var result: [UInt32] = []
        result.reserveCapacity(scalars.count)
        var starter: Int?
        var last: UInt8 = 0
        for (value, rank) in zip(scalars, classes) {
            if let place = starter, result.count - 1 == place || (last != 0 && last < rank),
                let joined = compose(result[place], value)
            {
                result[place] = joined
                continue
            }
            if rank == 0 { starter = result.count }
            last = rank
            result.append(value)
        }
        return result
    }

    private static func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if Hangul.leading.contains(first), Hangul.vowels.contains(second) {
            let pair = (first - Hangul.leading.lowerBound) * Hangul.vowelCount + second - Hangul.vowels.lowerBound
            return Hangul.syllables.lowerBound + pair * Hangul.trailingCount
        }
        if Hangul.syllables.contains(first), Hangul.trailing.dropFirst().contains(second),
            (first - Hangul.syllables.lowerBound) % Hangul.trailingCount == 0
        {
            return first + second - Hangul.trailing.lowerBound
        }
        return compositions[UInt64(first) << 32 | UInt64(second)]
    }
}
