import DyadRuntime
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite struct SpeedTests {
    @Test(.enabled(if: getenv("DYAD_SPEED") != nil, "set DYAD_SPEED to measure a SmolLM2-shaped program"))
    func smolLM2Shaped() throws {
        for bits in [8, 4] {
            var shape = DecoderShape.smolLM2
            shape.weightBits = bits
            let program = shape.program()
            for threads in [1, 2] {
                let result = try Benchmark.run(program, options: .init(threads: threads))
                print("i\(bits)", result)
            }
        }
    }
}
