import DyadFormats

/// A safetensors file: opened, every tensor read.
enum SafetensorsTarget: FuzzTarget {
    static let name = "safetensors"

    static func run(_ input: UnsafeRawBufferPointer) {
        let path = Scratch.file("file.safetensors", input)
        attempt { () throws(DyadError) in
            let file = try SafetensorsFile(path: path)
            var bytes = 0
            for name in file.names {
                let tensor = try file.tensor(name)
                bytes += tensor.range.count
                attempt { () throws(DyadError) in
                    let floats = try tensor.floats()
                    require(floats.count == tensor.count, "\(floats.count) floats of \(tensor.count) elements")
                }
            }
            require(bytes <= input.count, "tensors of \(bytes) bytes in a file of \(input.count)")
        }
    }

    static func seeds() throws -> [[UInt8]] {
        [
            try Scratch.bytes { path in
                try SafetensorsWriter.write(
                    path,
                    [
                        .init("a", .float32, [2, 3], [1, -2, 3, 4, 5, 6] as [Float]),
                        .init("b.weight", .float16, [4], [1, 2, 3, 4] as [UInt16]),
                        .init("c", .bfloat16, [1, 2], [1, 2] as [UInt16]), .init("none", .uint8, [0], [] as [UInt8]),
                        .init("d", .int8, [3], [1, 2, 3] as [Int8]),
                    ], metadata: ["format": "pt", "naïve": "\u{1F600}"])
            }
        ]
    }

    static func mutate(_ input: [UInt8], using random: inout SeededRandom) -> [UInt8]? {
        SafetensorsMutation.changed(
            input, inner: [], words: ["F16", "BF16", "F32", "U8", "I64", "F64", "__metadata__", "shape"], using: &random
        )
    }
}
