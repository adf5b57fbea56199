import DyadExport
import DyadFormats
import DyadGraph
import DyadTestSupport
import Foundation
import Testing

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

/// Expects that an exported folder in which `file` is cut short is refused, and one without it reported as missing.
func expectDamageIsRefused(to file: String, export: (IntegerProgram, String) throws -> Void) throws {
    let folder = freshFolder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let program = tinyProgram()
    try export(program, folder)
    let url = URL(fileURLWithPath: "\(folder)/\(file)")
    let whole = try Data(contentsOf: url)
    for kept in [0, 1, whole.count / 2, whole.count - 2] {
        try whole.prefix(kept).write(to: url)
        #expect(throws: DyadError.self) { _ = try ExportManifest.check(folder, against: program) }
    }
    try FileManager.default.removeItem(at: url)
    let error = #expect(throws: DyadError.self) { _ = try ExportManifest.check(folder, against: program) }
    #expect(error?.reason == .missing)
}
