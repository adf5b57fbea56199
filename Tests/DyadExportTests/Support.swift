import DyadExport
import DyadGraph
import DyadTestSupport
import Foundation

/// Two layers with what exporters treat specially: 4-bit weights, biases, an online Hadamard, a constant prefix, 8-bit exponentials.
func tinyProgram() -> IntegerProgram {
    var shape = DecoderShape()
    (shape.weightBits, shape.hasBiases, shape.hasHadamard, shape.prefix) = (4, true, true, 1)
    (shape.hidden, shape.intermediate, shape.attention) = (64, 96, .late8)
    return shape.program(seed: 11)
}

let tinySource = ExportSource(name: "tiny.dyad", sha256: "ab")

/// A folder that does not exist yet.
func freshFolder() -> String {
    NSTemporaryDirectory() + "dyad-export-\(UInt64.random(in: 0...UInt64.max))"
}
