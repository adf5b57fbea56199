import DyadFormats
import Foundation
import Testing

/// Files that change while they are in use, and inputs that are no files.
@Suite struct ChangingFileTests {
    private func truncate(_ path: String, to size: Int) throws {
        let handle = try #require(FileHandle(forUpdatingAtPath: path))
        try handle.truncate(atOffset: UInt64(size))
        try handle.close()
    }

    private func expectFailure(_ path: String, _ found: String, _ body: () throws -> Void) {
        let error = #expect(throws: DyadError.self) { try body() }
        #expect(error?.reason == .failed && error?.file == path)
        #expect(error?.found.contains(found) == true, "\(error?.found ?? "")")
    }

    @Test func aTensorOfAFileThatShrankIsAnErrorThatSaysSo() throws {
        try withFolder { folder in
            let path = folder + "/m.safetensors"
            try SafetensorsWriter.write(path, [.init("x", .float32, [1 << 16], [Float](repeating: 1, count: 1 << 16))])
            let tensor = try SafetensorsFile(path: path).tensor("x")
            #expect(try tensor.floats().count == 1 << 16)
            let kept = try tensor.bytes()
            try truncate(path, to: 4096)
            expectFailure(path, "shrank to 4096 bytes while in use") { _ = try tensor.floats() }
            expectFailure(path, "shrank") { _ = try tensor.bytes() }
            expectFailure(path, "shrank") { _ = try tensor.file.hexDigest() }
            try truncate(path, to: 0)
            withExtendedLifetime(kept) { #expect(kept.bytes.last == 0x3f) }
        }
    }

    @Test func dequantisingAGGUFThatShrankIsAnErrorThatSaysSo() throws {
        try withFolder { folder in
            let path = folder + "/m.gguf"
            try save(try load(fixtures + "/values.gguf"), path)
            let file = try GGUFFile(path: path)
            try truncate(path, to: 16)
            for name in file.names where try file.tensor(name).count > 0 {
                expectFailure(path, "shrank") { _ = try file.tensor(name).floats() }
            }
            for (_, value) in file.metadata {
                if let array = value.array, array.count > 0 { expectFailure(path, "shrank") { _ = try array.values() } }
            }
        }
    }

    @Test func aFileThatIsWrittenToInPlaceIsNeverReadInTwoVersions() throws {
        try withFolder { folder in
            let path = folder + "/m.safetensors"
            try SafetensorsWriter.write(path, [.init("x", .uint8, [64], [UInt8](repeating: 1, count: 64))])
            let tensor = try SafetensorsFile(path: path).tensor("x")
            Thread.sleep(forTimeInterval: 0.02)  // longer than a tick of the file system's clock
            let handle = try #require(FileHandle(forUpdatingAtPath: path))
            try handle.seek(toOffset: UInt64(tensor.range.lowerBound))
            try handle.write(contentsOf: Data([2]))
            try handle.close()
            expectFailure(path, "written to while in use") { _ = try tensor.bytes() }
        }
    }

    @Test func replacingAFileByRenamingLeavesItsReadersAlone() throws {
        try withFolder { folder in
            let path = folder + "/m.safetensors"
            for value in [UInt8(1), 2] {
                try SafetensorsWriter.write(path, [.init("x", .uint8, [64], [UInt8](repeating: value, count: 64))])
            }
            let tensor = try SafetensorsFile(path: path).tensor("x")
            try SafetensorsWriter.write(path, [.init("x", .uint8, [64], [UInt8](repeating: 3, count: 64))])
            let stored = try tensor.bytes()
            withExtendedLifetime(stored) { #expect(stored.bytes.allSatisfy { $0 == 2 }) }
        }
    }

    @Test func partsAreReadFromManyThreadsAtOnce() throws {
        try withFolder { folder in
            let bytes = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 / 7) }
            try save(bytes, folder + "/f")
            let file = try RandomAccessFile(folder + "/f")
            DispatchQueue.concurrentPerform(iterations: 64) { index in
                let range = index * 16_000..<index * 16_000 + 9_001
                let part = try? file.bytes(range)
                #expect(part.map { Array($0.bytes) } == Array(bytes[range]))
            }
        }
    }

