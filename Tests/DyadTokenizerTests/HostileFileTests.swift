import DyadFormats
import Foundation
import Testing

@testable import DyadTokenizer

/// Files that scripts/fixtures/hostile_tokenizers.py wrote: each is refused with an error that names file and field.
@Suite struct HostileFileTests {
    static let folder = Place.fixtures + "hostile/"

    static func read(_ path: String) throws -> Tokenizer {
        path.hasSuffix(".gguf")
            ? try Tokenizer(gguf: GGUFFile(path: path)) : try Tokenizer(json: JSONValue.read(path), file: path)
    }

    @Test func everyHostileFileIsRefusedWithFileAndField() throws {
        let expected = try JSONField(JSONValue.read(Self.folder + "expected.json"), file: nil).members()
        #expect(expected.count > 50)
        for (name, field) in expected {
            let path = Self.folder + name
            let start = ContinuousClock.now
            let reason = try field.member("reason").string()
            guard !reason.isEmpty else {
                #expect(try Self.read(path).encode("ab") == [2], "\(name)")
                continue
            }
            let error = #expect(throws: DyadError.self, "\(name)") { _ = try Self.read(path) }
            #expect(error?.reason.rawValue == reason, "\(name): \(String(describing: error))")
            #expect(error?.file == path, "\(name): \(String(describing: error))")
            let subject = try field.member("subject").string()
            #expect(error?.subject?.contains(subject) == true, "\(name): \(String(describing: error))")
            #expect(ContinuousClock.now - start < .seconds(10), "\(name)")
        }
    }

    @Test func aFolderWithoutTokenizerIsMissing() {
        let error = #expect(throws: DyadError.self) { try Tokenizer(folder: Self.folder + "nowhere") }
        #expect(error?.reason == .missing)
    }
}
