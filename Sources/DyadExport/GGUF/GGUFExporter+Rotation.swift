import DyadCheckpoint
import DyadFormats
import DyadGraph
import Foundation

extension GGUFExporter {
    /// llama.cpp turns heads by what the file says; the program has tables.
    func checkRotation(_ program: IntegerProgram, _ layout: GGUFLayout, _ file: GGUFFile) throws(DyadError) {
        for operation in program.graph.operations {
            guard case .rotary(let rotary) = operation.kind else { continue }
            let frequencies = try layout.inverseFrequencies(in: file, headDimension: rotary.headDimension)
            let cosines = try program.elements(of: rotary.cosine, as: Int16.self)
            let sines = try program.elements(of: rotary.sine, as: Int16.self)
            let last = cosines.count / max(frequencies.count, 1) - 1
            let fits =
                2 * frequencies.count == rotary.rotated
                && [min(1, last), last].allSatisfy { position in
                    frequencies.enumerated().allSatisfy { index, frequency in
                        // Keys are float32, which moves late positions a little.
                        let place = position * frequencies.count + index
                        let angle = Double(position) * frequency
                        return abs(cos(angle) * 16384 - Double(cosines[place])) <= 8
                            && abs(sin(angle) * 16384 - Double(sines[place])) <= 8
                    }
                }
            guard fits else {
                throw DyadError(
                    .mismatch, file: template, subject: "\(layout.architecture).rope",
                    found: "rotary frequencies that are not the program's",
                    expected: "those of the model that was quantised",
                    remedy: "Name a GGUF file of that model, with its rope keys and rope_freqs.weight.")
            }
            return
        }
    }
}
