import DyadFormats
import Testing

@Suite struct SafetensorsTests {
    @Test func whatIsWrittenIsReadBack() throws {
        try withFolder { folder in
            let path = folder + "/t.safetensors"
            let bytes = (0..<64).map { UInt8($0) }
            try SafetensorsWriter.write(
                path,
                [
                    .init("odd", .uint8, [3], [1, 2, 3] as [UInt8]),
                    .init("matrix", .float32, [2, 3], [1, 2, 3, 4, 5, 6] as [Float]),
                    .init("scalar", .int64, [], [-1] as [Int64]), .init("none", .int32, [4, 0], [] as [Int32]),
                    .init("line", .uint8, [64]) { (sink) throws(DyadError) in
                        for byte in bytes { try sink.write([byte]) }
                    },
                ], metadata: ["b": "2", "a": "é\n\""])
            let file = try SafetensorsFile(path: path)
            #expect(file.metadata == ["a": "é\n\"", "b": "2"])
            #expect(Set(file.names) == ["odd", "matrix", "scalar", "none", "line"])
            #expect(try file.tensor("matrix").floats() == [1, 2, 3, 4, 5, 6])
            #expect(try file.tensor("matrix").shape == [2, 3])
            #expect(try file.tensor("scalar").shape == [] && file.tensor("scalar").count == 1)
            #expect(try file.tensor("none").range.isEmpty)
            let line = try file.tensor("line")
            let stored = try line.bytes()
            withExtendedLifetime(stored) { #expect(Array(stored.bytes) == bytes) }
            #expect(throws: DyadError.self) { try file.tensor("gone") }
            #expect(throws: DyadError.self) { try file.tensor("odd").floats() }
        }
    }

    @Test func theDataOfEveryTensorIsAlignedAsFarAsItsSizeAllows() throws {
        try withFolder { folder in
            let path = folder + "/t.safetensors"
            let sizes = [3, 64, 6, 128, 1, 4, 16, 192, 8]
            try SafetensorsWriter.write(
                path, sizes.map { .init("t\($0)", .uint8, [$0], [UInt8](repeating: UInt8($0), count: $0)) })
            let file = try SafetensorsFile(path: path)
            #expect(file.names == ["t64", "t128", "t192", "t16", "t8", "t4", "t6", "t3", "t1"])
            for size in sizes {
                let view = try file.tensor("t\(size)")
                #expect(view.range.lowerBound % min(64, size & -size) == 0)
                let stored = try view.bytes()
                withExtendedLifetime(stored) { #expect(stored.bytes.allSatisfy { $0 == UInt8(size) }) }
            }
        }
    }

    @Test func equalInputGivesEqualBytes() throws {
        try withFolder { folder in
            let metadata = Dictionary(uniqueKeysWithValues: (0..<50).map { ("key\($0)", "value") })
            for name in ["a", "b"] {
                try SafetensorsWriter.write(
                    "\(folder)/\(name)", [.init("x", .float32, [2], [1, 2] as [Float])], metadata: metadata)
            }
            #expect(try load(folder + "/a") == load(folder + "/b"))
        }
    }

    @Test func aWriterOfTheWrongNumberOfBytesLeavesNoFile() throws {
        try withFolder { folder in
            let path = folder + "/t.safetensors"
            #expect(throws: DyadError.self) {
                try SafetensorsWriter.write(path, [.init("x", .float32, [3], [1, 2] as [Float])])
            }
            #expect(throws: DyadError.self) {
                let tensor = SafetensorsWriter.Tensor("x", .uint8, [1], [1] as [UInt8])
                try SafetensorsWriter.write(path, [tensor, tensor])
            }
            #expect(FileKind(path) == .nothing)
        }
    }
}
