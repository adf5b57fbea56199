import DyadFormats
import DyadGraph

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// How fast a program runs on this machine.
public struct Benchmark: Sendable {
    /// Prompt tokens a second, all but the last row's logits left out as in use.
    public let prefillTokensPerSecond: Double
    /// Tokens a second one after another behind that prompt, logits and greedy choice included.
    public let decodeTokensPerSecond: Double
    /// The largest amount of memory that the process has held so far.
    public let peakResidentBytes: Int
    /// Bytes of weights held ready to run.
    public let weightBytes: Int
    /// Threads that computed.
    public let threads: Int
    /// The kernel set's name.
    public let kernels: String

    /// Runs `promptTokens` and then `generateTokens` (each at least 1), once to warm up and then `repetitions` times; medians.
    ///
    /// - Throws: ``DyadError`` where the program cannot run or its context is too short.
    public static func run(
        _ program: IntegerProgram, promptTokens: Int = 512, generateTokens: Int = 128,
        options: Runtime.Options = Runtime.Options(), repetitions: Int = 3
    ) throws(DyadError) -> Benchmark {
        guard promptTokens >= 1, generateTokens >= 1, repetitions >= 1 else {
            throw DyadError(
                .usage, subject: "benchmark",
                found: "\(promptTokens) prompt tokens, \(generateTokens) generated tokens, \(repetitions) repetitions",
                expected: "at least 1 of each", remedy: "Choose larger numbers.")
        }
        let runtime = try Runtime(program: program, options: options)
        let session = try runtime.makeSession()
        let room = session.remainingTokens
        guard promptTokens <= room, generateTokens <= room - promptTokens else {
            throw DyadError(
                .usage, subject: "benchmark", found: "\(promptTokens) prompt and \(generateTokens) generated tokens",
                expected: "at most \(room) together, which is the program's context",
                remedy: "Choose smaller numbers, or quantise with a larger --context.")
        }
        // Any ids do: the arithmetic takes the same time for all. Not the prefix, which would be dropped.
        let prompt = (0..<promptTokens).map { Int32(($0 &* 7919 &+ 11) % runtime.vocabularySize) }
        let length = session.droppedCount(of: prompt)
        var (prefill, decode): ([Double], [Double]) = ([], [])
        for repetition in 0...repetitions {
            session.reset()
            let start = ContinuousClock.now
            var logits = try session.prefill(prompt)
            let middle = ContinuousClock.now
            for _ in 0..<generateTokens { logits = try session.decode(Sampler.greedy(logits)) }
            let end = ContinuousClock.now
            guard repetition > 0 else { continue }
            prefill.append(Double(promptTokens - length) / (middle - start).seconds)
            decode.append(Double(generateTokens) / (end - middle).seconds)
        }
        return Benchmark(
            prefillTokensPerSecond: prefill.sorted()[repetitions / 2],
            decodeTokensPerSecond: decode.sorted()[repetitions / 2], peakResidentBytes: peakResidentBytes(),
            weightBytes: runtime.weightBytes, threads: runtime.threads, kernels: runtime.kernels.name)
    }

    /// The largest resident memory of this process so far, in bytes.
    public static func peakResidentBytes() -> Int {
        var usage = rusage()
        let thisProcess: Int32 = 0  // RUSAGE_SELF, which has another type on every system
        guard getrusage(thisProcess, &usage) == 0 else { return 0 }
        #if canImport(Darwin)
            return usage.ru_maxrss
        #else
            return usage.ru_maxrss * 1024
        #endif
    }
}
