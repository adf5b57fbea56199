import DyadFormats
import DyadGraph
import DyadTestSupport
import Testing

@Suite("The .dyad file")
struct DyadFileTests {
    @Test("what is written is read back, and written again byte for byte", arguments: 0..<12)
    func roundTrip(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed) + 200)
        let program = DecoderShape.random(using: &generator).program(seed: UInt64(seed))
        try withTemporaryFolder { folder in
            try program.write(to: folder + "/a.dyad")
            let loaded = try IntegerProgram.load(folder + "/a.dyad")
            #expect(loaded == program)
            try loaded.write(to: folder + "/b.dyad")
            #expect(try bytes(folder + "/a.dyad") == bytes(folder + "/b.dyad"))
            let logits = try ReferenceInterpreter(program).run(tokens: [0, 1, 2])
            #expect(try ReferenceInterpreter(loaded).run(tokens: [0, 1, 2]) == logits)
        }
    }

    @Test("every float32 scale survives the decimal notation")
    func scales() throws {
        var generator = SeededGenerator(seed: 9)
        var program = tinyProgram()
        try withTemporaryFolder { folder in
            for _ in 0..<40 {
                for id in program.graph.tensors.indices where program.graph.tensors[id].name.hasSuffix("proj.output") {
                    program.graph.tensors[id].encoding.scale = Float(
                        bitPattern: UInt32.random(in: 1..<0x7F80_0000, using: &generator))
                }
                let cacheScale = program.graph.tensors.first { $0.name == "layers.0.attention.v_proj.output" }
                program.graph.caches[1].encoding.scale = try #require(cacheScale).encoding.scale
                try program.write(to: folder + "/a.dyad")
                #expect(try IntegerProgram.load(folder + "/a.dyad") == program)
            }
        }
    }

    /// The format must not change by accident. `DYAD_WRITE_FIXTURES=1 swift test --filter DyadFileTests` writes the file
    /// anew; scripts/fixtures/hostile_dyad.py then the damaged ones.
    @Test("the tiny program's file is the committed one")
    func golden() throws {
        let path = fixture("tiny.dyad")
        if environment("DYAD_WRITE_FIXTURES") != nil { try tinyProgram().write(to: path) }
        #expect(try IntegerProgram.load(path) == tinyProgram())
        try withTemporaryFolder { folder in
            try tinyProgram().write(to: folder + "/a.dyad")
            #expect(try bytes(folder + "/a.dyad") == bytes(path))
        }
    }

    @Test("an invalid program is not written")
    func invalid() throws {
        var program = tinyProgram()
        program.graph.operations.removeLast()
        try withTemporaryFolder { folder in
            #expect(throws: DyadError.self) { try program.write(to: folder + "/a.dyad") }
            #expect(FileKind(folder + "/a.dyad") == .nothing)
        }
        #expect(throws: DyadError.self) { try tinyProgram().write(to: "/nowhere/at/all.dyad") }
    }
}
