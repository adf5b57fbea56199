import DyadFormats
import DyadTransformer

extension CalibrationText {
    /// Calibration text that the float model writes itself, in the manner of LLM-QAT (Liu et al. 2023): every sequence
    /// begins with a random token and goes on by sampling at temperature 1.
    ///
    /// Sequences of the held-out part are as long as those of the calibration, and begin with other tokens.
    ///
    /// - Complexity: `length` decoding steps of a batch of all sequences.
    public init(
        writtenBy decoder: Decoder, samples: Int, length: Int, seed: UInt64, progress: ProgressReporter?
    ) throws {
        let apart = max(1, min(Self.heldOutWindows * Self.heldOutLength / length, samples / 4))
        let total = samples + apart
        let sequences = try FloatGenerator(decoder).sample(count: total, length: length, seed: seed) { share in
            progress?.update(
                phase: "write calibration text", completed: Int((share * Double(total * length)).rounded()),
                total: total * length)
        }
        self.init(calibration: Array(sequences.prefix(samples)), heldOut: Array(sequences.dropFirst(samples)))
    }
}
