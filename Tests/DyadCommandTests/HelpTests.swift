import Foundation
import Testing

/// A help text is an interface: it changes on purpose only. `DYAD_UPDATE_GOLDEN=1` writes the files anew.
@Suite("Help")
struct HelpTests {
    static let subcommands = [
        "quantize", "evaluate", "generate", "chat", "tokenize", "benchmark", "inspect", "verify", "export",
        "sensitivity",
        "recipes",
    ]

    @Test("is the committed text", arguments: ["dyad"] + subcommands)
    func golden(name: String) throws {
        let outcome = try Command(name == "dyad" ? ["--help"] : [name, "--help"]).outcome()
        #expect(outcome.status == 0)
        #expect(outcome.errors.isEmpty)
        let path = Place.help + name + ".txt"
        if ProcessInfo.processInfo.environment["DYAD_UPDATE_GOLDEN"] != nil { try write(outcome.output, to: path) }
        #expect(outcome.output == (try String(contentsOfFile: path, encoding: .utf8)))
    }

    @Test("names every subcommand, and every one has a golden text")
    func complete() throws {
        let lines = try dyad("--help").output.split(separator: "\n", omittingEmptySubsequences: false)
        let section = try #require(lines.firstIndex(of: "SUBCOMMANDS:"))
        // Two spaces, the name; what explains it may go on in further lines, which begin farther right.
        let named = lines[(section + 1)...].prefix { !$0.isEmpty }.filter { !$0.hasPrefix("   ") }
            .compactMap { $0.split(separator: " ").first.map(String.init) }
        #expect(named == Self.subcommands)
        #expect(try list(Place.help) == (["dyad"] + Self.subcommands).map { $0 + ".txt" }.sorted())
    }

    @Test("is what no argument at all gives; the version is one line")
    func bare() throws {
        let bare = try dyad()
        #expect(bare.status == 0)
        #expect(bare.output == (try dyad("--help").output))
        #expect(try dyad("--version").output.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil)
    }
}
