import DyadFormats
import DyadGraph
import DyadTestSupport
import Testing

/// Damaged files by scripts/fixtures/hostile_dyad.py, and random damage.
@Suite("Hostile .dyad files")
struct HostileDyadFileTests {
    private static let cases = (try? files(in: "hostile").filter { $0.hasSuffix(".dyad") }) ?? []

    @Test("the cases are there")
    func count() { #expect(Self.cases.count >= 20) }

    @Test("each gives a typed error that names the file and the field, within ten seconds", arguments: cases)
    func hostile(name: String) throws {
        let manifest = try JSONValue.read(fixture("hostile/manifest.json"))
        let expected = try #require(manifest[name])
        let path = fixture("hostile/" + name)
        let clock = ContinuousClock()
        let start = clock.now
        // What load leaves unread (the constants' values) the interpreter checks.
        let error = #expect(throws: DyadError.self) { _ = try ReferenceInterpreter(try IntegerProgram.load(path)) }
        #expect(clock.now - start < .seconds(10))
        #expect(error?.reason.rawValue == expected["reason"]?.string, "\(error.map { "\($0)" } ?? "")")
        let subject = try #require(expected["subject"]?.string)
        #expect(error?.subject?.contains(subject) == true, "\(error.map { "\($0)" } ?? "")")
        if expected["at_load"]?.bool == true { #expect(error?.file == path) }
    }

    @Test("random damage never crashes: an error, or a program that runs a token", arguments: 0..<8)
    func randomDamage(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let original = try bytes(fixture("tiny.dyad"))
        let headerEnd =
            8
            + Int(original[..<8].enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) })
        var (refused, ran) = (0, 0)
        try withTemporaryFolder { folder in
            for round in 0..<150 {
                var damaged = original
                // By turns: constants' bytes; digits of the header for other digits (the JSON stays valid); any byte of it.
                for _ in 0..<Int.random(in: 1...3, using: &generator) {
                    let range = round % 3 == 0 ? headerEnd..<damaged.count : 0..<headerEnd
                    let place = Int.random(in: range, using: &generator)
                    if round % 3 == 1 {
                        let digit = (max(place, 8)..<headerEnd).first { (0x30...0x39).contains(damaged[$0]) }
                        if let digit { damaged[digit] = UInt8.random(in: 0x30...0x39, using: &generator) }
                    } else {
                        damaged[place] = UInt8.random(in: 0...255, using: &generator)
                    }
                }
                if Int.random(in: 0..<20, using: &generator) == 0 {
                    damaged.removeLast(Int.random(in: 1..<damaged.count, using: &generator))
                }
                let path = "\(folder)/\(round).dyad"
                try write(damaged, to: path)
                do {
                    let reference = try ReferenceInterpreter(try IntegerProgram.load(path))
                    _ = try reference.run(tokens: [1])
                    ran += 1
                } catch is DyadError {
                    refused += 1
                }
            }
        }
        #expect(refused > 20 && ran > 5, "\(refused) refused, \(ran) ran")
    }
}
