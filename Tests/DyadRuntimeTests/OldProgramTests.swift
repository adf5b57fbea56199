import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTestSupport
import Foundation
import Testing

/// Programs that earlier versions wrote (Tests/Fixtures/programs, whose README says how) still load and give the integers they gave.
///
/// Beside each lie the logits of fixed tokens. `DYAD_WRITE_FIXTURES=1 swift test --filter OldProgramTests` writes them for programs that
/// have none; it never changes those that are there.
@Suite struct OldProgramTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/programs").path
    private static let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
        .filter { $0.hasSuffix(".dyad") }.map { String($0.dropLast(5)) }

    @Test func theProgramsAreThere() { #expect(Self.names.count >= 11) }

    @Test(arguments: names) func anOldProgramGivesItsLogits(_ name: String) throws {
        let path = "\(Self.folder)/\(name)"
        let program = try IntegerProgram.load(path + ".dyad")
        try program.validate()
        let recordPath = path + ".json"
        if FileKind(recordPath) == .nothing, ProcessInfo.processInfo.environment["DYAD_WRITE_FIXTURES"] != nil {
            try Self.record(of: program).write(to: recordPath)
        }
        let record = try Record(recordPath)

        let reference = try ReferenceInterpreter(program).run(tokens: record.tokens)
        #expect(Array(reference.suffix(program.graph.vocabularySize)) == record.last)
        #expect(Self.digest(reference) == record.digest)

        for kernels in KernelSet.available {
            for chunk in [5, 64] {
                let runtime = try Runtime(
                    program: program, options: .init(threads: 2, kernels: kernels, prefillChunk: chunk))
                let session = try runtime.makeSession()
                var logits: [Int32] = []
                try session.evaluate(record.tokens) { _, rows in logits += rows }
                #expect(Self.digest(logits) == record.digest, "\(kernels.name), chunks of \(chunk)")
                session.reset()
                #expect(try session.prefill(record.tokens) == record.last, "\(kernels.name), chunks of \(chunk)")
            }
        }
    }

    /// The document beside a program.
    private struct Record {
        var tokens: [Int32]
        /// SHA-256 of all rows of logits, as little-endian i32.
        var digest: String
        /// The last row: where the digest differs, this says by how much.
        var last: [Int32]

        init(tokens: [Int32], logits: [Int32], vocabulary: Int) {
            (self.tokens, digest, last) = (tokens, OldProgramTests.digest(logits), logits.suffix(vocabulary))
        }

        init(_ path: String) throws {
            let document = try JSONValue.read(path)
            func integers(_ key: String) throws -> [Int32] {
                try #require(document[key]?.array).map { Int32(try #require($0.integer)) }
            }
            (tokens, last) = (try integers("tokens"), try integers("last_logits"))
            digest = try #require(document["logits_sha256"]?.string)
        }

        func write(to path: String) throws {
            let document: JSONValue = [
                "tokens": .array(tokens.map { .integer(Int($0)) }), "logits_sha256": .string(digest),
                "last_logits": .array(last.map { .integer(Int($0)) }),
            ]
            try AtomicFile.write(path, text: document.text() + "\n")
        }
    }

    private static func record(of program: IntegerProgram) throws -> Record {
        let vocabulary = program.graph.vocabularySize
        let tokens = (0..<24).map { Int32((37 * $0 + 11) % vocabulary) }
        let logits = try ReferenceInterpreter(program).run(tokens: tokens)
        return Record(tokens: tokens, logits: logits, vocabulary: vocabulary)
    }

    private static func digest(_ logits: [Int32]) -> String {
        logits.map(\.littleEndian).withUnsafeBytes { SHA256.hexDigest(of: $0) }
    }
}
