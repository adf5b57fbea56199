import DyadFormats
import Foundation
import Testing

@testable import DyadCheckpoint

/// GGUF models in several files, and what GGUF says about rotation.
@Suite struct SplitGGUFTests {
    static let metadata: [(key: String, value: GGUFValue)] = [
        ("general.architecture", .string("llama")), ("llama.context_length", .uint32(16)),
        ("llama.embedding_length", .uint32(8)), ("llama.block_count", .uint32(2)),
        ("llama.feed_forward_length", .uint32(12)), ("llama.attention.head_count", .uint32(2)),
        ("llama.attention.head_count_kv", .uint32(1)), ("llama.attention.layer_norm_rms_epsilon", .float32(1e-5)),
    ]

    static var tensors: [GGUFWriter.Tensor] {
        LayoutTests.shapes.enumerated().map { index, entry in
            .init(Family.ggufName(of: entry.0) ?? entry.0, .f32, entry.1, LayoutTests.values(index))
        }
    }

    private func part(_ number: Int, _ count: Int, tensors: Int) -> [(key: String, value: GGUFValue)] {
        [
            ("split.no", .uint16(UInt16(number))), ("split.count", .uint16(UInt16(count))),
            ("split.tensors.count", .int32(Int32(tensors))),
        ]
    }

    private func name(_ number: Int, _ count: Int) -> String { "/m-0000\(number + 1)-of-0000\(count).gguf" }

    /// The model in three files.
    private func write(to folder: String, prefix: String = "") throws {
        for number in 0..<3 {
            let own = Self.tensors.enumerated().filter { $0.offset % 3 == number }.map { $0.element }
            let head = number == 0 ? Self.metadata : [Self.metadata[0]]
            try GGUFWriter.write(
                folder + prefix + name(number, 3), metadata: head + part(number, 3, tensors: Self.tensors.count),
                tensors: own)
        }
    }

