import DyadFormats
import Foundation
import Testing

@testable import DyadQuantization

@Suite struct CalibrationTextTests {
    /// The tokens 0, 1, 2, … so that every window tells where it was cut.
    private func numbers(_ count: Int) -> [Int32] { (0..<Int32(count)).map { $0 } }

    @Test(arguments: [(5000, 8, 100), (5000, 1000, 7), (640, 1, 512), (100_000, 32, 512), (20, 3, 4)])
    func windowsLieApartFromTheHeldOutPartAndFromEachOther(tokens: Int, samples: Int, length: Int) throws {
        let text = try CalibrationText(tokens: numbers(tokens), samples: samples, length: length, file: "t")
        #expect(text.calibration.count <= samples && !text.calibration.isEmpty && !text.heldOut.isEmpty)
        #expect(text.calibration.allSatisfy { $0.count == length })
        #expect(Set(text.heldOut.map(\.count)).count == 1)
        let all = (text.calibration + text.heldOut).flatMap { $0 }
        #expect(Set(all).count == all.count)
        #expect(text.calibration.joined().max()! < text.heldOut.joined().min()!)
        for window in text.calibration + text.heldOut {
            #expect(zip(window, window.dropFirst()).allSatisfy { $1 == $0 + 1 })
        }
        #expect(text.heldOut.joined().count <= min(8192, tokens / 5))
    }

    @Test func whatTheErrorAsksForIsEnough() throws {
        for length in 2...600 {
            let error = #expect(throws: DyadError.self) {
                try CalibrationText(tokens: numbers(length), samples: 1, length: length, file: "t")
            }
            let wanted = try #require(error?.expected.split(separator: " ").lazy.compactMap { Int($0) }.first)
            #expect(throws: Never.self) {
                try CalibrationText(tokens: numbers(wanted), samples: 1, length: length, file: "t")
            }
        }
    }

    @Test(arguments: [0, 1, 5]) func textThatIsTooShortIsRefused(tokens: Int) {
        let error = #expect(throws: DyadError.self) {
            try CalibrationText(tokens: numbers(tokens), samples: 4, length: 16, file: "short.txt")
        }
        #expect(error?.file == "short.txt" && error?.reason == .mismatch)
    }

    // MARK: Files

    private func read(_ text: String, name: String, length: Int = 8) throws -> CalibrationText {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: name)
        try Data(text.utf8).write(to: file)
        return try CalibrationText(
            file: file.path(percentEncoded: false), tokenizer: tinyTokenizer(), samples: 2, length: length)
    }

    private let line = #"{"text": "abcdefghijklmnopqrstuvwxyz", "source": "x"}"#

    @Test(arguments: ["\n", "\r\n", "\n\n \n"]) func documentsOfLinesAreJoined(separator: String) throws {
        let text = try read([line, line].joined(separator: separator) + separator, name: "a.jsonl")
        #expect(text.calibration.count == 2 && text.heldOut.count == 1)
        #expect(try text == read([line, line].joined(separator: "\n"), name: "a.jsonl"))
        let letters = "abcdefghijklmnopqrstuvwxyz"
        #expect(try text == read(letters + "\n\n" + letters, name: "a.txt"))
    }

    @Test(arguments: [#"{"text": 5}"#, #"{"body": "abc"}"#, "[1]", "{", "plain"], ["\n", "\r\n", "\n\n"])
    func aBadLineIsNamedByItsNumber(bad: String, separator: String) {
        let error = #expect(throws: DyadError.self) {
            try read([line, line, bad].joined(separator: separator), name: "a.jsonl")
        }
        #expect(error?.reason == .malformed)
        #expect(error?.subject?.contains("line \(separator == "\n\n" ? 5 : 3)") == true)
    }

    @Test func bytesThatAreNoTextAreRefused() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString + ".txt")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data([0x61, 0xFF, 0xFE]).write(to: file)
        let path = file.path(percentEncoded: false)
        let error = #expect(throws: DyadError.self) {
            try CalibrationText(file: path, tokenizer: tinyTokenizer(), samples: 1, length: 2)
        }
        #expect(error?.reason == .malformed && error?.file == path)
    }

    // MARK: Self-written

    @Test(.needsTorch) func aModelWritesTheSameTextForTheSameSeed() throws {
        let decoder = try tinyDecoder()
        func text(seed: UInt64, first: Int32? = 1) throws -> CalibrationText {
            try CalibrationText(
                writtenBy: decoder, firstToken: first, script: nil, samples: 5, length: 12, seed: seed, progress: nil)
        }
        let text1 = try text(seed: 1)
        #expect(try text(seed: 1) == text1)
        #expect(try text(seed: 2) != text1)
        #expect(try text(seed: 1, first: nil) != text1)
        #expect(text1.calibration.count == 5 && text1.heldOut.count >= 2)
        #expect((text1.calibration + text1.heldOut).allSatisfy { $0.count == 12 })
        #expect(Set(text1.calibration + text1.heldOut).count == 5 + text1.heldOut.count)
        #expect(text1.fingerprint != (try text(seed: 2).fingerprint) && text1.fingerprint.count == 64)
    }

    @Test func keptTextIsReadAgainAndRefusedUnderAnotherKey() throws {
        let text = CalibrationText(calibration: [[1, 2, 3], [4, 5, 6]], heldOut: [[7, 8, 9]])
        let file = FileManager.default.temporaryDirectory.appending(path: "dyad-text-\(UUID().uuidString).json")
            .path(percentEncoded: false)
        defer { try? FileManager.default.removeItem(atPath: file) }
        let key = JSONObject([("model_sha256", "abc"), ("seed", 1)])
        #expect(try CalibrationText(storedIn: file, key: key) == nil)
        try text.write(to: file, key: key)
        #expect(try CalibrationText(storedIn: file, key: key) == text)
        let other = #expect(throws: DyadError.self) {
            _ = try CalibrationText(storedIn: file, key: JSONObject([("model_sha256", "abc"), ("seed", 2)]))
        }
        #expect(other?.reason == .mismatch && other?.subject == "seed" && other?.file == file)
        for damaged in [
            "{", #"{"key": {"model_sha256": "abc", "seed": 1}}"#,
            #"{"key": {"model_sha256": "abc", "seed": 1}, "calibration": [[1], [2, 3]], "held_out": [[1]]}"#,
            #"{"key": {"model_sha256": "abc", "seed": 1}, "calibration": [["a"]], "held_out": [[1]]}"#,
        ] {
            try damaged.write(toFile: file, atomically: true, encoding: .utf8)
            let error = #expect(throws: DyadError.self) { _ = try CalibrationText(storedIn: file, key: key) }
            #expect(error?.reason == .malformed && error?.file == file)
        }
    }
}
