import DyadFormats
import DyadGraph
import Foundation
import Testing

/// A kill at any moment, and a disk that is full, leave no file under the final name.
@Suite("Interrupted quantisation", .needsTorch)
struct InterruptionTests {
    /// What ends a process before it is done.
    enum Ending: CaseIterable { case killed, terminated }

    /// Starts a quantisation, ends it when `moment` comes, and checks what stands under the output's name.
    /// - Returns: whether the signal ended it.
    private func interrupt(
        in folder: String, by ending: Ending, sourceLocation: SourceLocation = #_sourceLocation,
        when moment: (Command) throws -> Void
    ) throws -> Bool {
        let output = folder + "/out.dyad"
        let command = try Command(TinyModel.quantize(try TinyModel.folder.get(), output))
        try moment(command)
        let signal = ending == .killed ? SIGKILL : SIGTERM
        command.send(signal)
        let status = try command.outcome().status
        #expect([0, -signal].contains(status), sourceLocation: sourceLocation)
        if exists(output) {
            #expect(throws: Never.self, sourceLocation: sourceLocation) {
                try IntegerProgram.load(output).validate()
            }
            try FileManager.default.removeItem(atPath: output)
        } else {
            #expect(status != 0, sourceLocation: sourceLocation)
        }
        return status != 0
    }

    /// Another run in the same folder, beside what the interrupted ones left.
    private func expectLaterRunSucceeds(in folder: String) throws {
        let output = folder + "/out.dyad"
        let outcome = try Command(TinyModel.quantize(try TinyModel.folder.get(), output)).outcome()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let expected = try Data(contentsOf: URL(fileURLWithPath: try TinyModel.quantized.get().path))
        #expect(try Data(contentsOf: URL(fileURLWithPath: output)) == expected)
    }

    @Test("in every phase", arguments: Ending.allCases)
    func phases(ending: Ending) throws {
        let lines = try TinyModel.quantized.get().outcome.errors.split(separator: "\n")
        var phases: [String] = []
        for line in lines {
            guard let colon = line.firstIndex(of: ":"), !phases.contains(String(line[...colon])) else { continue }
            phases.append(String(line[...colon]))
        }
        #expect(phases.count >= 3, "\(phases)")
        let folder = try Place.folder()
        var interrupted = 0
        for phase in phases {
            let wasRunning = try interrupt(in: folder, by: ending) { command in
                _ = command.wait { command.errors.contains(phase) }
            }
            if wasRunning { interrupted += 1 }
        }
        #expect(interrupted >= phases.count - 1)
        try expectLaterRunSucceeds(in: folder)
    }

    @Test("after any time")
    func anyTime() throws {
        let whole = try TinyModel.quantized.get().outcome.seconds
        let folder = try Place.folder()
        for round in 0..<6 {
            let delay = whole * Double.random(in: 0...1)
            _ = try interrupt(in: folder, by: round % 2 == 0 ? .killed : .terminated) { command in
                let end = Date().addingTimeInterval(delay)
                _ = command.wait { Date() > end }
            }
        }
        try expectLaterRunSucceeds(in: folder)
    }

    @Test("while the file is being written; a file that stood there before stays whole")
    func writing() throws {
        let folder = try Place.folder()
        for _ in 0..<3 {
            _ = try interrupt(in: folder, by: .killed) { command in
                _ = try command.wait(microseconds: 50) {
                    // An empty one stands there from the beginning: the claim of the name.
                    try list(folder).contains {
                        $0.hasPrefix("out.dyad.partial")
                            && (try? FileManager.default.attributesOfItem(atPath: "\(folder)/\($0)")[.size] as? Int)
                                ?? 0 > 0
                    }
                }
            }
            for leftover in try list(folder) { try FileManager.default.removeItem(atPath: folder + "/" + leftover) }
        }
        try write("not yet a program", to: folder + "/out.dyad")
        let command = try Command(TinyModel.quantize(try TinyModel.folder.get(), folder + "/out.dyad"))
        #expect(command.wait { command.errors.contains("score:") })
        command.send(SIGKILL)
        if try command.outcome().status != 0 {
            #expect(try String(contentsOfFile: folder + "/out.dyad", encoding: .utf8) == "not yet a program")
        }
    }

    @Test("a learning run killed three times and resumed ends in the same bytes")
    func learning() throws {
        let folder = try Place.folder()
        try write(
            """
            name: learn
            summary: two stages, block by block and as a whole
            weights: { bits: 4, rounding: gptq }
            prefix: [1]
            learning:
              - { objective: block-output, steps: 24, batch: 1, rates: { activations: 0.001, rounding: 0.001 } }
              - { objective: logits-kl, steps: 48, batch: 2, rates: { activations: 0.001, weight-scales: 0.001 } }
            """, to: folder + "/learn.yaml")
        func start(_ output: String) throws -> Command {
            try Command(
                TinyModel.quantize(try TinyModel.folder.get(), output)
                    + ["--recipe", folder + "/learn.yaml", "--resume", "--snapshot-seconds", "0"])
        }
        let whole = try start(folder + "/whole.dyad").outcome()
        #expect(whole.status == 0, "\(whole.errors)")
        #expect(whole.errors.contains("learn block 1/2: 1/24"))
        #expect(try list(folder + "/whole.run").sorted() == ["log.jsonl", "settings.json"])

        // A run that is done before the signal comes (the machine may be busier now and then) leaves nothing to go on from: another is killed.
        var killed = 0
        for _ in 0..<9 where killed < 3 {
            let command = try start(folder + "/out.dyad")
            // Calibration is repeated by every run; the moments that matter come after the first snapshot.
            _ = try command.wait {
                try command.errors.contains("learn")
                    && list(folder + "/out.run").contains { $0.hasSuffix(".snapshot.safetensors") }
            }
            let end = Date().addingTimeInterval(Double.random(in: 0...0.3) * whole.seconds)
            _ = command.wait { Date() > end }
            command.send(SIGKILL)
            if try command.outcome().status == -SIGKILL { killed += 1 }
        }
        #expect(killed == 3)
        // But for a kill between the last snapshot's removal and the end.
        let goesOn = try list(folder + "/out.run").contains { $0.hasSuffix(".snapshot.safetensors") }
        let last = try start(folder + "/out.dyad").outcome()
        #expect(last.status == 0, "\(last.errors)")
        let bytes = try Data(contentsOf: URL(fileURLWithPath: folder + "/out.dyad"))
        #expect(try bytes == Data(contentsOf: URL(fileURLWithPath: folder + "/whole.dyad")))
        // It went on, and did not begin again.
        #expect(!goesOn || !last.errors.contains("learn block 1/2: 1/24"))
    }

    @Test("a limit on file sizes is 73, and nothing remains")
    func limit() throws {
        let folder = try Place.folder()
        // 16 blocks of 512 bytes, or of 1024 where sh counts so: less than the program needs.
        let outcome = try Command(
            executable: "/bin/sh",
            ["-c", "ulimit -f 16 && exec \"$@\"", "sh", Place.dyad]
                + TinyModel.quantize(try TinyModel.folder.get(), folder + "/out.dyad")
        ).outcome()
        expectFailure(outcome, 73, naming: "out.dyad", "bytes", "Free some space")
        #expect(try list(folder).isEmpty)
    }

    /// A file system of 32 KiB in a mount namespace of its own, which vanishes with the shell.
    private static let mount = "mount -t tmpfs -o size=32k none \"$0\" && "
    private static let canMount: Bool = {
        guard let folder = try? Place.folder("mount") else { return false }
        let probe = try? Command(executable: "/usr/bin/env", ["unshare", "-rm", "sh", "-c", mount + "true", folder])
        return (try? probe?.outcome().status) == 0
    }()

    @Test("a full disk is 73, and nothing remains", .enabled(if: canMount, "no right to mount a file system"))
    func fullDisk() throws {
        let folder = try Place.folder()
        let outcome = try Command(
            executable: "/usr/bin/env",
            [
                "unshare", "-rm", "sh", "-c", Self.mount + "\"$@\"; code=$?; ls -A \"$0\"; exit $code", folder,
                Place.dyad,
            ]
                + TinyModel.quantize(try TinyModel.folder.get(), folder + "/out.dyad")
        ).outcome()
        // Standard output is that of ls: empty.
        expectFailure(outcome, 73, naming: "out.dyad", "No space left", "Free some space")
    }
}