    @Test func theFirstFileOpensAllOfThem() throws {
        try withFolder { folder in
            try write(to: folder)
            try GGUFWriter.write(folder + "/whole.gguf", metadata: Self.metadata, tensors: Self.tensors)
            let (split, whole) = (try Checkpoint.open(folder + name(0, 3)), try Checkpoint.open(folder + "/whole.gguf"))
            #expect(split.tensorNames == whole.tensorNames)
            for name in split.tensorNames { #expect(try split.floats(name) == whole.floats(name)) }
            let before = try split.fingerprint()
            // A weight of the last part counts in the digest.
            var changed = Self.tensors.enumerated().filter { $0.offset % 3 == 2 }.map { $0.element }
            changed[0] = .init("blk.0.attn_q.weight", .f32, [8, 8], [Float](repeating: 3, count: 64))
            try GGUFWriter.write(
                folder + name(2, 3), metadata: [Self.metadata[0]] + part(2, 3, tensors: Self.tensors.count),
                tensors: changed)
            #expect(try Checkpoint.open(folder + name(0, 3)).fingerprint() != before)
        }
    }

    private func error(_ path: String) -> DyadError? {
        #expect(throws: DyadError.self) { try Checkpoint.open(path) }
    }

    @Test func whatIsWrongWithAPartIsSaid() throws {
        try withFolder { folder in
            try write(to: folder)
            let first = folder + name(0, 3)
            let second = error(folder + name(1, 3))
            #expect(second?.reason == .usage && second?.remedy.contains("m-00001-of-00003.gguf") == true)
            // The name does not say how many there are.
            try GGUFWriter.write(
                folder + "/renamed.gguf", metadata: Self.metadata + part(0, 3, tensors: 1), tensors: [])
            #expect(error(folder + "/renamed.gguf")?.expected.contains("-00001-of-00003.gguf") == true)
            // Another model's parts: too few tensors, another architecture, another number.
            try GGUFWriter.write(
                folder + name(2, 3), metadata: part(2, 3, tensors: 1), tensors: [Self.tensors[2]])
            #expect(error(first)?.subject == "split.tensors.count")
            try GGUFWriter.write(
                folder + name(2, 3), metadata: [("general.architecture", .string("qwen2"))] + part(2, 3, tensors: 1),
                tensors: [])
            #expect(error(first)?.subject == "general.architecture" && error(first)?.file == folder + name(2, 3))
            try GGUFWriter.write(folder + name(2, 3), metadata: part(1, 3, tensors: 1), tensors: [])
            #expect(error(first)?.subject == "split.no")
            try GGUFWriter.write(folder + name(2, 3), metadata: Self.metadata, tensors: [])
            #expect(error(first)?.reason == .mismatch)
            try FileManager.default.removeItem(atPath: folder + name(2, 3))
            #expect(error(first)?.reason == .missing && error(first)?.file == folder + name(2, 3))
        }
    }

    private func configuration(
        _ keys: [(key: String, value: GGUFValue)], _ tensors: [GGUFWriter.Tensor] = []
    ) throws -> DecoderConfiguration {
        var found: DecoderConfiguration?
        try withFolder { folder in
            try GGUFWriter.write(
                folder + "/m.gguf", metadata: Self.metadata + keys, tensors: Self.tensors + tensors)
            found = try Checkpoint.open(folder + "/m.gguf").configuration
        }
        return try #require(found)
    }

    /// llama.cpp's defaults and precedence.
    @Test func rotationIsReadAsLlamaCppReadsIt() throws {
        func factor(_ value: Float) -> (key: String, value: GGUFValue) {
            ("llama.rope.scaling.factor", .float32(value))
        }
        func type(_ name: String) -> (key: String, value: GGUFValue) { ("llama.rope.scaling.type", .string(name)) }
        let old: (key: String, value: GGUFValue) = ("llama.rope.scale_linear", .float32(2))
        func frequencies() -> GGUFWriter.Tensor { .init("rope_freqs.weight", .f32, [2], [1, 8] as [Float]) }
        #expect(try configuration([factor(4)]).ropeScaling == .linear(factor: 4))
        #expect(try configuration([old]).ropeScaling == .linear(factor: 2))
        #expect(try configuration([old, factor(4)]).ropeScaling == .linear(factor: 4))
        #expect(try configuration([type("linear"), factor(0)]).ropeScaling == .none)
        #expect(try configuration([type("linear")]).ropeScaling == .none)
        #expect(try configuration([type("none"), factor(4)]).ropeScaling == .none)
        #expect(try configuration([], [frequencies()]).ropeScaling == .divided(by: [1, 8]))
        #expect(try configuration([factor(4)], [frequencies()]).ropeScaling == .divided(by: [4, 32]))
        #expect(try configuration([("llama.attention.sliding_window", .uint32(12))]).maximumPositions == 12)
        #expect(try configuration([("llama.attention.sliding_window", .uint32(0))]).maximumPositions == 16)
        for (keys, subject) in [
            ([type("yarn"), factor(4)], "llama.rope.scaling.type"), ([factor(-1)], "llama.rope.scaling.factor"),
            ([("llama.rope.scaling.attn_factor", .float32(1.5))], "llama.rope.scaling.attn_factor"),
            ([("llama.attention.value_length", .uint32(8))], "llama.attention.value_length"),
            (
                [("tokenizer.ggml.tokens", .array(try GGUFArray(strings: ["a", "b"])))], "tokenizer.ggml.tokens"
            ),
        ] as [([(key: String, value: GGUFValue)], String)] {
            let error = #expect(throws: DyadError.self) { try configuration(keys) }
            #expect(error?.subject == subject)
        }
        for name in ["blk.2.attn_norm.weight", "rope_factors_long.weight", "blk.0.attn_q.bias"] {
            let error = #expect(throws: DyadError.self) {
                try configuration([], [.init(name, .f32, [8], [Float](repeating: 1, count: 8))])
            }
            #expect(error?.subject?.isEmpty == false && error?.reason != .unsupported, "\(name)")
        }
    }
}
