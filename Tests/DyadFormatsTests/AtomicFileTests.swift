import DyadFormats
import Foundation
import Testing

/// What ``AtomicFile`` promises where others write, forbid or run out.
@Suite struct AtomicFileTests {
    private func mode(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    private func names(_ folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    }

    @Test func writersAtTheSameTimeEachWriteAWholeFile() throws {
        try withFolder { folder in
            let path = folder + "/f"
            DispatchQueue.concurrentPerform(iterations: 8) { writer in
                for _ in 0..<4 {
                    do {
                        try AtomicFile.write(path) { (sink) throws(DyadError) in
                            for _ in 0..<20 { try sink.write([UInt8](repeating: UInt8(writer), count: 100_000)) }
                        }
                    } catch {
                        Issue.record("\(error)")
                    }
                }
            }
            let bytes = try load(path)
            #expect(bytes.count == 2_000_000 && Set(bytes).count == 1)
            #expect(try names(folder) == ["f"])
        }
    }

    @Test(arguments: [0o600, 0o640, 0o664, 0o755])
    func theModeOfAFileThatIsReplacedIsKept(mode: Int) throws {
        try withFolder { folder in
            try save([1], folder + "/f")
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: folder + "/f")
            try AtomicFile.write(folder + "/f") { (sink) throws(DyadError) in
                // Nor may anybody read the new content before it has the name.
                let partial = try? names(folder).first { $0 != "f" }
                #expect((try? self.mode("\(folder)/\(partial ?? "")")) == 0o600)
                try sink.write("x")
            }
            #expect(try self.mode(folder + "/f") == mode)
            let before = umask(0)
            umask(before)
            try AtomicFile.write(folder + "/new", text: "x")
            #expect(try self.mode(folder + "/new") == 0o666 & ~Int(before))
        }
    }

    @Test func aLinkWhoseEndIsNotThereIsFollowed() throws {
        try withFolder { folder in
            try FileManager.default.createDirectory(atPath: folder + "/a", withIntermediateDirectories: false)
            try FileManager.default.createSymbolicLink(atPath: folder + "/two", withDestinationPath: "one")
            try FileManager.default.createSymbolicLink(atPath: folder + "/one", withDestinationPath: "a/real")
            try FileManager.default.createSymbolicLink(atPath: folder + "/circle", withDestinationPath: "circle")
            try AtomicFile.write(folder + "/two", text: "new")
            #expect(try load(folder + "/a/real") == Array("new".utf8))
            let error = #expect(throws: DyadError.self) { try AtomicFile.write(folder + "/circle", text: "x") }
            #expect(error?.reason == .cannotWrite && error?.file == folder + "/circle")
            #expect(try names(folder) == ["a", "circle", "one", "two"] && names(folder + "/a") == ["real"])
        }
    }

    @Test func onlyWhatADeadWriterLeftIsRemoved() throws {
        try withFolder { folder in
            let dead = "f.partial-0123456789abcdef", alive = "f.partial-fedcba9876543210"
            let others = ["f.partial-17", "f.partial-0123456789abcdeg", "g.partial-0123456789abcdef", "f.partial-"]
            for name in [dead, alive] + others { try save([1], "\(folder)/\(name)") }
            let descriptor = open("\(folder)/\(alive)", O_RDONLY)
            #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
            try AtomicFile.write(folder + "/f", text: "x")
            #expect(try names(folder) == ([alive, "f"] + others).sorted())
            close(descriptor)
            try AtomicFile.write(folder + "/f", text: "x")
            #expect(try names(folder) == (["f"] + others).sorted())
        }
    }

    @Test func theLongestNameIsWritten() throws {
        try withFolder { folder in
            let name = String(repeating: "é", count: 127) + "x"
            try AtomicFile.write("\(folder)/\(name)", text: "x")
            #expect(try names(folder).count == 1)
            let error = #expect(throws: DyadError.self) { try AtomicFile.write("\(folder)/\(name)x", text: "x") }
            #expect(error?.reason == .cannotWrite && error?.remedy == "Choose a shorter name.")
        }
    }

    @Test func aFileThatMayNotBeWrittenIsNotReplaced() throws {
        guard geteuid() != 0 else { return }  // root may write to everything
        try withFolder { folder in
            try save([1], folder + "/f")
            chmod(folder + "/f", 0o444)
            let error = #expect(throws: DyadError.self) { try AtomicFile.write(folder + "/f", text: "x") }
            #expect(error?.reason == .cannotWrite && error?.found == "a file that may not be written")
        }
    }

