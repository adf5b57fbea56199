import DyadFormats
import DyadGraph
import DyadRuntime
import DyadTestSupport
import DyadTokenizer

/// A `.dyad` file: loaded, validated, planned; what is accepted is run, by the reference and by the runtime.
enum ProgramTarget: FuzzTarget {
    static let name = "dyad"

    static func run(_ input: UnsafeRawBufferPointer) {
        let path = Scratch.file("file.dyad", input)
        attempt { () throws(DyadError) in
            let program = try IntegerProgram.load(path)
            attempt { () throws(DyadError) in
                let tokenizer = try Tokenizer(document: program.tokenizer, file: path)
                TokenizerTarget.use(tokenizer, text: "Hello <end>")
            }
            try program.validate()
            let runtime: Runtime
            do throws(DyadError) {
                runtime = try Runtime(program: program, options: .init(threads: 1, prefillChunk: 7))
            } catch {
                require(error.reason == .unsupported || error.reason == .failed, "validated, but not planned: \(error)")
                return
            }
            let session: Session
            do throws(DyadError) { session = try runtime.makeSession() } catch {
                require(error.reason == .failed, "planned, but without a session: \(error)")
                return
            }
            let room = program.graph.maximumContext - program.graph.prefixTokens.count
            let tokens = (0..<min(room, 9)).map { Int32($0 % program.graph.vocabularySize) }
            guard !tokens.isEmpty else { return }
            var logits: [Int32] = []
            try session.evaluate(tokens, droppingPrefix: false) { _, rows in logits += rows }
            let expected = try ReferenceInterpreter(program).run(tokens: tokens)
            require(logits == expected, "the runtime's logits are not the reference's")
        }
    }

    static func seeds() throws -> [[UInt8]] {
        var seeds: [[UInt8]] = []
        for attention in DecoderShape.Attention.allCases {
            for variant in 0..<3 {
                var shape = DecoderShape()
                (shape.layers, shape.hidden, shape.heads, shape.keyValueHeads) = (1, 4, 2, 1)
                (shape.headDimension, shape.rotated, shape.intermediate, shape.vocabulary, shape.maximumContext) = (
                    2, 2, 4, 5, 8
                )
                (shape.prefix, shape.weightBits, shape.attention) = (variant % 2, variant == 0 ? 4 : 8, attention)
                (shape.hasHadamard, shape.hasBiases, shape.hasLayerNorm, shape.hasQueryKeyNorm) = (
                    variant == 0, variant == 1, variant == 2, variant == 1
                )
                (shape.isGated, shape.hasFusedQueryKeyValue, shape.hasSplitOutput) = (
                    variant != 2, variant == 1, variant == 2
                )
                var program = shape.program(seed: UInt64(variant))
                program.tokenizer = TokenizerTarget.document(pattern: "[a-z]+|.")
                seeds.append(try Scratch.bytes { try program.write(to: $0) })
            }
        }
        return seeds
    }

    static let words = [
        "embed", "rmsNorm", "layerNorm", "linear", "rotary", "cacheAppend", "matmul", "mask", "softmax", "exponential",
        "lateAttention", "soft_cap", "cap",
        "lookup", "multiply", "add", "requantize", "hadamard", "concatenate", "slice", "logits", "u8", "i8", "u16",
        "i16", "i32", "u32", "i4",
        "tokens", "context", "queryKey", "weightedValues", "silu", "input", "output",
    ]

    static func mutate(_ input: [UInt8], using random: inout SeededRandom) -> [UInt8]? {
        SafetensorsMutation.changed(
            input, inner: ["dyad.graph", "dyad.tokenizer", "dyad.version"], words: words, using: &random)
    }
}
