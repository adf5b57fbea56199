import DyadEvaluation
import DyadJobs
import DyadTargets
import DyadTensor
import Foundation
import Testing

extension Trait where Self == ConditionTrait {
    static var needsTorch: Self { .enabled(if: Torch.isAvailable, "built without libtorch (trait Torch is off)") }
    static var needsSmolLM2: Self {
        .enabled(
            if: FileManager.default.fileExists(atPath: smolLM2Path), "no SmolLM2 under .deps/models: run scripts/setup")
    }
}

let repositoryRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
let sharedFolder =
    ProcessInfo.processInfo.environment["DYAD_SHARED"]
    ?? repositoryRoot.deletingLastPathComponent().appendingPathComponent("shared").path
let wikiTestPath = sharedFolder + "/data/wikitext2/wiki.test.raw"
let smolLM2Path = repositoryRoot.appendingPathComponent(".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf").path

/// A model whose logits are a function of the position and the tokens so far.
struct FakeModel: LanguageModel {
    var name = "fake"
    var vocabularySize: Int
    /// Positions handed over at a time.
    var chunk = 3
    var logits: @Sendable (_ window: ArraySlice<Int32>) -> [Float]

    func evaluate(window: [Int32], _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void) throws {
        for start in stride(from: 0, to: window.count, by: chunk) {
            let range = start..<min(start + chunk, window.count)
            let rows = range.flatMap { logits(window[...$0]) }
            try rows.withUnsafeBufferPointer { try body(range, $0) }
        }
    }
}

/// Reproducible numbers in [0, 1).
struct Noise {
    private var state: UInt64
    init(_ seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 | 1 }
    mutating func next() -> Double {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Double(state >> 11) * 0x1p-53
    }
    mutating func row(_ count: Int, spread: Double) -> [Float] {
        (0..<count).map { _ in Float((next() - 0.5) * spread) }
    }
}

/// log softmax, in double precision.
func logSoftmax(_ row: [Float]) -> [Double] {
    let maximum = Double(row.max() ?? 0)
    let logSum = log(row.reduce(0) { $0 + exp(Double($1) - maximum) })
    return row.map { Double($0) - maximum - logSum }
}

func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