    @Test func aFolderTakesOneWriterAtATime() throws {
        try withFolder { folder in
            var lock: FolderLock? = try FolderLock(folder)
            #expect(lock?.isThere == true)
            let error = #expect(throws: DyadError.self) { try FolderLock(folder) }
            #expect(error?.reason == .cannotWrite && error?.file == folder)
            lock = nil
            _ = try FolderLock(folder)
            #expect(throws: DyadError.self) { try FolderLock(folder + "/none") }
        }
    }

    @Test func whetherAFileCanBeWrittenIsFoundWithoutWritingIt() throws {
        try withFolder { folder in
            try save([1], folder + "/f")
            _ = try OutputClaim(folder + "/f")
            _ = try OutputClaim(folder + "/new")
            #expect(try names(folder) == ["f"] && load(folder + "/f") == [1])
            for path in [folder, folder + "/none/f", "/dev/null"] {
                let error = #expect(throws: DyadError.self) { _ = try OutputClaim(path) }
                #expect(error?.reason == .cannotWrite && error?.file == path)
            }
        }
    }

    @Test func whoClaimsAnOutputIsAloneAndTheOtherIsTold() throws {
        try withFolder { folder in
            let path = folder + "/f"
            try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "f")
            var claim: OutputClaim? = try OutputClaim(path)
            for other in [path, folder + "/link"] {
                let error = #expect(throws: DyadError.self) { _ = try OutputClaim(other) }
                #expect(error?.reason == .cannotWrite && error?.file == other)
                #expect(error?.found == "another process that is writing this file")
            }
            _ = try OutputClaim(folder + "/g")
            // Its holder writes, and has the name still.
            try AtomicFile.write(path, text: "x")
            #expect(throws: DyadError.self) { _ = try OutputClaim(path) }
            withExtendedLifetime(claim) {}
            claim = nil
            try AtomicFile.write(path) { (sink) throws(DyadError) in
                #expect(throws: DyadError.self) { _ = try OutputClaim(path) }
                try sink.write("y")
            }
            _ = try OutputClaim(path)
            #expect(try names(folder) == ["f", "link"])
        }
    }

    @Test func ofManyThatClaimAtTheSameMomentOneWins() throws {
        try withFolder { folder in
            for round in 0..<10 {
                let claims = LockedClaims()
                DispatchQueue.concurrentPerform(iterations: 4) { _ in
                    if let claim = try? OutputClaim("\(folder)/\(round)") { claims.add(claim) }
                }
                #expect(claims.count <= 1)
            }
            let left = try names(folder)
            #expect(left.isEmpty)
        }
    }

    #if os(Linux)
        /// Beyond the limit the system ends a process by a signal unless that is held back. The limit is the process's, so the test runs
        /// again, alone, in one of its own.
        @Test func theLimitForFilesIsAnErrorAndNotTheEnd() throws {
            let variable = "DYAD_TEST_FILE_LIMIT"
            if ProcessInfo.processInfo.environment[variable] == nil {
                let process = Process()
                process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
                process.arguments = [
                    "--testing-library", "swift-testing", "--filter", "theLimitForFilesIsAnErrorAndNotTheEnd",
                ]
                process.environment = ProcessInfo.processInfo.environment.merging(
                    [variable: "1"], uniquingKeysWith: { $1 })
                let output = Pipe()
                process.standardOutput = output
                process.standardError = output
                try process.run()
                let said = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
                process.waitUntilExit()
                #expect(process.terminationReason == .exit && process.terminationStatus == 0, "\(said)")
                #expect(said.contains("1 test"), "\(said)")
                return
            }
            try withFolder { folder in
                var limit = rlimit()
                #expect(getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
                limit.rlim_cur = 1 << 16
                #expect(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
                let error = #expect(throws: DyadError.self) {
                    try AtomicFile.write(folder + "/f", expectedBytes: 1 << 17) { (sink) throws(DyadError) in
                        try sink.writeZeros(1 << 17)
                    }
                }
                #expect(error?.reason == .cannotWrite && error?.expected == "to write 131072 bytes")
                #expect(error?.remedy.contains("space") == true)
                let left = try names(folder)
                #expect(left.isEmpty)
            }
        }
    #endif
}

/// Claims of several threads, all held.
private final class LockedClaims: @unchecked Sendable {
    // Unchecked: behind the lock.
    private var claims: [OutputClaim] = []
    private let lock = NSLock()

    func add(_ claim: OutputClaim) { lock.withLock { claims.append(claim) } }
    var count: Int { lock.withLock { claims.count } }
}
