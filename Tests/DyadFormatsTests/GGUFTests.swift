import DyadFormats
import Testing

@Suite struct GGUFTests {
    @Test(arguments: GGUFTensorType.allCases.filter { $0 != .f32 })
    func dequantisationEqualsTheReferenceToTheLastBit(type: GGUFTensorType) throws {
        let file = try SafetensorsFile(path: fixtures + "/dequantization.safetensors")
        let blocks = try file.tensor(type.name + ".blocks")
        let expected = try file.tensor(type.name + ".values").floats()
        #expect(blocks.shape.last == type.blockBytes)
        var values = [Float](repeating: .nan, count: expected.count)
        let stored = try blocks.bytes()
        withExtendedLifetime(stored) {
            values.withUnsafeMutableBufferPointer { type.dequantize(stored.bytes, into: $0) }
        }
        let differing = zip(values, expected).filter { !($0.isNaN && $1.isNaN) && $0.bitPattern != $1.bitPattern }
        #expect(differing.isEmpty, "\(differing.prefix(3))")
        #expect(Set(expected.map { $0.bitPattern }).count > 4)
    }

    @Test func valuesOfEveryTypeAreReadAsTheReferenceWroteThem() throws {
        let file = try GGUFFile(path: fixtures + "/values.gguf")
        #expect(file.version == 3)
        let integers = [
            "u8": 200, "i8": -100, "u16": 60000, "i16": -30000, "u32": 4_000_000_000, "i32": -2_000_000_000,
        ]
        for (key, value) in integers { #expect(try file.integer(key) == value) }
        #expect(try file.integer("i64") == -(1 << 62))
        #expect(file.value("u64")?.integer == nil && file.value("u64")?.type == .uint64)
        #expect(try file.double("f32") == Double(Float(0.1)) && file.double("f64") == 0.1)
        #expect(try file.bool("yes") == true)
        #expect(try file.string("text") == "günstig 😀")
        #expect(try file.array("strings")?.strings() == ["a", "", "é"])
        #expect(try file.array("integers")?.integers() == [1, -2, 3])
        #expect(try file.array("numbers")?.floats() == [0.5, -1.5])
        #expect(try file.array("nested")?.values().map { try $0.array?.integers() } == [[1, 2], [3]])
        #expect(try file.integer("absent") == nil)
        for key in ["text", "f32", "strings"] { #expect(throws: DyadError.self) { try file.integer(key) } }
        #expect(throws: DyadError.self) { try file.integer("u8", in: 0...199) }
        #expect(throws: DyadError.self) { try file.array("strings")?.integers() }
        #expect(throws: DyadError.self) { try file.array("integers")?.strings() }
    }

    @Test func tensorsHaveTheirOutermostDimensionFirst() throws {
        let file = try GGUFFile(path: fixtures + "/values.gguf")
        #expect(file.names == ["plain", "half", "quantised"])
        #expect(try file.tensor("plain").shape == [2, 3] && file.tensor("plain").floats() == [0, 1, 2, 3, 4, 5])
        #expect(try file.tensor("half").floats() == [0, 1, 2, 3, 4])
        let golden = try SafetensorsFile(path: fixtures + "/dequantization.safetensors").tensor("values.gguf.quantised")
        let quantised = try file.tensor("quantised")
        #expect(quantised.type == .q80 && quantised.shape == [3, 64])
        #expect(try quantised.floats() == golden.floats())
    }

    @Test func whatIsWrittenIsReadBack() throws {
        try withFolder { folder in
            let path = folder + "/t.gguf"
            let source = try GGUFFile(path: fixtures + "/values.gguf")
            let extra: [(key: String, value: GGUFValue)] = [
                ("made.strings", .array(try GGUFArray(strings: ["x", "yz"]))),
                ("made.types", .array(try GGUFArray(int32: [-1]))),
                ("made.scores", .array(try GGUFArray(float32: [0.25]))),
            ]
            let tensors = try source.names.map { name in
                let tensor = try source.tensor(name)
                let stored = try tensor.bytes()
                return GGUFWriter.Tensor(
                    name, tensor.type, tensor.shape, withExtendedLifetime(stored) { Array(stored.bytes) })
            }
            try GGUFWriter.write(path, metadata: source.metadata + extra, tensors: tensors)
            let copy = try GGUFFile(path: path)
            #expect(copy.metadata.map { $0.key } == source.metadata.map { $0.key } + extra.map { $0.key })
            #expect(try copy.array("nested")?.values().map { try $0.array?.integers() } == [[1, 2], [3]])
            #expect(try copy.array("made.strings")?.strings() == ["x", "yz"])
            #expect(try copy.array("made.types")?.integers() == [-1] && copy.array("made.scores")?.floats() == [0.25])
            for name in source.names {
                #expect(try copy.tensor(name).floats() == source.tensor(name).floats())
                #expect(try copy.tensor(name).shape == source.tensor(name).shape)
            }
        }
    }

    @Test func aQuantisedRowMustConsistOfWholeBlocks() throws {
        try withFolder { folder in
            #expect(throws: DyadError.self) {
                try GGUFWriter.write(folder + "/t", metadata: [], tensors: [.init("t", .q40, [2, 16], [] as [UInt8])])
            }
        }
    }
}
