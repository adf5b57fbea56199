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
    /// - Complexity: `length` decoding steps of batches of 64 sequences.
    public init(
        writtenBy decoder: Decoder, firstToken: Int32?, samples: Int, length: Int, seed: UInt64,
        progress: ProgressReporter?
    ) throws {
        let apart = max(2, min(Self.heldOutWindows * Self.heldOutLength / length, samples / 2))
        let total = samples + apart
        // Both kinds alternate, so that any part of the list holds both, and are written side by side.
        func begins(_ sequence: Int) -> Bool { firstToken != nil && sequence % 2 == 1 }
        let sequences = try FloatGenerator(decoder).sample(
            count: total, length: length + 1, start: { begins($0) ? firstToken : nil }, seed: seed
        ) { share in
            progress?.update(
                phase: "write calibration text", completed: Int((share * Double(total * length)).rounded()),
                total: total * length)
        }.enumerated().map { number, tokens in begins(number) ? Array(tokens.dropFirst()) : Array(tokens.dropLast()) }
        self.init(calibration: Array(sequences.prefix(samples)), heldOut: Array(sequences.dropFirst(samples)))
    }
}
