/// Unicode's properties and case foldings in the version that Oniguruma has in tokenizers 0.23.3. The strings are
/// written by scripts/unicode/tables.py, which asks Oniguruma itself.
enum UnicodeTables {
    /// The set of a property by its key: lower case, without separators. Traps on a key that is not in the tables.
    static func set(_ key: String) -> ScalarSet {
        guard let set = known(key) else { preconditionFailure("no table of \(key)") }
        return set
    }

    /// The set of a property by its key, or nil. Linear in the number of its ranges.
    static func known(_ key: String) -> ScalarSet? { sources[key].map(decode) }

    /// The set of a script by its four-letter code, or nil.
    static func script(code: String) -> ScalarSet? { scriptNames[code].flatMap(known) }

    private static let scriptNames: [String: String] = {
        var names: [String: String] = [:]
        for pair in scriptCodes.split(whereSeparator: \.isWhitespace) {
            let sides = pair.split(separator: "=")
            names[String(sides[0])] = String(sides[1])
        }
        return names
    }()

    private static let sources = categories.merging(scripts) { first, _ in first }
        .merging(properties) { first, _ in first }.merging(crates) { first, _ in first }

    /// Numbers to the base of 36: in turn how many scalars are passed over, and how many belong to the set.
    private static func decode(_ source: String) -> ScalarSet {
        var ranges: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        var isMember = false
        for word in source.utf8.split(whereSeparator: { $0 <= UInt8(ascii: " ") }) {
            let length = UInt32(String(decoding: word, as: UTF8.self), radix: 36) ?? 0
            if isMember, length > 0 { ranges.append(next...next + length - 1) }
            next += length
            isMember.toggle()
        }
        return ScalarSet(ranges)
    }

    struct Folding: Sendable {
        /// The scalars that differ only in case, each set of them in ascending order.
        var orbits: [[UInt32]] = []
        /// The scalar that stands for its orbit.
        var simple: [UInt32: UInt32] = [:]
        /// Two or three scalars, themselves folded, and the scalars that fold to them.
        var sequences: [(folded: [UInt32], scalars: [UInt32])] = []
    }

    /// How case is ignored.
    static let folding: Folding = {
        var folding = Folding()
        for orbit in foldingOrbits.split(whereSeparator: \.isWhitespace) {
            let scalars = orbit.split(separator: ",").compactMap { UInt32($0, radix: 36) }
            folding.orbits.append(scalars)
            for scalar in scalars { folding.simple[scalar] = scalars.last }
        }
        for sequence in foldingSequences.split(whereSeparator: \.isWhitespace) {
            let sides = sequence.split(separator: "=").map {
                $0.split(separator: ",").compactMap { UInt32($0, radix: 36) }
            }
            folding.sequences.append((sides[0], sides[1]))
        }
        return folding
    }()
}