    @Test func dataThatIsNotAlignedIsRead() throws {
        try withFolder { folder in
            let path = folder + "/m.safetensors"
            let values: [Float] = [1, -2, 0.5]
            for padding in 0..<8 {
                let header =
                    #"{"odd":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"F32","shape":[3],"data_offsets":[1,13]}}"#
                    + String(repeating: " ", count: padding)
                let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
                try save(length + header.utf8 + [7] + values.withUnsafeBytes { Array($0) }, path)
                let tensor = try SafetensorsFile(path: path).tensor("x")
                #expect(try tensor.floats() == values)
                let stored = try tensor.bytes()
                withExtendedLifetime(stored) { #expect(UInt(bitPattern: stored.bytes.baseAddress) % 64 == 0) }
            }
        }
    }

    @Test func aFileThatClaimsMoreThanTheMachineHasIsRefused() throws {
        try withFolder { folder in
            let path = folder + "/m.safetensors"
            let size = 1 << 45
            let header = #"{"x":{"dtype":"F32","shape":[\#(size / 4)],"data_offsets":[0,\#(size)]}}"#
            let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
            try save(length + Array(header.utf8), path)
            // A hole: the file has the size and no blocks. Not every file system takes it.
            guard (try? truncate(path, to: 8 + header.utf8.count + size)) != nil,
                try RandomAccessFile(path).count > size
            else { return }
            let tensor = try SafetensorsFile(path: path).tensor("x")
            expectFailure(path, "no memory for") { _ = try tensor.floats() }
            expectFailure(path, "no memory for") { _ = try tensor.bytes() }
            let error = #expect(throws: DyadError.self) { try JSONValue.read(path) }
            #expect(error?.reason == .unsupported)
        }
    }

    // MARK: Streams

    @Test func aPipeIsReadToItsEnd() throws {
        try withFolder { folder in
            let path = folder + "/pipe"
            #expect(mkfifo(path, 0o600) == 0)
            let text = [UInt8](repeating: 0x61, count: 300_000)
            DispatchQueue.global().async {
                guard let handle = FileHandle(forWritingAtPath: path) else { return }
                for part in 0..<3 {
                    try? handle.write(contentsOf: Data(text[part * 100_000..<(part + 1) * 100_000]))
                    Thread.sleep(forTimeInterval: 0.05)
                }
                try? handle.close()
            }
            let read = try FileBytes(path)
            withExtendedLifetime(read) { #expect(Array(read.bytes) == text) }
            // Tensors are read in any order, a pipe is not.
            let error = #expect(throws: DyadError.self) { try SafetensorsFile(path: path) }
            #expect(error?.found == "a pipe" && error?.file == path)
        }
    }

    @Test func aPipeThatNobodyWritesToIsAnErrorAfterASecond() throws {
        try withFolder { folder in
            let path = folder + "/pipe"
            #expect(mkfifo(path, 0o600) == 0)
            let start = ContinuousClock.now
            let error = #expect(throws: DyadError.self) { try FileBytes(path) }
            #expect(error?.found == "a pipe that nobody writes to" && error?.file == path)
            #expect(ContinuousClock.now - start < .seconds(5))
        }
    }

    @Test func aStreamWithoutEndIsRefused() throws {
        let pipe = Pipe()
        let write = pipe.fileHandleForWriting
        DispatchQueue.global().async {
            let zeros = Data(count: 1 << 20)
            for _ in 0..<80 { guard (try? write.write(contentsOf: zeros)) != nil else { break } }
            try? write.close()
        }
        let error = #expect(throws: DyadError.self) {
            try FileBytes("/dev/fd/\(pipe.fileHandleForReading.fileDescriptor)")
        }
        #expect(error?.reason == .unsupported && error?.found.contains("67108864") == true)
        _ = try? pipe.fileHandleForReading.readToEnd()
    }

    @Test(arguments: ["/dev/zero", "/dev/null", "/dev/urandom", "/dev/full", "/tmp"])
    func whatHasNoContentIsRefusedAtOnce(path: String) {
        let error = #expect(throws: DyadError.self) { try FileBytes(path) }
        #expect(error?.reason == .missing && error?.file == path)
        #expect(error?.found == (path == "/tmp" ? "a folder" : "a device or socket"))
    }
}
