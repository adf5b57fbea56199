import DyadFormats
import Foundation
import Testing

@Suite struct HostileFileTests {
    static let folder = fixtures + "/hostile"

    @Test func everyHostileFileGivesTheErrorItDeserves() throws {
        let cases = try HostileCase.all(in: Self.folder)
        #expect(cases.count >= 60)
        for hostile in cases {
            let path = Self.folder + "/" + hostile.name
            hostile.check {
                if path.hasSuffix(".gguf") { _ = try GGUFFile(path: path) } else { _ = try SafetensorsFile(path: path) }
            }
        }
    }

    private func checksum(_ view: TensorView) throws -> Int {
        let stored = try view.bytes()
        return withExtendedLifetime(stored) { stored.bytes.reduce(0) { $0 ^ Int($1) } }
    }

    /// Reads everything a safetensors file offers.
    private func readSafetensors(_ path: String) throws -> Int {
        let file = try SafetensorsFile(path: path)
        return try file.names.reduce(0) { try $0 ^ checksum(file.tensor($1)) }
    }

    /// Reads everything a GGUF file offers; arrays may turn out bad only when they are decoded.
    private func readGGUF(_ path: String) throws -> Int {
        let file = try GGUFFile(path: path)
        for (_, value) in file.metadata { _ = try value.array?.values() }
        return try file.names.reduce(0) { try $0 + file.tensor($1).floats().count }
    }

    private func smallSafetensors(_ path: String) throws -> [UInt8] {
        try SafetensorsWriter.write(
            path,
            [
                .init("a", .float32, [2, 2], [1, 2, 3, 4] as [Float]), .init("b", .uint8, [3], [1, 2, 3] as [UInt8]),
                .init("empty", .int32, [0], [] as [Int32]),
            ], metadata: ["k": "v"])
        return try load(path)
    }

    @Test func aSafetensorsFileCutAnywhereIsMalformed() throws {
        try withFolder { folder in
            let path = folder + "/t.safetensors"
            let whole = try smallSafetensors(path)
            let file = try #require(FileHandle(forUpdatingAtPath: path))
            for length in (0..<whole.count).reversed() {
                try file.truncate(atOffset: UInt64(length))
                let error = #expect(throws: DyadError.self, "cut to \(length)") { try readSafetensors(path) }
                #expect(error?.reason == .malformed && error?.file == path)
            }
        }
    }

    @Test func aGGUFFileCutAnywhereIsMalformed() throws {
        try withFolder { folder in
            let path = folder + "/t.gguf"
            let whole = try load(fixtures + "/values.gguf")
            try save(whole, path)
            let file = try #require(FileHandle(forUpdatingAtPath: path))
            // The last tensor ends before the padding that ends the file.
            for length in (0..<whole.count - 32).reversed() {
                try file.truncate(atOffset: UInt64(length))
                let error = #expect(throws: DyadError.self, "cut to \(length)") { try readGGUF(path) }
                #expect(error?.reason == .malformed && error?.file == path)
            }
        }
    }

    @Test func aFlippedBitGivesAValueOrATypedError() throws {
        try withFolder { folder in
            let path = folder + "/t"
            let files = [
                (try smallSafetensors(path), readSafetensors), (try load(fixtures + "/values.gguf"), readGGUF),
            ]
            for (whole, read) in files {
                try save(whole, path)
                // In place: rewriting a file thousands of times makes the disk wait.
                let file = try #require(FileHandle(forUpdatingAtPath: path))
                func put(_ value: UInt8, _ position: Int) throws {
                    try file.seek(toOffset: UInt64(position))
                    try file.write(contentsOf: Data([value]))
                }
                var refused = 0
                for index in 0..<whole.count * 2 {
                    let byte = index / 2
                    try put(whole[byte] ^ 1 << UInt8(index % 2 == 0 ? byte % 8 : 7 - byte % 8), byte)
                    defer { try? put(whole[byte], byte) }
                    do {
                        _ = try read(path)
                    } catch let error as DyadError {
                        refused += 1
                        #expect(error.file == path && error.subject != nil)
                    }
                }
                #expect(refused > whole.count / 4)
            }
        }
    }
}
