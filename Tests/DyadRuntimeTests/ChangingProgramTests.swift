import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTestSupport
import Foundation
import Testing

/// A `.dyad` file that is cut or overwritten while a program from it is in use.
@Suite struct ChangingProgramTests {
    private func withProgram(_ body: (IntegerProgram, String) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "dyad-\(UUID().uuidString).dyad"
        defer { try? FileManager.default.removeItem(atPath: path) }
        var shape = DecoderShape()
        shape.prefix = 2
        try shape.program(seed: 5).write(to: path)
        try body(try IntegerProgram.load(path), path)
    }

    private func truncate(_ path: String, to size: UInt64) throws {
        let handle = try #require(FileHandle(forUpdatingAtPath: path))
        try handle.truncate(atOffset: size)
        try handle.close()
    }

    @Test func aSessionHasAllItNeedsInMemory() throws {
        try withProgram { program, path in
            let runtime = try Runtime(program: program, options: .init(threads: 2))
            let expected = try runtime.makeSession().prefill([1, 2, 3, 4])
            let session = try runtime.makeSession()
            _ = try session.prefill([1, 2])
            try truncate(path, to: 0)
            #expect(try session.prefill([3, 4]) == expected)
            session.reset()
            #expect(try session.prefill([1, 2, 3, 4]) == expected)
            #expect(try runtime.makeSession().prefill([1, 2, 3, 4]) == expected)
        }
    }

    @Test func whatReadsAProgramThatShrankNamesTheFile() throws {
        try withProgram { program, path in
            try truncate(path, to: 100)
            for use: () throws -> Void in [
                { _ = try Runtime(program: program, options: .init(threads: 1)) },
                { _ = try ReferenceInterpreter(program) }, { try program.validate() },
                { try program.write(to: path + ".copy") },
            ] {
                let error = #expect(throws: DyadError.self) { try use() }
                #expect(error?.reason == .failed && error?.file == path)
                #expect(error?.found.contains("shrank to 100 bytes while in use") == true)
            }
            #expect(FileKind(path + ".copy") == .nothing)
        }
    }
}
