import Foundation
import Testing

@testable import DyadFormats

@Suite struct FileTests {
    @Test func aFileIsReadWhole() throws {
        try withFolder { folder in
            try save([1, 2, 3], folder + "/f")
            try save([], folder + "/empty")
            let read = try FileBytes(folder + "/f")
            withExtendedLifetime(read) { #expect(Array(read.bytes) == [1, 2, 3]) }
            #expect(try FileBytes(folder + "/empty").count == 0)
        }
    }

    @Test func whatIsNoRegularFileIsMissing() throws {
        try withFolder { folder in
            for path in [folder + "/none", folder, "/dev/zero"] {
                let error = #expect(throws: DyadError.self) { try FileBytes(path) }
                #expect(error?.reason == .missing && error?.file == path)
            }
        }
    }

    @Test func writingReplacesTheWholeFileAndLeavesNothingElse() throws {
        try withFolder { folder in
            let path = folder + "/f"
            try AtomicFile.write(path, text: "a much longer text")
            let large = [UInt8](repeating: 7, count: 3 << 20)
            try AtomicFile.write(path) { (sink) throws(DyadError) in
                try sink.write("x")
                try sink.write(large)
                try sink.writeZeros(2)
                #expect(sink.count == large.count + 3)
            }
            #expect(try load(path) == [0x78] + large + [0, 0])
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["f"])
        }
    }

    @Test func whatTheBodyThrowsLeavesTheOldFile() throws {
        try withFolder { folder in
            let path = folder + "/f"
            try AtomicFile.write(path, text: "old")
            let failure = DyadError(.failed, found: "this", expected: "that", remedy: "")
            #expect(throws: failure) {
                try AtomicFile.write(path) { (sink) throws(DyadError) in
                    try sink.write("new")
                    throw failure
                }
            }
            #expect(try load(path) == Array("old".utf8))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["f"])
        }
    }

    @Test(.enabled(if: FileKind("/dev/full") == .other, "needs the device that is always full"))
    func aFullDiskIsReportedWithTheBytesThatWereWanted() throws {
        let descriptor = open("/dev/full", O_WRONLY)
        defer { close(descriptor) }
        let sink = FileSink(descriptor: descriptor, path: "out.dyad", expectedBytes: 123_456)
        let error = #expect(throws: DyadError.self) {
            try sink.write("x")
            try sink.flush()
        }
        #expect(error?.reason == .cannotWrite && error?.file == "out.dyad" && error?.exitCode == 73)
        #expect(error?.expected == "to write 123456 bytes" && error?.remedy.contains("space") == true)
    }

    @Test func aTargetThatCannotBeWrittenIsNamed() throws {
        try withFolder { folder in
            for path in [folder + "/none/f", folder, "/dev/null"] {
                let error = #expect(throws: DyadError.self) { try AtomicFile.write(path, text: "x") }
                #expect(error?.reason == .cannotWrite && error?.file == path)
            }
            #expect(FileKind("/dev/null") == .other)
        }
    }

    @Test func aLinkIsFollowed() throws {
        try withFolder { folder in
            try AtomicFile.write(folder + "/real", text: "old")
            try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: folder + "/real")
            try AtomicFile.write(folder + "/link", text: "new")
            #expect(try load(folder + "/real") == Array("new".utf8))
        }
    }

    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func digestsAreThoseOfTheStandard(text: String, expected: String) {
        var digest = SHA256()
        digest.update(text)
        #expect(digest.hexDigest() == expected)
    }

    @Test func aDigestDoesNotDependOnHowTheBytesArrive() {
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let whole = bytes.withUnsafeBytes { SHA256.hexDigest(of: $0) }
        for piece in [1, 3, 55, 56, 63, 64, 65, 200] {
            var digest = SHA256()
            for start in stride(from: 0, to: bytes.count, by: piece) {
                bytes[start..<min(start + piece, bytes.count)].withUnsafeBytes { digest.update($0) }
            }
            #expect(digest.hexDigest() == whole)
        }
        let million = [UInt8](repeating: 0x61, count: 1_000_000)
        let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        #expect(million.withUnsafeBytes { SHA256.hexDigest(of: $0) } == expected)
    }
}
