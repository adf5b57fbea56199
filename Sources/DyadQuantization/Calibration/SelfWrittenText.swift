import DyadFormats
import DyadTransformer

extension CalibrationText {
    /// Calibration text that the float model writes itself, by sampling at temperature 1.
    ///
    /// Half of the sequences begin with a random token (LLM-QAT, Liu et al. 2023), which gives all kinds of text. The other
    /// half begin as the model's own texts do, with its first special token (left out again: it is the likely prefix), which
    /// for an instruction-tuned model gives conversations. Without such a token all begin at random.
    ///
    /// Sequences of the held-out part are as long as those of the calibration, of both kinds, and drawn from other streams.
    ///
    /// - Complexity: `length` decoding steps of batches of 32 sequences.
    public init(
        writtenBy decoder: Decoder, firstToken: Int32?, samples: Int, length: Int, seed: UInt64,
        progress: ProgressReporter?
    ) throws {
        let apart = max(2, min(Self.heldOutWindows * Self.heldOutLength / length, samples / 2))
        let total = samples + apart
        let begun = firstToken == nil ? 0 : total / 2
        let generator = FloatGenerator(decoder)
        func report(_ share: Double, from start: Int, count: Int) {
            let done = (Double(start) + share * Double(count)) * Double(length)
            progress?.update(phase: "write calibration text", completed: Int(done.rounded()), total: total * length)
        }
        let free = try generator.sample(count: total - begun, length: length, seed: seed) {
            report($0, from: 0, count: total - begun)
        }
        var conversations: [[Int32]] = []
        if begun > 0 {
            conversations = try generator.sample(
                count: begun, length: length + 1, start: firstToken, seed: seed ^ 0x6469_616C_6F67_7565
            ) { report($0, from: total - begun, count: begun) }.map { Array($0.dropFirst()) }
        }
        // Both kinds alternate, so that any part of the list holds both.
        var sequences: [[Int32]] = []
        for index in 0..<max(free.count, conversations.count) {
            if index < free.count { sequences.append(free[index]) }
            if index < conversations.count { sequences.append(conversations[index]) }
        }
        self.init(calibration: Array(sequences.prefix(samples)), heldOut: Array(sequences.dropFirst(samples)))
    }
}
