import DyadRuntime
import DyadTestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension DecoderShape {
    /// SmolLM2-135M's, as the default recipe quantises it.
    static var smolLM2: DecoderShape {
        var shape = DecoderShape()
        shape.layers = 30
        shape.hidden = 576
        shape.heads = 9
        shape.keyValueHeads = 3
        shape.headDimension = 64
        shape.rotated = 64
        shape.intermediate = 1536
        shape.vocabulary = 49152
        shape.maximumContext = 2048
        shape.prefix = 1
        shape.attention = .late8
        shape.hasHadamard = true
        shape.hasWideProduct = true
        return shape
    }
}

@Suite struct SpeedTests {
    /// Not a promise, a measurement; it fails only where something is badly wrong.
    @Test(.enabled(if: getenv("DYAD_SPEED") != nil, "set DYAD_SPEED to measure a SmolLM2-shaped program"))
    func smolLM2ShapedProgramsRunAtHundredsOfTokensPerSecond() throws {
        for bits in [8, 4] {
            var shape = DecoderShape.smolLM2
            shape.weightBits = bits
            let program = shape.program(seed: 1)
            for threads in [1, 2] {
                let result = try Benchmark.run(program, options: .init(threads: threads))
                print("i\(bits)", result)
                #expect(result.prefillTokensPerSecond > 300)
                #expect(result.decodeTokensPerSecond > 20)
            }
        }
    }
}
